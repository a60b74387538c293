"""The corpus stage as a whole: its order, what it accounts for, its resumption after a kill, and bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from bedside.cli import app
from bedside.corpus.conversation import Conversation
from bedside.corpus.curate import curate
from bedside.corpus.deidentify import audit
from bedside.corpus.deidentify.audit import plant
from bedside.corpus.overview import overview
from bedside.errors import SourceError
from bedside.recipe.models import Recipe
from bedside.workspace.files import read_jsonl, sha256_path
from bedside.workspace.run import Run

DAY = date(2026, 11, 22)
SUITE = "could you tell me whether the doctor has signed the form for the insurance company yet please"
LONG = "my mother has been coughing for weeks now and the tablets from the chemist did nothing so we want to see the doctor on friday"


def recipe(*sources: dict[str, Any], commercial: bool = False, **corpus: Any) -> Recipe:
    """A recipe that answers, without synthesis and without the embedding model."""
    settings = {"decontaminate_meaning": None, "max_dropped_share": 1.0, "processes": 1, "held_out_share": 0.3, **corpus}
    named = [{"licence": "own", "reader": "chat_messages", **source} for source in sources]
    return Recipe.model_validate(
        {
            "name": "trial",
            "description": "A trial.",
            "task": "answer",
            "base": {"source": "/none", "licence": "own", "template": "chatml"},
            "corpus": {"sources": named, **settings},
            "training": {"stages": [{"name": "one", "use": "sources", "rows": 1, "learning_rate": 0.1}]},
            "release": {"quantisation": "Q8_0", "commercial": commercial},
        }
    )


def chats(path: Path, *pairs: tuple[str, str]) -> dict[str, Any]:
    """A source of question and answer pairs."""
    rows = ({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]} for q, a in pairs)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return {"name": path.stem, "path": str(path)}


def run(folder: Path, made: Recipe, suites: dict[str, set[str]] | None = None) -> dict[str, Any]:
    out = folder / "out"
    out.mkdir(exist_ok=True)
    return curate(made, folder, suites or {}, out, Console(quiet=True), day=DAY)


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return list(read_jsonl(folder / "out" / name))


def asked(folder: Path) -> list[str]:
    return [row["messages"][0]["content"] for row in rows(folder, "conversations.jsonl")]


def test_each_step_does_its_part_and_the_ledger_says_so(tmp_path: Path) -> None:
    first = chats(
        tmp_path / "first.jsonl",
        (LONG, "We have a time on Friday."),
        ("Is acetaminophen sold at the chemist, says Margaret Whitlock?", "Yes, ask the pharmacist."),
        ("How much ibuprofen for my back?", "Take 400 mg three times a day."),
        ("I have crushing chest pain and my arm is numb", "It may come from the ribs."),
        (f"Hello, {SUITE}", "I will ask."),
    )
    second = chats(tmp_path / "second.jsonl", (LONG.replace("tablets", "capsules"), "We have a time on Friday."), ("Are you open?", "Yes."))
    facts = run(tmp_path, recipe(first, second, deidentify="redact"), {"turns": {SUITE}})
    assert asked(tmp_path) == [LONG, "Is paracetamol sold at the chemist, says [NAME]?", "Are you open?"]
    counted = Counter((e["stage"], e["action"], e["reason"]) for e in rows(tmp_path, "ledger.jsonl"))
    for entry in (
        ("standardise", "changed", "us.medicines"),
        ("deidentify", "masked", "NAME"),
        ("unsafe", "dropped", "dose"),
        ("unsafe", "review", "silent-on-red-flag"),
        ("deduplicate", "dropped", "near_duplicate"),
        ("decontaminate", "dropped", "in_evaluation"),
    ):
        assert counted[entry] == 1, entry
    [twin] = [e for e in rows(tmp_path, "ledger.jsonl") if e["reason"] == "near_duplicate"]
    assert (twin["where"], twin["detail"]) == ("second.jsonl:1", "kept first first.jsonl:1")
    [waiting] = rows(tmp_path, "review.jsonl")
    assert waiting["where"] == "first.jsonl:4" and waiting["found"][0]["rule"] == "silent-on-red-flag"
    assert sum(facts["records"].values()) + facts["for_review"] + 3 == sum(facts["seen"].values())


def test_the_datasheet_counts_what_is_there(tmp_path: Path) -> None:
    facts = run(tmp_path, recipe(chats(tmp_path / "ours.jsonl", *((f"Question {n} about the clinic?", "Yes.") for n in range(30)))))
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"| ours | own | en | 30 | {sum(facts['records'].values())} |" in card
    described = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert {file["name"] for file in described["distribution"]} >= {"conversations.jsonl", "review.jsonl", "ledger.jsonl"}
    assert not (tmp_path / "out" / "work").exists()


def test_records_that_differ_in_a_number_stand_on_one_side(tmp_path: Path) -> None:
    made = [
        (f"The {organ} report says that the second sample of the patient had a value of {value} units per litre", f"Noted for the {organ}.")
        for organ in ("liver", "kidney", "thyroid", "spleen", "pancreas", "stomach", "muscle", "marrow")
        for value in (11, 12, 13, 14)
    ]
    run(tmp_path, recipe(chats(tmp_path / "labs.jsonl", *made), standardise=False))
    sides: dict[str, set[str]] = {}
    for row in rows(tmp_path, "conversations.jsonl"):
        sides.setdefault(row["messages"][1]["content"], set()).add(row["split"])
    assert len(sides) == 8 and all(len(side) == 1 for side in sides.values())
    assert {side for one in sides.values() for side in one} == {"train", "held_out"}


def test_a_licence_that_forbids_the_release_stops_it_before_anything_is_read(tmp_path: Path) -> None:
    source = {"name": "theirs", "path": str(tmp_path / "absent.jsonl"), "licence": "CC-BY-NC-4.0"}
    with pytest.raises(SourceError, match=r"source 'theirs'.*forbids commercial use"):
        run(tmp_path, recipe(source, commercial=True))


def test_planted_people_do_not_survive(tmp_path: Path) -> None:
    notes = [(f"n{n}", f"Patient {n} was seen about a sore knee and will come again.") for n in range(60)]
    planted, canaries = plant(notes, 20, seed=3)
    source = chats(tmp_path / "notes.jsonl", *((text, "Thank you.") for _, text in planted))
    for mode in ("redact", "surrogates"):
        run(tmp_path, recipe(source, deidentify=mode, near_duplicate=1))
        text = (tmp_path / "out" / "conversations.jsonl").read_text()
        leaks = [leak for leak in audit([("all", text)], canaries).leaks if leak.kind == "canary"]
        assert len(canaries) == 20 and not leaks


def test_the_diagnostics_reader_is_built_in(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("name,value,unit\nSpO2,86,%\nSpO2,97,%\n")
    run(tmp_path, recipe({"name": "device", "reader": "diagnostics", "path": str(tmp_path / "log.csv")}))
    assert {row["provenance"]["source"] for row in rows(tmp_path, "conversations.jsonl")} | {
        row["source"] for row in rows(tmp_path, "review.jsonl")
    } == {"device"}


def test_a_limit_of_its_own_lets_a_bad_source_pass(tmp_path: Path) -> None:
    source = chats(tmp_path / "half.jsonl", *((f"Question {n}?", f"Answer {n}.") for n in range(6)))
    with (tmp_path / "half.jsonl").open("a") as stream:
        stream.write("{broken\n" * 4)
    with pytest.raises(SourceError, match=r"lost 4 of 10 records \(40%, allowed 20%\), 4 of them for 'bad_json'"):
        run(tmp_path, recipe(source, max_dropped_share=0.2))
    facts = run(tmp_path, recipe({**source, "max_dropped_share": 0.5}, max_dropped_share=0.2))
    assert facts["dropped"]["sources/dropped/bad_json"] == 4


def test_bad_files_are_counted_and_the_rest_is_curated(tmp_path: Path) -> None:
    lines = [json.dumps({"messages": [{"role": "user", "content": f"Question {n}?"}]}) for n in range(5)]
    bad = tmp_path / "mixed \x1b[31m;$(touch x).jsonl"
    huge = json.dumps({"messages": [{"role": "user", "content": "word " * 10_000_000}]})
    bad.write_bytes(
        "\n".join(lines).encode() + b'\n{"messages": [{"role": "user", "content": "caf\xe9"}]}\n' + huge.encode() + b'\n{"messages": [{"ro'
    )
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "good.txt").write_text("The clinic opens at nine.\n\nIt closes at five.\n")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 cut off")
    with zipfile.ZipFile(folder / "nested.zip", "w") as archive:
        archive.writestr("inner.zip", b"PK")
    named = {"name": "mixed", "path": str(bad)}, {"name": "letters", "reader": "documents", "path": str(folder)}
    facts = run(tmp_path, recipe(*named))
    assert facts["dropped"]["sources/dropped/bad_encoding"] == 1
    assert facts["dropped"]["sources/dropped/bad_json"] == 1
    assert facts["dropped"]["clean/dropped/too_long"] == 1
    assert {e["reason"] for e in rows(tmp_path, "ledger.jsonl") if e["source"] == "letters"} >= {
        "unreadable_document",
        "unsupported_document",
    }
    assert {row["provenance"]["source"] for row in rows(tmp_path, "conversations.jsonl")} == {"mixed", "letters"}
    assert not (tmp_path / "x").exists()


_KILLED = """
import sys
from datetime import date
from pathlib import Path
from rich.console import Console
sys.path[:0] = {paths!r}
from bedside.corpus import shards
shards.SIZE = 8
from bedside.corpus import curate as stage
stage.SIZE = 8
from test_curate import recipe
folder = Path({folder!r})
(folder / "out").mkdir(exist_ok=True)
source = {{"name": "ours", "path": str(folder / "ours.jsonl")}}
made = recipe(source, deidentify="surrogates")
stage.curate(made, folder, {{"turns": [{suite!r}]}}, folder / "out", Console(quiet=True), day=date(2026, 11, 22))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        pairs = [(f"{LONG} says Margaret Whitlock on day {n} of may", f"Answer {n // 3}, call 0491 570 156.") for n in range(160)]
        chats(folder / "ours.jsonl", *pairs)

    def start(folder: Path) -> subprocess.Popen[bytes]:
        paths = [*sys.path, str(Path(__file__).parent)]
        program = _KILLED.format(paths=paths, folder=str(folder), suite=SUITE)
        return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE)

    assert start(whole).wait(120) == 0
    process = start(killed)
    cleaned = killed / "out" / "work" / "clean"
    while process.poll() is None and len(list(cleaned.glob("*.ledger.jsonl")) if cleaned.exists() else []) < 3:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    assert not (killed / "out" / "README.md").exists()
    done = {path.name: path.stat().st_mtime_ns for path in cleaned.glob("*.ledger.jsonl")}
    assert 3 <= len(done) < 20
    assert start(killed).wait(120) == 0
    assert sha256_path(killed / "out") == sha256_path(whole / "out")


@pytest.mark.slow
def test_the_same_meaning_is_kept_once_where_the_recipe_asks_for_it(tmp_path: Path) -> None:
    first = chats(tmp_path / "first.jsonl", ("When do you open on Saturday?", "We open at nine."), ("Is there parking?", "Yes."))
    second = chats(tmp_path / "second.jsonl", ("On Saturday, when do you open?", "We open at nine."))
    run(tmp_path, recipe(first, second, semantic_duplicate=0.85))
    [twin] = [e for e in rows(tmp_path, "ledger.jsonl") if e["action"] == "dropped"]
    assert (twin["reason"], twin["detail"]) == ("semantic_duplicate", "kept first first.jsonl:1")


def test_data_show_tells_what_became_of_the_records(tmp_path: Path) -> None:
    pairs = [("How much ibuprofen?", "Take 400 mg."), ("I have crushing chest pain", "It may be the ribs."), ("Are you open?", "Yes.")]
    made = recipe(chats(tmp_path / "ours.jsonl", *pairs))
    stage = Run(tmp_path / "run")
    stage.stage("corpus", lambda out: curate(made, tmp_path, {}, out, Console(quiet=True), day=DAY), settings={}, reads={})
    [line] = overview(tmp_path / "run").sources
    assert (line.seen, line.kept, line.review) == (3, 1, 1)
    shown = CliRunner().invoke(app, ["data", "show", str(tmp_path / "run")])
    assert shown.exit_code == 0, shown.output
    for word in ("ours", "dose", "silent-on-red-flag", "ours.jsonl:2", "review.jsonl"):
        assert word in shown.output


def test_what_is_written_can_be_read_as_conversations(tmp_path: Path) -> None:
    run(tmp_path, recipe(chats(tmp_path / "ours.jsonl", ("line\u2028separator and \x85 next line", "Yes \u2029 indeed."))))
    [row] = rows(tmp_path, "conversations.jsonl")
    row.pop("split")
    assert Conversation.model_validate(row).messages[0].role == "user"
