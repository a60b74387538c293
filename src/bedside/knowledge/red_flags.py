"""The red flags of the protocol and the words they are recognised by, from `red_flags.yaml` and `lexicon/`.

A rule combines concepts; a concept is a list of wordings. Nothing here reads a caller: `bedside.safety.triage` does.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bedside.errors import KnowledgeError
from bedside.knowledge.dispositions import dispositions
from bedside.knowledge.facts import Fact, built_in

_CONCEPT = re.compile(r"[a-z][a-z0-9_]*")
_WITH_SLASH = re.compile(r"[^,]*/[^,]*")


def _disposition(name: str) -> str:
    if name not in dispositions():
        raise ValueError(f"{name!r} is no disposition; use one of {', '.join(dispositions())}")
    return name


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Route(_Frozen):
    """Where a red flag sends the caller, and on what.

    Attributes:
        to: the disposition.
        when: patterns, any of which is enough; see `Pattern`.
    """

    to: Annotated[str, AfterValidator(_disposition)]
    when: tuple[str, ...] = Field(min_length=1)


class RedFlagRule(Fact):
    """One rule of the protocol.

    Attributes:
        picture: what it looks for, for a clinician to read.
        routes: where it sends the caller; of those that fit, the most urgent counts.
        ask: what would have to be asked, in words for the caller.
    """

    picture: str
    routes: tuple[Route, ...] = Field(min_length=1)
    ask: tuple[str, ...] = ()


class Quantity(_Frozen):
    """A concept made of a number: `low` ≤ number < `high`, with a unit after it or a cue before it.

    Attributes:
        after: concepts of which one has to follow the number.
        before: concepts of which one has to stand up to four words before it.
        decimal: a number with a decimal part needs neither.
    """

    low: float
    high: float
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    decimal: bool = False


class Marker(_Frozen):
    """Words that say that what stands near them is not happening to the patient now.

    Attributes:
        phrases: the wordings.
        back, ahead: how many words before and after the marker it reaches, within its clause.
        needs: concepts of which one has to stand in the same clause; none: it holds by itself.
        lifted_by: concepts that undo it when one stands in the same clause.
        only: the concepts that it sets aside; all where there are none.
        spares: concepts that it leaves as they are.
        sentence: it reaches through its whole sentence, not only its clause.
        of_others: it speaks of somebody else; what is said of the caller or their family (the concept `own_subject`) stands, and so does
            all that follows a clause that they lead or that has one of `lifted_by`.
        undone_by: concepts that undo it when one stands anywhere in its sentence.
        each_clause: `lifted_by` undoes it only for the clause that has it.
        in_clause: it sets aside only what stands in a clause with one of these concepts; none: in any clause.
    """

    phrases: str
    back: int = 0
    ahead: int = 0
    needs: tuple[str, ...] = ()
    lifted_by: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    sentence: bool = False
    of_others: bool = False
    undone_by: tuple[str, ...] = ()
    each_clause: bool = False
    in_clause: tuple[str, ...] = ()

    @property
    def by_clause(self) -> bool:
        """Whether what undoes it does so for its own clause only."""
        return self.of_others or self.each_clause


class _LexiconFile(_Frozen):
    about: str
    source: str
    certainty: str
    classes: dict[str, str] = {}
    concepts: dict[str, str] = {}
    spellings: dict[str, str] = {}
    numbers: dict[str, float] = {}
    quantities: dict[str, Quantity] = {}
    markers: dict[str, Marker] = {}
    compounds: dict[str, tuple[str, ...]] = {}
    never_aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Lexicon:
    """All wordings; phrases are separated by commas, and `a/b` in a phrase stands for either word.

    Attributes:
        classes: word classes that phrases of concepts may name as `<class>`.
        concepts: wordings of each concept.
        spellings: casual and misheard words and the words that they stand for.
        numbers: number words.
        quantities: concepts made of a number.
        markers: concepts that change what stands near them.
        compounds: concepts made of patterns of one term each; they may use each other.
        never_aside: concepts that no marker sets aside: who the patient is, and what somebody in a crisis says of themselves.
    """

    classes: dict[str, str]
    concepts: dict[str, str]
    spellings: dict[str, str]
    numbers: dict[str, float]
    quantities: dict[str, Quantity]
    markers: dict[str, Marker]
    compounds: dict[str, tuple[str, ...]]
    never_aside: frozenset[str]

    def names(self) -> frozenset[str]:
        """Every concept that a pattern may name."""
        return frozenset(self.concepts) | frozenset(self.quantities) | frozenset(self.markers) | frozenset(self.compounds)


@dataclass(frozen=True, slots=True)
class Pattern:
    """A combination of concepts, written `a|b ~ c + d + !e`.

    `|`: either concept. `~`: within eight words of each other. `+`: anywhere in the turn. `!`: nowhere in the turn.

    Attributes:
        terms: what has to be there: for each term its near parts, for each part the concepts that will do.
        absent: concepts that must not be there.
    """

    terms: tuple[tuple[tuple[str, ...], ...], ...]
    absent: tuple[str, ...]


def parse_pattern(text: str, known: frozenset[str]) -> Pattern:
    """The pattern that `text` writes.

    Raises:
        KnowledgeError: it names a concept that is not in `known`, or has no term that has to be there.
    """
    terms: list[tuple[tuple[str, ...], ...]] = []
    absent: list[str] = []
    for term in text.split(" + "):
        if term.strip().startswith("!"):
            absent += _alternatives(term.strip()[1:], text, known)
        else:
            terms.append(tuple(_alternatives(part, text, known) for part in term.split(" ~ ")))
    if not terms:
        raise KnowledgeError(f"the pattern {text!r} only says what must be absent", "Add a concept that has to be there")
    return Pattern(tuple(terms), tuple(absent))


def _alternatives(part: str, pattern: str, known: frozenset[str]) -> tuple[str, ...]:
    names = tuple(name.strip() for name in part.split("|"))
    for name in names:
        if not _CONCEPT.fullmatch(name) or name not in known:
            raise KnowledgeError(f"the pattern {pattern!r} names the concept {name!r}, which no lexicon file has", "Correct or add it")
    return names


@cache
def red_flags() -> tuple[RedFlagRule, ...]:
    """The built-in rules."""
    return built_in(RedFlagRule, "red_flags.yaml")


@cache
def lexicon() -> Lexicon:
    """The built-in wordings.

    Raises:
        KnowledgeError: a file with another layout, or a name that two files give.
    """
    folder = files("bedside.knowledge").joinpath("lexicon")
    parts = [_read(entry.read_text(encoding="utf-8"), entry.name) for entry in sorted(folder.iterdir(), key=lambda e: e.name)]
    return Lexicon(
        classes=_merged(parts, "classes"),
        concepts=_merged(parts, "concepts"),
        spellings=_merged(parts, "spellings"),
        numbers=_merged(parts, "numbers"),
        quantities=_merged(parts, "quantities"),
        markers=_merged(parts, "markers"),
        compounds=_merged(parts, "compounds"),
        never_aside=frozenset(name for part in parts for name in part.never_aside),
    )


def _read(text: str, name: str) -> _LexiconFile:
    try:
        read = _LexiconFile.model_validate(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except (yaml.YAMLError, ValidationError) as error:
        raise KnowledgeError(f"lexicon/{name} cannot be used: {' '.join(str(error).split())}", "Mend that place") from error
    wordings = read.classes | read.concepts | {marker: of.phrases for marker, of in read.markers.items()}
    for concept, phrases in wordings.items():
        for phrase in filter(_spread, _WITH_SLASH.findall(phrases)):
            warnings.warn(
                f"lexicon/{name}: in {concept}, the phrase {phrase.strip()!r} names a word twice beside a slash; a slash parts single words"
                " only, so write alternatives of several words as phrases of their own",
                stacklevel=2,
            )
    return read


def _spread(phrase: str) -> bool:
    """Whether alternatives of a phrase look as if they were meant to span several words: "feel paper/toilet paper/loo paper".

    Read word by word, such a phrase says one word twice, in one place or in two neighbouring ones.
    """
    words = phrase.replace("/", " ").split()
    if len(set(words)) == len(words):  # nearly all
        return False
    places = [word.split("/") for word in phrase.split()]
    if any(len(set(place)) < len(place) for place in places):
        return True
    return any(len(one) > 1 and len(next_one) > 1 and not set(one).isdisjoint(next_one) for one, next_one in pairwise(places))


V = TypeVar("V")


def _merged(parts: list[_LexiconFile], field: str) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts:
        entries: dict[str, Any] = getattr(part, field)
        for name in entries.keys() & merged.keys():
            raise KnowledgeError(f"{field} names {name!r} in two lexicon files", "Keep one of them")
        merged |= entries
    return merged
