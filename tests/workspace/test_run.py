"""Run folders: skipping, resuming, lineage, and nothing half-written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest

from bedside.errors import SourceError, WorkspaceError
from bedside.workspace.files import read_jsonl, sha256_path, write_json, write_jsonl, written_whole
from bedside.workspace.ledger import DropLedger
from bedside.workspace.run import Run


class Work:
    """Writes a file and counts how often it was called."""

    def __init__(self, text: str = "one") -> None:
        self.text, self.calls = text, 0

    def __call__(self, out: Path) -> dict[str, Any]:
        self.calls += 1
        (out / "result.txt").write_text(self.text)
        return {"calls": self.calls}


def test_a_stage_is_skipped_until_something_it_reads_changes(tmp_path: Path) -> None:
    read, run, work = tmp_path / "in.txt", Run(tmp_path / "run"), Work()
    read.write_text("a")
    stage = lambda settings: run.stage("s", work, settings=settings, reads={"in": read})  # noqa: E731
    assert not stage({"x": 1}).skipped
    assert stage({"x": 1}).skipped
    assert not stage({"x": 2}).skipped
    read.write_text("b")
    assert not stage({"x": 2}).skipped
    assert work.calls == 3


def test_a_stage_whose_files_were_changed_is_made_again(tmp_path: Path) -> None:
    run, work = Run(tmp_path), Work()
    folder = run.stage("s", work, settings=1, reads={}).folder
    (folder / "result.txt").write_text("tampered")
    assert not run.stage("s", work, settings=1, reads={}).skipped
    assert (folder / "result.txt").read_text() == "one"


def test_a_killed_stage_leaves_nothing_that_looks_whole_and_goes_on_where_it_was(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def killed(out: Path) -> dict[str, Any]:
        (out / "half.txt").write_text("half")
        raise KeyboardInterrupt

    def resumed(out: Path) -> dict[str, Any]:
        return {"found": (out / "half.txt").read_text()}

    with pytest.raises(KeyboardInterrupt):
        run.stage("s", killed, settings=1, reads={})
    assert not (tmp_path / "s").exists()
    assert run.stage("s", resumed, settings=1, reads={}).facts == {"found": "half"}


def test_a_killed_stage_is_not_resumed_with_other_settings(tmp_path: Path) -> None:
    run = Run(tmp_path)

    def killed(out: Path) -> dict[str, Any]:
        (out / "half.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("s", killed, settings=1, reads={})
    assert run.stage("s", lambda out: {"left": [p.name for p in out.iterdir()]}, settings=2, reads={}).facts == {"left": ["fingerprint"]}


def test_lineage_names_what_each_stage_read(tmp_path: Path) -> None:
    read = tmp_path / "in"
    read.write_text("a")
    run = Run(tmp_path / "run")
    run.stage("first", Work(), settings=1, reads={"in": read})
    run.stage("second", Work(), settings=1, reads={"first": tmp_path / "run" / "first"})
    first, second = run.lineage()
    assert first["reads"] == {"in": sha256_path(read)}
    assert second["reads"]["first"] and second["wrote"]["result.txt"] == sha256_path(tmp_path / "run" / "second" / "result.txt")


def test_an_empty_folder_has_no_lineage(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="holds no finished stage"):
        Run(tmp_path / "none").lineage()


def test_a_full_disk_is_one_sentence_and_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is full"), written_whole(tmp_path / "x.txt") as partial:
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full (Linux)")
def test_a_write_that_the_system_refuses_for_want_of_space_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceError, match="is full"), written_whole(tmp_path / "x.txt"), Path("/dev/full").open("w") as stream:
        stream.write("x")
        stream.flush()


def test_a_damaged_jsonl_names_the_line(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"a": 1}])
    with (tmp_path / "a.jsonl").open("a") as stream:
        stream.write("{broken\n")
    with pytest.raises(WorkspaceError, match=r"a\.jsonl line 2"):
        list(read_jsonl(tmp_path / "a.jsonl"))


def test_the_ledger_refuses_a_source_that_loses_too_much(tmp_path: Path) -> None:
    ledger = DropLedger()
    ledger.saw("letters", 10)
    for line in range(3):
        ledger.add("sources", "dropped", "bad_json", source="letters", where=f"letters.jsonl:{line}", detail="no JSON")
    ledger.check_share(0.3)
    with pytest.raises(SourceError, match=r"'letters' lost 3 of 10 records \(30%, allowed 10%\).*letters\.jsonl:0"):
        ledger.check_share(0.1)
    ledger.write(tmp_path / "ledger.jsonl")
    assert [row["reason"] for row in read_jsonl(tmp_path / "ledger.jsonl")] == ["bad_json"] * 3
    assert ledger.counts() == {"sources/dropped/bad_json": 3}


def test_json_is_written_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert (tmp_path / "a.json").read_text() == '{\n  "a": 1\n}\n'
