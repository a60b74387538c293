"""From what a turn was understood to mean to what is done, in which order; and when the line does not trust what it heard."""

from __future__ import annotations

from collections.abc import Sequence

from bedside.engine.understanding import Understanding
from bedside.knowledge.intents import catalogue
from bedside.phone.call.dialogue import Answer, Ask, SaidInsteadError, Script, Wish, ask_yes_no
from bedside.phone.call.paths import path_of
from bedside.phone.words.plain import folded, phrases

LEAST_CONFIDENCE = 0.67
"""Of the recogniser: e to the -0.4, the mean log-probability under which 88 % of turns were misheard and 5 % of good ones fall (measured on
telephone audio, November 2026)."""
MOST_ENTROPY = 1.2
"""Of the understanding, in nats; above it the model hesitates between three wishes or more."""
_SYMPTOMS = {"symptom_triage", "emergency"}
_BOOKING = ("book", "symptom")
_SHORT = 4
_ASIDE = 7
"""Words; a longer turn that happens to hold such words is about something else."""


def doubtful(confidence: float, understanding: Understanding) -> bool:
    """Whether a turn has to be read back before anything is done about it."""
    return confidence < LEAST_CONFIDENCE or understanding.entropy > MOST_ENTROPY


def about_symptoms(understanding: Understanding) -> bool:
    """Whether the turn tells of how somebody feels: then a doubtful one is for a person at once (project source book 1.9)."""
    return any(intent.name in _SYMPTOMS for intent in understanding.intents)


def about_emergency(understanding: Understanding) -> bool:
    """Whether the model takes the turn for an emergency."""
    return any(intent.name == "emergency" for intent in understanding.intents)


def books(wish: Wish) -> bool:
    """Whether a wish ends in an appointment."""
    return path_of(wish.intent).script in _BOOKING


def wishes(text: str, understanding: Understanding, *, rules: tuple[str, ...] = ()) -> list[Wish]:
    """What the caller wants, the most urgent first, one booking at most; nothing for a turn in which nothing was said."""
    names = sorted((intent.name for intent in understanding.intents if intent.name != "silence"), key=lambda name: path_of(name).rank)
    if any(not path_of(name).alone for name in names):
        names = [name for name in names if not path_of(name).alone]
    kept: list[str] = []
    for name in names:
        if path_of(name).script != "book" or not any(path_of(other).script in _BOOKING for other in kept):
            kept.append(name)
    return [Wish(name, text, _slots_of(name, understanding), rules=rules) for name in kept]


def _slots_of(intent: str, understanding: Understanding) -> dict[str, str]:
    allowed = catalogue().intent(intent).slots
    return {name: value for name, value in understanding.slots.items() if name in allowed}


def listed(chosen: Sequence[Wish]) -> str:
    """Wishes as the line says them back: "a script and results"."""
    said = [path_of(wish.intent).said for wish in chosen]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def read_back(chosen: Sequence[Wish]) -> Script[None]:
    """Say what was understood, and ask whether it is right; where it is not, the caller says it again.

    Raises:
        SaidInsteadError: the caller said it in other words.
    """
    if not (yield from ask_yes_no("turn.read_back", {"what": listed(chosen)})):
        answer: Answer = yield Ask("turn.again", {}, "open")
        raise SaidInsteadError(answer.text)


def wants_person(text: str) -> bool:
    """Whether a turn asks for a person in so many words; it counts in the middle of any question."""
    said = folded(text)
    short = len(said.split()) <= _SHORT and phrases("asides.yaml", "person_short").search(said)
    return bool(short or phrases("asides.yaml", "person").search(said))


def says(text: str, key: str) -> bool:
    """Whether a turn holds one of the phrases of `asides.yaml` under `key`."""
    return bool(phrases("asides.yaml", key).search(folded(text)))


def asks_again(text: str) -> bool:
    """Whether a turn asks to hear the question again."""
    return len(text.split()) <= _ASIDE and says(text, "repeat")


def is_foreign(text: str) -> bool:
    """Whether a caller says that they speak no English, or writes in another script."""
    letters = [letter for letter in text if letter.isalpha()]
    return says(text, "no_english") or (len(letters) > 3 and sum(letter > "\u024f" for letter in letters) * 2 > len(letters))
