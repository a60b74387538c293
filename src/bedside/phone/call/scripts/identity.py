"""Who the patient is: full name, date of birth, and one more identifier that the practice holds.

Nothing of a record is said before all three match, and a mismatch never tells which of them was wrong.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from bedside.phone.call.actions import Identify, Person
from bedside.phone.call.dialogue import Answer, Ask, Do, PersonNeededError, Script, Setting, Tell, Wish, ask
from bedside.phone.call.events import ListenKind
from bedside.phone.call.scripts.numbers import ask_number
from bedside.phone.patients import Claim, Third
from bedside.phone.words.births import birth_date
from bedside.phone.words.digits import digit_runs, medicare_number, phone_number
from bedside.phone.words.letters import Name, person_name
from bedside.phone.words.plain import plain

_ATTEMPTS = 2
_STREET = re.compile(r"\b\d{1,5}[a-z]?\s+(?!(?:of|or|and|is|on|that|thanks)\b)[a-z' ]{3,40}")
_ORDER: tuple[Third, ...] = ("mobile", "street", "postcode", "medicare")
"""What is asked for first: what people know by heart and speech recognition hears well."""


def identify(setting: Setting, wish: Wish) -> Script[Person]:
    """The patient of a wish, asked for once a call unless another wish is for somebody else.

    Raises:
        PersonNeededError: no match after two attempts, or fewer where the practice says so.
    """
    who = wish.slots.get("who", "")
    if setting.person and setting.person_is == who:
        return setting.person
    setting.person = None
    for attempt in range(min(_ATTEMPTS, setting.practice.identity.attempts)):
        if attempt:
            yield Tell("identity.no_match")
        name, birth = yield from _name_and_birth(setting, bool(who))
        third, value = yield from _third(setting)
        person = yield Do(Identify(_claim(name, birth, third, value)))
        if person is not None:
            setting.person, setting.person_is = person, who
            return setting.person
    raise PersonNeededError("identity not confirmed", prompt="identity.person")


def _claim(name: Name, birth: dt.date, third: Third, value: str) -> Claim:
    claim = Claim(name.given, name.family, birth)
    match third:
        case "mobile":
            return replace(claim, mobile=value)
        case "medicare":
            return replace(claim, medicare=value)
        case "street":
            return replace(claim, street=value)
        case "postcode":
            return replace(claim, postcode=value)


def _name_and_birth(setting: Setting, for_other: bool) -> Script[tuple[Name, dt.date]]:
    """Both in one question; what is missing from the answer is asked for by itself."""
    answer = yield Ask("identity.patient" if for_other else "identity.name_birth", {}, "birth")
    birth, name = birth_date(answer.text, setting.today), _name(answer)
    if name is None:
        name = yield from ask("identity.name", _name, again="identity.spell", kind="name")
    if birth is None:
        birth = yield from ask(
            "identity.birth", lambda told: birth_date(told.text, setting.today), again="identity.birth_again", kind="birth"
        )
    return name, birth


def _name(answer: Answer) -> Name | None:
    """The full name in an answer, its date of birth left aside."""
    name = person_name(re.split(r"\d", plain(answer.text))[0]) or person_name(answer.text)
    return name if name and name.family else None


def _third(setting: Setting) -> Script[tuple[Third, str]]:
    allowed = [kind for kind in _ORDER if kind in setting.practice.identity.third]
    first, other = (f"identity.{kind}" for kind in (allowed[0], allowed[1 % len(allowed)]))
    kind: ListenKind = "words" if allowed[0] == "street" else "number"
    return (yield from ask_number(first, other, lambda said: _read_third(said, allowed), kind))


def _read_third(text: str, allowed: list[Third]) -> tuple[tuple[Third, str], str] | None:
    """Whichever of the allowed identifiers an answer holds, and its digits, where it is one of digits alone."""
    card = medicare_number(text)
    street = _STREET.search(plain(text))
    postcode = next((run for run in digit_runs(text) if len(run) == 4), None)
    found: dict[Third, str | None] = {
        "mobile": phone_number(text),
        "medicare": card.number if card else None,
        "street": street.group().strip() if street else None,
        "postcode": postcode,
    }
    for kind in allowed:
        if value := found[kind]:
            return (kind, value), value if value.isdigit() else ""
    return None
