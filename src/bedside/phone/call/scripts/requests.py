"""What staff or a doctor decide: scripts, referrals, results, records. The line takes the request and promises nothing."""

from __future__ import annotations

from bedside.phone.call.actions import Leave, ResultsOf
from bedside.phone.call.dialogue import Answer, Do, PersonNeededError, Script, Setting, Tell, Wish, ask, ask_yes_no
from bedside.phone.call.paths import path_of
from bedside.phone.call.scripts.booking import book
from bedside.phone.call.scripts.identity import identify
from bedside.phone.requests import ResultState, medicine_rules
from bedside.phone.words.plain import folded, phrases
from bedside.safety.medicines import recognise

EARLY = "M-1.early"
MONITORED = "M-1"
CRITICAL = "M-2"


def script_repeat(setting: Setting, wish: Wish) -> Script[None]:
    """A repeat script as a request, by the line's policies M-1 to M-3 (project source book 2.7).

    M-1: monitored and early, lost, stolen or increased supplies need an appointment with the usual prescriber. M-2: medicines that must not
    run out are marked for today. M-3: no dose is read back or changed.
    """
    medicine = wish.slots.get("medicine") or (_medicines(wish.text))
    if not medicine:
        medicine = yield from ask("script.medicine", lambda answer: _medicines(answer.text) or None, again="script.medicine_again")
    names = [name.strip() for name in medicine.split(";")]
    rules = tuple(dict.fromkeys((*wish.rules, *_policies(names, wish.text, setting.practice.state))))
    urgent = CRITICAL in rules or wish.same_day
    person = yield from identify(setting, wish)
    slots = {**wish.slots, "medicine": medicine}
    if MONITORED in rules or EARLY in rules:
        yield Do(Leave("script_monitored", person.id, slots, "today" if urgent else "routine", rules))
        yield Tell("script.monitored")
        yield from offer_booking(setting, wish)
        return
    if "pharmacy" not in slots:
        slots["pharmacy"] = yield from ask("script.where", _words, again="script.where")
    yield Do(Leave("script_repeat", person.id, slots, "today" if urgent else "routine", rules))
    yield Tell("script.request")
    if urgent:
        yield Tell("script.urgent")


def request(setting: Setting, wish: Wish) -> Script[None]:
    """A task for staff; what they need to know is asked for, in at most two questions."""
    path = path_of(wish.intent)
    slots = dict(wish.slots)
    for slot, prompt in path.needs.items():
        if slot not in slots:
            slots[slot] = yield from ask(prompt, _words, again=prompt)
    person = yield from identify(setting, wish)
    yield Do(Leave(wish.intent, person.id, slots))
    yield Tell(path.done)


def results(setting: Setting, wish: Wish) -> Script[None]:
    """Whether the doctor has looked at results, never what they say. Somebody else's results are for a person."""
    if wish.slots.get("who"):
        raise PersonNeededError("results of somebody else")
    person = yield from identify(setting, wish)
    status: ResultState = yield Do(ResultsOf(person.id, wish.slots.get("test", "")))
    yield Tell(f"results.{status}")
    if status == "seen":
        yield from offer_booking(setting, wish)
    else:
        yield Do(Leave("results", person.id, dict(wish.slots)))


def offer_booking(setting: Setting, wish: Wish) -> Script[None]:
    """Ask whether an appointment is wanted, and book it."""
    if (yield from ask_yes_no("book.offer")):
        yield from book(setting, Wish("appt_new", "", {key: value for key, value in wish.slots.items() if key in ("practitioner", "who")}))


def _medicines(text: str) -> str:
    """The caller's own words for the medicines in a text, joined by "; "."""
    found = recognise(text, in_context=True)
    return "; ".join(dict.fromkeys(mention.text for mention in found))


def _policies(names: list[str], text: str, state: str) -> tuple[str, ...]:
    """The policies that apply to a request for these medicines in these words."""
    early = (EARLY,) if phrases("asides.yaml", "early").search(folded(text)) else ()
    return (*(rule for rule, _ in medicine_rules(names, state)), *early)


def _words(answer: Answer) -> str | None:
    return answer.text.strip() or None
