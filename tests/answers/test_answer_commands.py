"""`bedside answers` as people type it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from answers.papers import lay_out
from bedside.answers import AnswersError
from bedside.cli import app


def bedside(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bedside.cli", *map(str, words)], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    return lay_out("made_with", tmp_path / "library")


def typed(*words: object) -> Result:
    """The same in this process, which starts faster."""
    return CliRunner().invoke(app, [str(word) for word in words])


def test_index_ask_and_show(library: Path, tmp_path: Path) -> None:
    (library / "broken.pdf").write_bytes(b"%PDF-1.7")
    index = tmp_path / "answers.sqlite"
    made = bedside("answers", "index", "library", "--words-only", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "5 added, 0 changed, 0 unchanged, 0 removed" in made.stdout and "1 left out" in made.stdout
    assert "unreadable_document: broken.pdf" in made.stderr and "found by words alone: as asked" in made.stderr
    assert made.stdout.splitlines()[-1].startswith('Next: bedside answers ask "')

    told = typed("answers", "ask", "Where is the entrance?", "--words-only", "--index", index)
    assert told.exit_code == 0, told.stderr
    assert "Grevillea Lane, behind the pharmacy. [1]" in told.stdout and "[1] opening.md" in told.stdout
    assert "Not a medical device" in told.stderr

    found = json.loads(typed("answers", "ask", "Do you sell [bold]sunscreen[/]?", "--words-only", "--json", "--index", index).stdout)
    assert (found["supported"], found["citations"]) == (False, [])

    shown = typed("answers", "show", "--index", index)
    assert "cold-chain.md" in shown.stdout and "broken.pdf" in shown.stderr


def test_what_a_user_can_mend_is_one_sentence(tmp_path: Path) -> None:
    failed = bedside("answers", "show", "--index", "nothing.sqlite", cwd=tmp_path)
    assert failed.returncode == 2 and failed.stderr.startswith("error: there is no index ") and "Traceback" not in failed.stderr
    for words in (("index", tmp_path / "nowhere"), ("ask", "When?", "--index", tmp_path / "nothing.sqlite")):
        assert isinstance(typed("answers", *words).exception, AnswersError)
