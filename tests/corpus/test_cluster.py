"""The batch functions of curation on Ray Data give what they give on one machine."""

from __future__ import annotations

from datetime import date

import pytest

from bedside.corpus.cleaning import Cleaned, Cleaning
from bedside.corpus.cluster import map_batches, ray_batches
from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.errors import SourceError

CLEANING = Cleaning(standardise=True, deidentify="surrogates", seed=7, day=date(2026, 11, 22))


def lines(count: int) -> list[str]:
    return [
        Conversation(
            messages=(
                Message(role="user", content=f"Margaret Whitlock asks about acetaminophen, visit {number}"),
                Message(role="assistant", content="Ask the pharmacist." if number % 7 else "Take 400 mg."),
            ),
            provenance=Provenance(source="ours", where=f"ours:{number}", family=f"f{number}"),
        ).model_dump_json()
        for number in range(count)
    ]


def same(one: Cleaned, other: Cleaned) -> bool:
    return bool(one.table.equals(other.table)) and (one.review, one.entries) == (other.review, other.entries)


def test_processes_change_nothing() -> None:
    alone = list(map_batches(CLEANING, lines(20), size=8))
    shared = list(map_batches(CLEANING, lines(20), processes=2, size=8))
    assert len(alone) == 3 and all(map(same, alone, shared))


@pytest.mark.slow
def test_ray_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'bedside[cluster]'")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        rows = ray.data.from_items([{"line": line} for line in lines(20)], override_num_blocks=1)
        with pytest.raises(SourceError, match="has no column 'text', but line"):
            next(ray_batches(CLEANING, rows, column="text"))
        shared = list(ray_batches(CLEANING, rows, column="line", size=8))
    finally:
        ray.shutdown()
    alone = list(map_batches(CLEANING, lines(20), size=8))
    assert len(shared) == 3 and all(map(same, alone, shared))
