"""The drop ledger: every record that was dropped, truncated, masked, changed, sent to review or let pass, with the stage and a reason code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from bedside.errors import SourceError
from bedside.workspace.files import write_jsonl

Action = Literal["dropped", "truncated", "masked", "changed", "review", "exempt"]


@dataclass(frozen=True)
class Entry:
    """One record that did not pass unchanged.

    Attributes:
        stage: where it happened (`sources`, `synthesis`, `split`, `tokenise`, …).
        action: what was done to the record; `review` holds it back until a clinician has seen it, `exempt` lets it pass a
            rule that does not hold for it.
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


class Tally:
    """How often each thing happened, for ledgers that are too long to be held.

    Attributes:
        by: entries by source, stage, action and reason.
    """

    def __init__(self) -> None:
        self.by: Counter[tuple[str, str, str, str]] = Counter()

    def counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The same entries, counted as they pass."""
        for entry in entries:
            self.by[entry.source, entry.stage, entry.action, entry.reason] += 1
            yield entry

    def reasons(self) -> Counter[tuple[str, str, str]]:
        """Entries by stage, action and reason, over all sources."""
        counts: Counter[tuple[str, str, str]] = Counter()
        for (_, stage, action, reason), number in self.by.items():
            counts[stage, action, reason] += number
        return counts

    def counts(self) -> dict[str, int]:
        """Entries by `stage/action/reason`, most frequent first."""
        return {"/".join(what): number for what, number in self.reasons().most_common()}


class DropLedger:
    """Collects entries and the number of records seen, so that shares can be shown and limited.

    Attributes:
        entries: in the order in which they were filed.
        seen: records looked at, by source.
    """

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

    def check_share(self, limit: float, limits: Mapping[str, float] | None = None) -> None:
        """Refuse a source of which more than `limit` (0 to 1) could not be read.

        Args:
            limits: other limits, by source.

        Raises:
            SourceError: names the source, the share, the commonest reason and one place to look.
        """
        for source, seen in self.seen.items():
            allowed = (limits or {}).get(source, limit)
            lost = [e for e in self.entries if e.source == source and e.action == "dropped" and e.stage == "sources"]
            if seen and len(lost) / seen > allowed:
                reason, number = Counter(e.reason for e in lost).most_common(1)[0]
                first = next(e for e in lost if e.reason == reason)
                raise SourceError(
                    f"source {source!r} lost {len(lost)} of {seen} records ({len(lost) / seen:.0%}, allowed {allowed:.0%}), {number} of them for {reason!r}, the first at {first.where}: {first.detail}",
                    "Mend the file, choose the right reader, or raise max_dropped_share of the source or of corpus",
                )

    def write(self, path: Path) -> None:
        """Write the entries as JSON Lines."""
        write_jsonl(path, [asdict(e) for e in self.entries])
