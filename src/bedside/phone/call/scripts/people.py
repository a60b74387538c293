"""Wishes that lead to a person, with what has to be said or asked on the way."""

from __future__ import annotations

from bedside.phone.call.actions import Leave
from bedside.phone.call.dialogue import (
    Answer,
    Ask,
    Do,
    EmergencyError,
    PersonNeededError,
    SaidInsteadError,
    Script,
    Setting,
    Tell,
    Wish,
    ask,
    read_yes_no,
)
from bedside.phone.call.scripts.booking import book
from bedside.phone.words.plain import folded, phrases, table


def happening_now() -> Script[None]:
    """Red-flag words that may be of the past or of something planned: a clear no goes on, anything else is an emergency (project source
    book 1.9).

    Raises:
        EmergencyError: it is happening now, or that cannot be told.
    """
    answer: Answer = yield Ask("call.happening_now", {}, "yes_no")
    if read_yes_no(answer) is not False:
        raise EmergencyError


def urgent_doubt(setting: Setting, wish: Wish) -> Script[None]:
    """The model takes a turn for an emergency in which no rule fired: asked in the same way, and a clear no still leads to a nurse."""
    yield from happening_now()
    raise PersonNeededError("may be urgent; the caller says that it is not happening now", "nurse", "say.nurse_now")


def symptom(setting: Setting, wish: Wish) -> Script[None]:
    """A symptom without a red flag: the caller chooses the nurse or an appointment; the line judges neither."""

    def read(answer: Answer) -> str | None:
        said = folded(answer.text)
        return {"1": "nurse", "2": "book"}.get(answer.key) or next(
            (way for way in ("nurse", "book") if phrases("people.yaml", way).search(said)), None
        )

    if wish.same_day:
        yield Tell("say.same_day")
    wanted = "book" if wish.same_day else (yield from ask("symptom.nurse_or_book", read, again="symptom.nurse_or_book", kind="choice"))
    if wanted == "nurse":
        raise PersonNeededError("wants the nurse about a symptom", "nurse", "say.nurse_now")
    yield from book(setting, wish)
    yield Tell("symptom.safety_net")


def interpreter(setting: Setting, wish: Wish) -> Script[None]:
    """Ask for the language, and hand over to a person who calls the interpreting service."""
    language = language_named(wish.slots.get("language") or wish.text)
    if language is None:
        answer: Answer = yield Ask("call.interpreter", {}, "words")
        language = language_named(answer.text)
    raise PersonNeededError(
        f"needs an interpreter{' for ' + language if language else ''}; call TIS National", prompt="call.interpreter_person"
    )


def language_named(text: str) -> str | None:
    """The language that a turn names."""
    said = f" {folded(text)} "
    listed: dict[str, list[str]] = table("asides.yaml")["languages"]
    return next((language for language, words in listed.items() if any(f" {word} " in said for word in words)), None)


def bereavement(setting: Setting, wish: Wish) -> Script[None]:
    """A patient has died: say so much and no more, stop reminders, and a person."""
    yield Do(Leave("bereavement", None, {key: value for key, value in wish.slots.items() if key in ("who", "name")}, "today"))
    raise PersonNeededError("a patient has died; stop reminders", prompt="lane.bereavement")


def abuse(setting: Setting, wish: Wish) -> Script[None]:
    """Strong words often hide distress: one calm sentence, then a person."""
    answer: Answer = yield Ask("policy.abuse", {}, "open")
    if not answer.text or phrases("asides.yaml", "swearing").search(folded(answer.text)):
        raise PersonNeededError("strong words, twice")
    raise SaidInsteadError(answer.text)
