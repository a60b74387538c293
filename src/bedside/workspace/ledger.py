"""The drop ledger: every record that was dropped, truncated or masked, with the stage and a reason code."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bedside.errors import SourceError
from bedside.workspace.files import write_jsonl

Action = Literal["dropped", "truncated", "masked", "changed"]


@dataclass(frozen=True)
class Entry:
    """One record that did not pass unchanged.

    Attributes:
        stage: where it happened (`sources`, `synthesis`, `split`, `tokenise`, …).
        action: what was done to the record.
        reason: a short stable code (`bad_json`, `too_long`, `duplicate`, …).
        source: the source's name in the recipe.
        where: file and line, or the record's id.
        detail: what was found, in words; never the record's text.
    """

    stage: str
    action: Action
    reason: str
    source: str
    where: str
    detail: str = ""


class DropLedger:
    """Collects entries and the number of records seen, so that shares can be shown and limited."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.seen: Counter[str] = Counter()

    def saw(self, source: str, count: int = 1) -> None:
        """Count records of a source that were looked at, kept or not."""
        self.seen[source] += count

    def add(self, stage: str, action: Action, reason: str, *, source: str, where: str, detail: str = "") -> None:
        """File one record."""
        self.entries.append(Entry(stage, action, reason, source, where, detail))

    def counts(self) -> dict[str, int]:
        """Entries by `stage/action/reason`, most frequent first."""
        return dict(Counter(f"{e.stage}/{e.action}/{e.reason}" for e in self.entries).most_common())

    def check_share(self, limit: float) -> None:
        """Refuse a source of which more than `limit` (0 to 1) was dropped.

        Raises:
            SourceError: names the source, the share, the commonest reason and one place to look.
        """
        for source, seen in self.seen.items():
            dropped = [e for e in self.entries if e.source == source and e.action == "dropped" and e.stage == "sources"]
            if seen and len(dropped) / seen > limit:
                reason, number = Counter(e.reason for e in dropped).most_common(1)[0]
                first = next(e for e in dropped if e.reason == reason)
                raise SourceError(
                    f"source {source!r} lost {len(dropped)} of {seen} records ({len(dropped) / seen:.0%}, allowed {limit:.0%}), {number} of them for {reason!r}, the first at {first.where}: {first.detail}",
                    "Mend the file, choose the right reader, or raise corpus.max_dropped_share",
                )

    def write(self, path: Path) -> None:
        """Write the entries as JSON Lines."""
        write_jsonl(path, [asdict(e) for e in self.entries])
