"""The licence gate: what the licences of a recipe's sources allow, and which of them a commercial release may not stand on.

Licences are looked up in `licences.yaml` by SPDX identifier or by the ways people write them; SPDX expressions (`A AND B`, `A OR B`,
SPDX 2.3 annex D, without brackets) are read too. What is not in the file is unknown, and unknown is not allowed: silence is no permission.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol

import yaml
from pydantic import BaseModel, ConfigDict

from bedside.errors import SourceError

Allowed = Literal["yes", "unknown", "no"]
_STRICTER: tuple[Allowed, ...] = ("yes", "unknown", "no")
_JOINED = re.compile(r"\s+(AND|OR)\s+")


class Licence(BaseModel):
    """What a licence asks for.

    Attributes:
        id: SPDX identifier, or the words as they were given where nothing is known of them.
        also: other ways to write it.
        commercial: whether what is made from such data may be released for commercial use.
        share_alike: what is made from it has to carry the same licence.
        attribution: whoever made it has to be named.
        source: where this was read.
        note: what to know besides.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    also: tuple[str, ...] = ()
    commercial: Allowed
    share_alike: bool
    attribution: bool
    source: str
    note: str = ""


class Licensed(Protocol):
    """A source of a recipe: its name, and its licence as the recipe writes it."""

    @property
    def name(self) -> str: ...
    @property
    def licence(self) -> str: ...


@dataclass(frozen=True, slots=True)
class LicenceFinding:
    """What the licence of one source means for the release.

    Attributes:
        source: the source's name.
        licence: as the recipe writes it.
        kind: `non-commercial` and `unknown` forbid or do not clearly allow commercial use; the others are duties of any release.
        problem: the same in words.
        blocks: whether the release may not be made.
    """

    source: str
    licence: str
    kind: Literal["non-commercial", "unknown", "share-alike", "attribution"]
    problem: str
    blocks: bool


def licence(words: str) -> Licence:
    """What is known of a licence.

    Args:
        words: SPDX identifier or expression, or the source's own words.
    """
    parts = _JOINED.split(words.strip())
    found = _one(parts[0])
    for joint, part in zip(parts[1::2], parts[2::2], strict=True):
        found = _joined(found, _one(part), joint == "AND")
    return found


def check_licences(sources: Iterable[Licensed], commercial: bool) -> tuple[LicenceFinding, ...]:
    """What the licences of `sources` mean for a release, those that forbid it first.

    Args:
        commercial: whether the release is marked for commercial use.
    """
    findings = [finding for source in sources for finding in _findings(source, commercial)]
    return tuple(sorted(findings, key=lambda finding: not finding.blocks))


def licence_gate(sources: Sequence[Licensed], commercial: bool) -> tuple[LicenceFinding, ...]:
    """As `check_licences`, for a stage that must not go on with a source that blocks the release.

    Raises:
        SourceError: names every such source with its licence.
    """
    findings = check_licences(sources, commercial)
    blocking = [finding for finding in findings if finding.blocks]
    if blocking:
        raise SourceError(
            "the release is marked commercial, but " + "; ".join(f"source {f.source!r}: {f.problem}" for f in blocking),
            f"Remove {', '.join(repr(f.source) for f in blocking)} from corpus.sources, correct the `licence` there if it is wrong, "
            "obtain written permission and name it as the licence `own`, or set release.commercial to false",
        )
    return findings


def _findings(source: Licensed, commercial: bool) -> Iterator[LicenceFinding]:
    terms = licence(source.licence)
    note = f" ({terms.note})" if terms.note else ""
    if terms.commercial == "no":
        problem = f"its licence {source.licence!r} forbids commercial use{note}"
        yield LicenceFinding(source.name, source.licence, "non-commercial", problem, commercial)
    elif terms.commercial == "unknown":
        problem = f"nobody has established that its licence {source.licence!r} allows commercial use{note}"
        yield LicenceFinding(source.name, source.licence, "unknown", problem, commercial)
    if terms.share_alike:
        problem = f"what is released from it has to carry {terms.id} too"
        yield LicenceFinding(source.name, source.licence, "share-alike", problem, False)
    if terms.attribution:
        yield LicenceFinding(source.name, source.licence, "attribution", "its makers have to be named in the release", False)


def _one(words: str) -> Licence:
    known, forbidding = _table()
    if found := known.get(_key(words.partition(" WITH ")[0])):
        return found
    spaced = " ".join(re.findall(r"[a-z0-9]+", words.lower()))
    commercial: Allowed = "no" if any(phrase in spaced for phrase in forbidding) else "unknown"
    return Licence(id=words.strip(), commercial=commercial, share_alike=False, attribution=True, source="the source's own words")


def _joined(one: Licence, other: Licence, both: bool) -> Licence:
    """The terms of two licences that hold together, or of which one may be chosen: then the one that allows more."""
    ordered = sorted((one, other), key=lambda terms: (_STRICTER.index(terms.commercial), terms.share_alike, terms.attribution))
    if not both:
        return ordered[0]
    return ordered[1].model_copy(
        update={
            "id": f"{one.id} AND {other.id}",
            "share_alike": one.share_alike or other.share_alike,
            "attribution": one.attribution or other.attribution,
        }
    )


def _key(words: str) -> str:
    return "".join(filter(str.isalnum, words.lower()))


@cache
def _table() -> tuple[dict[str, Licence], list[str]]:
    content = yaml.safe_load(files("bedside.corpus").joinpath("licences.yaml").read_text(encoding="utf-8"))
    known: dict[str, Licence] = {}
    for entry in content["licences"]:
        terms = Licence.model_validate(entry)
        known.update({_key(name): terms.model_copy(update={"id": name}) for name in (terms.id, *terms.also)})
    return known, content["forbidding"]
