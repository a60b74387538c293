"""How a result has changed against earlier ones, of the patient's record or of the same report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bedside.knowledge.report_conditions import ChangeTest
from bedside.reports.readings import Reading, number, shown

DAY = 24 * 3600.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """From an earlier to the present result of one analyte, both in its unit."""

    before: Reading
    now: Reading

    @property
    def days(self) -> float:
        """Days between the two."""
        return (self.now.moment - self.before.moment).total_seconds() / DAY

    def __str__(self) -> str:
        before, now = self.before.value or 0.0, self.now.value or 0.0
        share = f", {100 * (now - before) / before:+.0f} %" if before else ""
        when = f" in {self.days:.0f} days" if self.days >= 2 else f" in {self.days * 24:.0f} hours" if self.days >= 1 / 24 else ""
        unit = f" {shown(self.now.analyte.unit)}" if self.now.analyte and self.now.analyte.unit else ""
        return f"{self.now.label} {number(before)} → {number(now)}{unit} ({now - before:+.3g}{share}{when})"


def changes(present: Sequence[Reading], earlier: Sequence[Reading], test: ChangeTest) -> list[Change]:
    """The change to each analyte's latest result from the latest earlier one in the test's window.

    A recorded result without a date counts as earlier, unless the test asks how much earlier.

    Args:
        present: readings of one analyte in the report, latest first.
        earlier: readings of it in the record, latest first.
    """
    if not present:
        return []
    now = present[0]
    for before in [*present[1:], *earlier]:
        if before.finding.time is None or now.finding.time is None:
            in_window = before.recorded and not test.after_days
        else:
            seconds = (now.moment - before.moment).total_seconds()
            in_window = seconds > 0 and seconds // DAY <= test.within_days and seconds / DAY >= test.after_days
        if in_window and before.value is not None and now.value is not None:
            return [Change(before, now)]
    return []


def series(present: Sequence[Reading], earlier: Sequence[Reading]) -> list[Reading]:
    """All results of one analyte that have a time, oldest first, for a plot."""
    return sorted((one for one in [*present, *earlier] if one.finding.time is not None), key=lambda one: (one.moment, one.value or 0.0))
