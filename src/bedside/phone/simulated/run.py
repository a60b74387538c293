"""Whole runs of simulated callers, at a time at which the practice is open."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bedside.phone.line import Line
from bedside.phone.simulated.by_text import simulate_by_text
from bedside.phone.simulated.by_voice import simulate_by_voice
from bedside.phone.simulated.load import Step, measure_load
from bedside.phone.simulated.people import Plan
from bedside.phone.simulated.scoring import Result
from bedside.phone.simulated.voices import Voices
from bedside.workspace.database import utc_now
from bedside.workspace.fetch import cache_folder

Progress = Callable[[int, int], None]

_AFTER_OPENING = dt.timedelta(minutes=30)


def in_hours(line: Line) -> Line:
    """The same line, whose clock goes from the practice's next opening on where it is closed now; not brought up yet.

    Its systems are opened anew, with that clock.
    """
    now = utc_now()
    opens = now if line.practice.is_open(now) else (line.practice.next_opening(now) or now) + _AFTER_OPENING
    ahead = opens - now
    return replace(line, now=lambda: utc_now() + ahead)


def by_text(line: Line, plans: Sequence[Plan], progress: Progress) -> list[Result]:
    """Calls by typing."""
    line = in_hours(line)
    try:
        line.open_day()
        return simulate_by_text(line, plans, progress)
    finally:
        line.database.close()


async def by_voice(
    line: Line, plans: Sequence[Plan], folder: Path, noise_db: float | None, preparing: Progress, progress: Progress
) -> list[Result]:
    """Calls by voice; recordings go to the folder `audio` of `folder`.

    Args:
        preparing: told how many of the callers' words are made, and of how many.
        progress: told how many calls are over, and of how many.
    """
    voices = _voices()
    try:
        await voices.prepare(plans, preparing)
        return await simulate_by_voice(in_hours(line), plans, voices, folder / "audio", noise_db=noise_db, progress=progress)
    finally:
        await voices.close()


async def loaded(line: Line, steps: Sequence[int], seconds: float, progress: Callable[[Step], None]) -> list[Step]:
    """Load at each step."""
    return await measure_load(in_hours(line), steps, seconds, line.settings.folder, progress, _voices())


def _voices() -> Voices:
    """What simulated callers say is kept among the fetched weights: it is made of them, and of nothing that anybody said."""
    return Voices(cache_folder() / "simulated-callers")
