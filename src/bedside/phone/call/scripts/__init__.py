"""What the line does for each wish: one function an intent or family of intents, as `paths.yaml` names them."""

from __future__ import annotations

from collections.abc import Callable

from bedside.phone.call.dialogue import Script, Setting, Wish
from bedside.phone.call.scripts import booking, changes, people, requests, telling

_SCRIPTS: dict[str, Callable[[Setting, Wish], Script[None]]] = {
    script.__name__: script
    for script in (
        booking.book,
        changes.move,
        changes.cancel,
        changes.tell_when,
        changes.late,
        requests.script_repeat,
        requests.request,
        requests.results,
        telling.tell,
        telling.hours,
        telling.after_hours,
        telling.fee,
        telling.bulk_bill,
        telling.services,
        telling.new_patients,
        telling.doctors,
        people.urgent_doubt,
        people.symptom,
        people.interpreter,
        people.bereavement,
        people.abuse,
    )
}


def script_named(name: str) -> Callable[[Setting, Wish], Script[None]]:
    """The script of that name in `paths.yaml`; KeyError where there is none."""
    return _SCRIPTS[name]
