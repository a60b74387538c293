"""Medicines in what callers say: which ones, where in the text, and how sure.

`recognise` finds brands, generics, slang and lay words, misspellings and what speech recognition makes of a name. `resolve` reads a name
that stands alone. `monitored` and `is_critical_supply` carry the line's policies M-1 and M-2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from rapidfuzz.distance import OSA

from bedside.knowledge.medicines import medicine_classes, members
from bedside.safety.medicine_names import By, Name, book, key_of, skeleton, words_of
from bedside.safety.text import Token, Words, read

_CERTAIN = {"generic": 0.98, "brand": 0.97, "slang": 0.85, "asr": 0.85, "spelling": 0.8}
_LIKE_ALONE = 0.84
_LIKE_IN_CONTEXT = 0.77
_LIKE_IF_SHORT = 0.83
_HEARD_IN_CONTEXT = 0.7
_AS_LIKE = 0.04
_TAKEN_FOR = 0.15
_ORDINARY = 0.15
_RUN_TOGETHER = 4
_NEAR = 0.8
"""Confidence from which a misspelt name is taken for the medicine where it is told that nothing is known against it."""
_SHORT_PLURAL = 5
"""Shorter names are not looked for in their plural."""
_AMOUNT = re.compile(r"\d+(?:mg|mcg|ug|ml|g|iu)")


@dataclass(frozen=True, slots=True)
class Mention:
    """A medicine in a text.

    Attributes:
        generic: the substance; None for a combination or a class.
        class_id: the class, where the words say no more than that.
        generics: the substances: one, those of a combination, or none for a class.
        text, start, end: the words, and their place in the original text: `original[start:end] == text`.
        confidence: how likely it is meant, 0 … 1.
        confirm: the caller has to be asked whether it is meant.
        by: what it was known by.
    """

    generic: str | None
    class_id: str | None
    generics: tuple[str, ...]
    text: str
    start: int
    end: int
    confidence: float
    confirm: bool
    by: By


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name that stands alone means: substances or classes, and whether all of its words were understood."""

    generics: frozenset[str]
    classes: frozenset[str]
    whole: bool

    @property
    def substances(self) -> frozenset[str]:
        """The generics, those of the classes included."""
        return self.generics.union(*map(members, self.classes))


def recognise(text: str | Words, *, in_context: bool = False) -> tuple[Mention, ...]:
    """Medicines in a text, in the order in which they stand.

    Args:
        text: what was said.
        in_context: the text is known to be about medicines, such as a line of a medication list.

    Two mentions share a place where words may be either of two names; both are then to be confirmed.
    """
    words = read(text) if isinstance(text, str) else text
    exact = list(_exact(words.tokens))
    context = in_context or _speaks_of_medicines(words.tokens) or any(not name.needs_context for name, _, _ in exact)
    mentions = _mentions(words, exact, context)
    if mentions and not context:
        mentions = _mentions(words, exact, True)
    return tuple(sorted(mentions, key=lambda mention: (mention.start, -mention.confidence)))


def _mentions(words: Words, exact: list[tuple[Name, int, int]], context: bool) -> list[Mention]:
    """Exact names and guesses; words of a name that needs context are never guessed to be another."""
    mentions: list[Mention] = []
    taken: set[int] = set()
    for name, first, last in exact:
        taken.update(range(first, last))
        if context or not name.needs_context:
            confidence = _CERTAIN[name.by] - (_ORDINARY if name.needs_context else 0)
            mentions.append(_mention(words, name, first, last, confidence, name.by))
    return mentions + list(_guesses(words, taken, context))


def resolve(name: str) -> Resolved | None:
    """What a brand, generic, class, slang word or misspelling means; None where nothing in it is known."""
    key = key_of(name)
    if key not in book().exact and (found := _class(key.replace(" ", "_"))):
        return found
    mentions = recognise(name, in_context=True)
    if not mentions:
        return None
    covered = [(mention.start, mention.end) for mention in mentions]
    rest = [token for token in read(name).tokens if not any(start <= token.start < end for start, end in covered)]
    whole = all(token.word in words_of("beside_a_name") or token.word[:1].isdigit() for token in rest)
    near = all(mention.confidence >= _NEAR for mention in mentions)
    return Resolved(
        frozenset(generic for mention in mentions for generic in mention.generics),
        frozenset(mention.class_id for mention in mentions if mention.class_id),
        whole and near,
    )


def monitored(medicine: str, state: str | None) -> tuple[bool | None, str]:
    """Whether a medicine is controlled or monitored, so that the line never renews it by itself (policy M-1).

    Args:
        medicine: brand, generic, class or slang.
        state: VIC, NSW, …; None counts as any state, so that the widest list holds.

    Returns:
        True, False, or None for a medicine that is not known; and the id of the list that decided.
    """
    found = resolve(medicine)
    if found is None:
        return None, "s8"
    substances = found.substances
    for rule in ("s8", "monitored_s4", "monitored_line_policy", "s4_monitored_victoria"):
        if rule == "s4_monitored_victoria" and state not in (None, "VIC"):
            continue
        if substances & members(rule):
            return True, rule
    return (False if found.whole else None), "monitored_s4"


def is_critical_supply(medicine: str) -> bool | None:
    """Whether a medicine must not run out, so that its script is asked for the same day (policy M-2); None where it is not known."""
    found = resolve(medicine)
    if found is None:
        return None
    return bool(found.substances & members("critical_supply"))


def as_rows(mentions: tuple[Mention, ...]) -> list[dict[str, str | int | float]]:
    """Mentions as `bedside medicines --jsonl` writes them: one row a substance; a class stands under its id."""
    return [
        {"generic": generic, "text": mention.text, "start": mention.start, "end": mention.end, "confidence": mention.confidence}
        for mention in mentions
        for generic in mention.generics or (mention.class_id or "",)
    ]


def _class(name: str) -> Resolved | None:
    for candidate in (name, name.removesuffix("s"), name + "s"):
        if candidate in medicine_classes():
            return Resolved(frozenset(), frozenset([candidate]), True)
    return None


def _exact(tokens: tuple[Token, ...]) -> Iterator[tuple[Name, int, int]]:
    """Names that stand in the text word for word, longest first, without overlaps: name, first word, word after the last."""
    at = 0
    while at < len(tokens):
        found = _longest(tokens, at)
        if found is None:
            at += 1
        else:
            yield found
            at = found[2]


def _longest(tokens: tuple[Token, ...], at: int) -> tuple[Name, int, int] | None:
    names = book()
    if tokens[at].word.replace("'", "") not in names.starts and not tokens[at].word.endswith("s"):
        return None
    for last in range(min(len(tokens), at + names.longest), at, -1):
        key = " ".join(token.word.replace("'", "") for token in tokens[at:last])
        for form in (key, key.removesuffix("es"), key.removesuffix("s")):
            name = names.exact.get(form)
            if name is not None and (form == key or len(form) >= _SHORT_PLURAL):
                return name, at, last
    return None


def _speaks_of_medicines(tokens: tuple[Token, ...]) -> bool:
    wanted = words_of("context")
    words = [token.word.replace("'", "") for token in tokens]
    if any(word in wanted or _AMOUNT.fullmatch(word) for word in words):
        return True
    phrases = (" ".join(words[at : at + size]) for size in (2, 3) for at in range(len(words) - size + 1))
    return any(phrase in wanted for phrase in phrases)


def _guesses(words: Words, taken: set[int], context: bool) -> Iterator[Mention]:
    """Mentions by spelling and sound in the words that no exact name covers."""
    at = 0
    while at < len(words.tokens):
        found = None if at in taken else (_heard(words, at, taken, context) or _spelt(words, at, context))
        if found:
            yield from found
            at = next(place for place, token in enumerate(words.tokens) if token.end == found[0].end)
        at += 1


def _spelt(words: Words, at: int, context: bool) -> list[Mention]:
    word = words.tokens[at].word.replace("'", "")
    found = book().like(word)
    strict = _LIKE_ALONE if not context else _LIKE_IN_CONTEXT if len(word) > 6 else _LIKE_IF_SHORT
    if not found or found[0][1] < strict:
        return []
    return _alternatives(words, found, at, at + 1, "spelling")


def _heard(words: Words, at: int, taken: set[int], context: bool) -> list[Mention]:
    """A name whose parts were written as several words: "oh zem pick"."""
    tokens, little = words.tokens, words_of("little")
    letters = sounds = ""
    best: tuple[float, Name, int] | None = None
    for last in range(at, min(len(tokens), at + _RUN_TOGETHER)):
        token = tokens[last]
        if last in taken or (last > at and token.after_break) or token.word.isdigit():
            break
        letters += token.word
        sounds = _run_on(sounds, skeleton(token.word)) if context else ""
        likely = last > at and len(token.word) > 1 and little.isdisjoint((tokens[at].word, token.word))
        if (context or likely) and last > at and (exactly := book().run_together.get(letters)):
            best = 1.0, exactly, last + 1
        elif context:
            found = book().heard(letters, sounds) if likely else None
            if found and found[1] >= max(_HEARD_IN_CONTEXT, best[0] if best else 0):
                best = found[1], found[0], last + 1
    return _alternatives(words, ((best[1], best[0]),), at, best[2], "asr") if best else []


def _run_on(sounds: str, more: str) -> str:
    """The skeleton of words run together, from the skeletons of its parts."""
    if not sounds:
        return more
    more = more.removeprefix("A")
    return sounds + (more[1:] if more[:1] == sounds[-1] else more)


def _alternatives(words: Words, found: tuple[tuple[Name, float], ...], first: int, last: int, by: By) -> list[Mention]:
    """The likest name, and a second one of another substance that is as like or is known to be taken for it."""
    likest, likeness = found[0]
    mention = _mention(words, likest, first, last, min(0.95, _CERTAIN[by] * likeness + 0.1), by)
    letters = "".join(token.word for token in words.tokens[first:last])
    near = [name for name, rival_likeness in found[1:] if likeness - rival_likeness <= _AS_LIKE]
    for partner in book().partners.get(likest.key, ()):
        if OSA.normalized_similarity(letters, partner.key) > OSA.normalized_similarity(letters, likest.key) - _TAKEN_FOR:
            near.append(partner)
    for rival in near:
        if rival.generics != likest.generics:
            other = _mention(words, rival, first, last, mention.confidence / 2 - 0.01, by)
            return [replace(mention, confidence=round(mention.confidence / 2, 2)), other]
    return [mention]


def _mention(words: Words, name: Name, first: int, last: int, confidence: float, by: By) -> Mention:
    start, end = words.tokens[first].start, words.tokens[last - 1].end
    return Mention(
        generic=name.generics[0] if len(name.generics) == 1 else None,
        class_id=name.class_id,
        generics=name.generics,
        text=words.original[start:end],
        start=start,
        end=end,
        confidence=round(confidence, 2),
        confirm=name.confirm or by in ("spelling", "asr", "slang"),
        by=by,
    )
