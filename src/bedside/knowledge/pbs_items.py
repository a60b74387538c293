"""Reads the table `items.csv` of the PBS API, which a practice downloads each month and keeps under that month's name.

Columns as the PBS data API v3 gives them (data.pbs.gov.au): `pbs_code`, `drug_name`, and `Y` or `N` in `policy_applied_imdq60_flag`, for an item
of the 60-day quantity, and in `policy_applied_imdq60_base_flag`, for the usual quantity of a medicine that also has a 60-day item.
"""

from __future__ import annotations

import csv
import re
from datetime import date
from functools import lru_cache
from pathlib import Path

from bedside.errors import KnowledgeError

_CODE, _NAME = "pbs_code", "drug_name"
_FLAGS = ("policy_applied_imdq60_flag", "policy_applied_imdq60_base_flag")


def sixty_day_listing(table: Path, item: str, day: date) -> bool | None:
    """Whether an item code or generic name is marked for 60 days; None where the table is of another month or does not know it.

    Raises:
        KnowledgeError: the file cannot be read as that table, or its name does not begin with its month.
    """
    month = re.match(r"(\d{4})-(\d{2})", table.name)
    if month is None:
        raise KnowledgeError(f"{table} does not say its month", "Name it like 2026-11-01-items.csv")
    if (day.year, day.month) != (int(month[1]), int(month[2])):
        return None
    try:
        marked = _marked(table, table.stat().st_mtime_ns)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise KnowledgeError(f"{table} cannot be read: {error}", "Download items.csv from the PBS API again") from error
    return marked.get(" ".join(item.lower().split()))


@lru_cache(maxsize=4)
def _marked(table: Path, _changed: int) -> dict[str, bool]:
    """Item codes and generic names in lower case; a name is marked where any of its items is."""
    marked: dict[str, bool] = {}
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        absent = [column for column in (_CODE, _NAME, *_FLAGS) if column not in (rows.fieldnames or ())]
        if absent:
            raise KnowledgeError(f"{table} has no column {', '.join(absent)}", "Give the file items.csv of the PBS API")
        for row in rows:
            sixty = any(row[flag] == "Y" for flag in _FLAGS)
            for name in filter(None, (row[_CODE], row[_NAME])):
                marked[name.lower()] = marked.get(name.lower(), False) or sixty
    return marked
