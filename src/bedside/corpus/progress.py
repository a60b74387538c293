"""How far a long stage is: a line now and then with records done, rate and time left."""

from __future__ import annotations

from time import monotonic

from rich.console import Console

_EVERY = 10.0


class Progress:
    """Counts records and shows, every ten seconds, how it goes.

    Args:
        done: what was done to them ("cleaned").
        total: how many there are in all; None where nobody knows yet.
        before: how many an earlier run had done.
    """

    def __init__(self, console: Console, done: str, total: int | None, before: int = 0) -> None:
        self._console, self._word, self._total, self._before = console, done, total, before
        self._done = 0
        self._start = self._shown = monotonic()

    def add(self, records: int) -> None:
        """Count more records."""
        self._done += records
        now = monotonic()
        if now - self._shown >= _EVERY:
            self._shown = now
            self._console.print(f"  {self._line(self._done / (now - self._start))}", highlight=False)

    def _line(self, rate: float) -> str:
        so_far = self._before + self._done
        if self._total is None:
            return f"{self._word} {so_far:,}, {rate:,.0f} a second"
        return f"{self._word} {so_far:,} of {self._total:,}, {rate:,.0f} a second, {_duration((self._total - so_far) / rate)} left"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
