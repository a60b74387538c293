"""A small run of the clinic line with the real base model, made once, with the network off."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def bedside(
    *arguments: str, cwd: Path = ROOT, stdin: str | None = None, network: bool = False, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the real command; without a network unless asked, where this system allows that."""
    command: Sequence[str] = [sys.executable, "-m", "bedside.cli", *arguments]
    if not network and shutil.which("unshare"):
        # The embedded engine is asked for token ids over the loopback address, so that stays up.
        command = [
            "unshare",
            "--net",
            *([] if os.geteuid() == 0 else ["--map-root-user"]),
            "sh",
            "-c",
            'ip link set lo up && exec "$@"',
            "sh",
            *command,
        ]
    home = {"BEDSIDE_CACHE": os.environ.get("BEDSIDE_CACHE", str(ROOT / ".cache" / "bedside"))}
    return subprocess.run(
        command,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=2400,
        env={**os.environ, **home, **(environment or {})},
        check=False,
    )


SMALL = [
    "corpus.synthesis.turns=400",
    "corpus.synthesis.held_out_turns=80",
    "training.stages.0.rows=24",
    "training.stages.1.rows=350",
    "training.stages.2.rows=350",
    "release.max_score_loss=1",
    "evaluation.resamples=200",
]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory, base_gguf: Path) -> tuple[Path, list[str]]:
    """A run folder with a finished release of a barely trained clinic line, and the arguments that made it."""
    folder = tmp_path_factory.mktemp("small")
    turns = (ROOT / "src/bedside/evaluation/suites/caller-turns-dev.jsonl").read_text(encoding="utf-8").splitlines()
    (folder / "suite.jsonl").write_text("\n".join(turns[:24]) + "\n", encoding="utf-8")
    changes = [part for change in [*SMALL, f"evaluation.suite={folder / 'suite.jsonl'}"] for part in ("--set", change)]
    arguments = ["run", "recipes/clinic-line.yaml", "--runs", str(folder / "runs"), *changes]
    done = bedside(*arguments)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (folder / "first.txt").write_text(done.stdout, encoding="utf-8")
    return folder / "runs" / "clinic-line", arguments


@pytest.fixture(scope="session")
def release(small: tuple[Path, list[str]]) -> Path:
    """The release of the small run."""
    return small[0] / "release"


def lines(text: str) -> list[dict[str, object]]:
    """JSON Lines as objects."""
    return [json.loads(line) for line in text.splitlines()]
