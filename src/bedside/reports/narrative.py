"""A short summary for clinicians: a template of findings and notes, or a model's wording of them with every sentence checked back.

A sentence of the model stays only where each of its numbers stands in a finding or note that shares words with it, all its content words
come from findings and notes, and it neither turns a "no" around nor swaps high and low. The most urgent notes are always there, in their
own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from bedside.engine.base import Engine
from bedside.errors import EngineError
from bedside.reports.context import Context
from bedside.reports.rules import Missing, Note
from bedside.reports.words import plain, plain_words

_SHOWN = 3
"""Notes in the template summary; the others are counted."""
_LONGEST = 220
"""Tokens of a model's summary."""
_PROMPT = (
    "You write for clinicians. Summarise these findings and notes of a device report in at most four short sentences. "
    "Use only what stands there: no other number, no diagnosis, no dose, no reassurance."
)
_CHARACTERS_A_TOKEN = 2
"""At least; digits and names of medicines take more tokens than everyday words."""
NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
"""A number as summaries and sources write it."""
_WORD = re.compile(r"[a-z][a-z0-9]+")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z“\"])|\n+")
"""Between two sentences."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A summary, who worded it, and how many sentences of the model were removed because findings and notes do not bear them out."""

    text: str
    by: str
    removed: int = 0


@dataclass(frozen=True, slots=True)
class Draft:
    """What a model wrote: the sentences that findings and notes bear out, and the others."""

    kept: tuple[str, ...]
    removed: tuple[str, ...]


def summarise(
    context: Context, notes: Sequence[Note], quality: Sequence[Note], missing: Sequence[Missing], engine: Engine | None
) -> Summary:
    """The summary of an assessment; the template stands alone without a model, or where no sentence of the model holds."""
    template = _template(context, notes, quality, missing)
    if engine is None:
        return Summary(template, "template")
    try:
        told = draft(engine, sources(context, notes, quality))
    except EngineError as error:
        return Summary(f"{template} (No model summary: {error.problem}.)", "template")
    return worded(template, notes, told)


def worded(template: str, notes: Sequence[Note], told: Draft) -> Summary:
    """The summary that is shown: the most urgent notes in their own words, then what a model wrote and they do not say; else the template."""
    if not told.kept:
        return Summary(template, "template", len(told.removed))
    urgent = [note.text for note in notes if note.urgency in ("immediate", "same_day")][:_SHOWN]
    more = [sentence for sentence in told.kept if not any(sentence in text for text in urgent)]
    return Summary(" ".join([*urgent, *more]), "model", len(told.removed))


def draft(engine: Engine, said: Sequence[str]) -> Draft:
    """A model's own summary of what findings and notes say, each sentence checked back.

    Args:
        said: what the summary may say (`sources`).

    Raises:
        EngineError: the model cannot be asked.
    """
    answer = engine.reply(prompt(said, engine.contract.max_length), max_tokens=_LONGEST).text
    sentences = list(dict.fromkeys(sentence.strip() for sentence in SENTENCE.split(answer) if sentence.strip()))
    kept = tuple(sentence for sentence in sentences if is_supported(sentence, said))
    return Draft(kept, tuple(sentence for sentence in sentences if sentence not in kept))


def prompt(said: Sequence[str], max_length: int) -> list[dict[str, str]]:
    """What a model is asked, in training and at work: the most urgent sources that fit a context of `max_length` tokens, one a line."""
    room = _CHARACTERS_A_TOKEN * (max_length - _LONGEST) - len(_PROMPT)
    ends = accumulate(len(source) + 3 for source in said)
    fitting = [source for source, end in zip(said, ends, strict=True) if end <= room] or [source[:room] for source in said[:1]]
    return [{"role": "system", "content": _PROMPT}, {"role": "user", "content": "\n".join(f"- {source}" for source in fitting)}]


def _template(context: Context, notes: Sequence[Note], quality: Sequence[Note], missing: Sequence[Missing]) -> str:
    grave = [note.text for note in quality if note.urgency != "information"]
    told = [note for note in notes if note.kind != "abnormal"]
    abnormal = sorted({str(one) for one, _ in context.abnormal})
    parts = grave[:2]
    parts += [SENTENCE.split(note.text)[0] for note in told[:_SHOWN]]
    if len(told) > _SHOWN:
        parts.append(f"Further notes: {len(told) - _SHOWN}.")
    parts.append(
        f"Abnormal: {', '.join(abnormal[:8])}{' and others' if len(abnormal) > 8 else ''}."
        if abnormal
        else "No result is flagged or outside its limits."
    )
    if missing:
        parts.append(f"Not known: {', '.join(one.fact for one in missing[:6])}{' and others' if len(missing) > 6 else ''}.")
    return " ".join(parts)


def sources(context: Context, notes: Sequence[Note], quality: Sequence[Note]) -> list[str]:
    """What a summary may say, most urgent first: notes, then findings."""
    statements = [said.text for said in context.statements]
    return [*dict.fromkeys([*(note.text for note in (*quality, *notes)), *map(str, context.readings), *statements])]


def is_supported(sentence: str, sources: Sequence[str]) -> bool:
    """Whether every number and word of a sentence is borne out by what it was made from."""
    words, numbers = content_words(sentence), set(NUMBER.findall(sentence))
    if not words:
        return False
    near = [source for source in sources if words & content_words(source)]
    if not words <= frozenset().union(*(content_words(source) for source in near)):
        return False
    turning = _turning(sentence)
    bearing = [source for source in near if len(words & content_words(source)) * 2 >= len(words)] or near
    if any(not any(number in NUMBER.findall(source) for source in bearing) for number in numbers):
        return False
    return all(any(word in _turning(source) for source in bearing) for word in turning) and _keeps_denials(sentence, bearing)


def _keeps_denials(sentence: str, bearing: Sequence[str]) -> bool:
    """A sentence without any "no" may not be made of sources of which each says "no" about its words."""
    denials = {"no", "not", "without", "never", "absent", "negative"}
    if denials & _turning(sentence):
        return True
    words = content_words(sentence)
    return any(
        words <= content_words(part) and not denials & _turning(part) for source in bearing for part in (source, *SENTENCE.split(source))
    ) or not any(
        denials & _turning(part) and len(words & content_words(part)) * 2 > len(words)
        for source in bearing
        for part in SENTENCE.split(source)
    )


@lru_cache(maxsize=4096)
def content_words(text: str) -> frozenset[str]:
    """The words of a text that carry its meaning, without their endings."""
    return frozenset(
        _stem(word) for word in _WORD.findall(plain(text)) if word not in plain_words("filling") and word not in plain_words("turning")
    )


@lru_cache(maxsize=4096)
def _turning(text: str) -> frozenset[str]:
    return frozenset(word for word in _WORD.findall(plain(text)) if word in plain_words("turning"))


def _stem(word: str) -> str:
    return re.sub(r"(?:ing|ed|es|s)$", "", word) if len(word) > 4 else word
