"""What became of a run's data: read, kept, waiting for review, dropped and changed, from what the corpus stage wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from bedside.corpus.curate import LEDGER, REVIEW
from bedside.errors import WorkspaceError
from bedside.workspace.files import read_jsonl
from bedside.workspace.ledger import Action
from bedside.workspace.run import Run


@dataclass(frozen=True)
class SourceLine:
    """One source: records looked at, kept, and waiting for review; the others were dropped."""

    name: str
    licence: str
    seen: int
    kept: int
    review: int


@dataclass(frozen=True)
class ReasonLine:
    """One reason: how many entries of the ledger have it, and where the first is."""

    stage: str
    action: Action
    reason: str
    entries: int
    first: str


@dataclass(frozen=True)
class Overview:
    """A corpus at a glance.

    Attributes:
        folder: of the corpus stage.
        sources: in the order in which they were read.
        reasons: of the ledger, most frequent first.
        missing: optional sources that were not there.
    """

    folder: Path
    sources: tuple[SourceLine, ...]
    reasons: tuple[ReasonLine, ...]
    missing: tuple[str, ...]

    def review(self, most: int) -> Iterator[dict[str, Any]]:
        """The first `most` records that wait for review: `source`, `where`, `found`, `messages`."""
        return islice(read_jsonl(self.folder / REVIEW), most)


def overview(run: Path) -> Overview:
    """Look into the corpus of a run folder.

    Raises:
        WorkspaceError: the folder is no run, or its corpus stage has not finished.
    """
    manifest = next((one for one in Run(run).lineage() if one["stage"] == "corpus"), None)
    if manifest is None:
        raise WorkspaceError(f"{str(run)!r} has no finished corpus", "Run `bedside curate RECIPE` first")
    folder, facts = run / "corpus", manifest["facts"]
    kept: Counter[str] = Counter()
    for place, number in facts["records"].items():
        kept[place.partition("/")[0]] += number
    waiting = Counter(row["source"] for row in read_jsonl(folder / REVIEW))
    sources = (SourceLine(name, facts["licences"].get(name, ""), seen, kept[name], waiting[name]) for name, seen in facts["seen"].items())
    return Overview(folder, tuple(sources), tuple(_reasons(folder / LEDGER)), tuple(facts["missing_sources"]))


def _reasons(ledger: Path) -> list[ReasonLine]:
    counts: Counter[tuple[str, Action, str]] = Counter()
    first: dict[tuple[str, Action, str], str] = {}
    for row in read_jsonl(ledger):
        what = (row["stage"], row["action"], row["reason"])
        counts[what] += 1
        first.setdefault(what, f"{row['source']} {row['where']}")
    return [ReasonLine(*what, number, first[what]) for what, number in counts.most_common()]
