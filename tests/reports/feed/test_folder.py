"""A watched folder: reports at rest are noted once, what cannot be is moved aside with its reason, and a stopped watch goes on."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from feed_messages import oru

from bedside.reports.feed.desk import PAGE, RESULT, Desk, Outcome
from bedside.reports.feed.folder import QUEUE, Folder
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Store


def watched(folder: Path, out: Path | None = None, settle: float = 0) -> Folder:
    store = Store((out or folder) / QUEUE, durable=False)
    return Folder(folder, store, Desk(store, out or folder, Records(None), pages=True), settle=settle)


def look(found: Folder, times: int = 2) -> list[Outcome]:
    """What becomes of the files that come to rest."""
    return [outcome for _ in range(times) for outcome in found.look()]


def test_a_report_gets_a_result_and_a_page_beside_it_once(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(oru("A1", value="6.6", flag="HH"))
    folder = watched(tmp_path)
    outcomes = look(folder, 4)
    assert [(one.name, one.urgency) for one in outcomes] == [("a.hl7", "immediate")]
    assert json.loads((tmp_path / f"a.hl7{RESULT}").read_text())["findings"] and (tmp_path / f"a.hl7{PAGE}").is_file()


def test_results_go_to_another_folder_where_one_is_given(tmp_path: Path) -> None:
    inbox, out = tmp_path / "in", tmp_path / "out"
    inbox.mkdir()
    (inbox / "a.hl7").write_bytes(oru("A1"))
    look(watched(inbox, out))
    assert (out / f"a.hl7{RESULT}").is_file() and [path.name for path in inbox.iterdir()] == ["a.hl7"]


def test_a_file_that_still_grows_waits(tmp_path: Path) -> None:
    folder = watched(tmp_path, settle=0.3)
    (tmp_path / "a.hl7").write_bytes(oru("A1")[:100])
    assert look(folder, 1) == []
    time.sleep(0.2)
    (tmp_path / "a.hl7").write_bytes(oru("A1"))
    assert look(folder, 1) == []
    time.sleep(0.2)
    assert look(folder, 1) == []
    time.sleep(0.2)
    assert [one.refused for one in look(folder, 1)] == [""]


def test_what_is_no_report_is_moved_aside_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x00\x01\x02" * 50)
    folder = watched(tmp_path)
    for _ in range(2):
        assert look(folder)[0].refused
        (tmp_path / "x.bin").write_bytes(b"\x00\x01\x02" * 50)
    refused = sorted(path.name for path in (tmp_path / "refused").iterdir())
    assert refused == ["x-2.bin", "x-2.bin.reason.txt", "x.bin", "x.bin.reason.txt"]
    assert "no format that is known" in (tmp_path / "refused" / "x.bin.reason.txt").read_text()


def test_a_stopped_watch_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(oru("A1"))
    look(watched(tmp_path))
    (tmp_path / "b.hl7").write_bytes(oru("A2"))
    assert [one.name for one in look(watched(tmp_path))] == ["b.hl7"]
    (tmp_path / f"a.hl7{RESULT}").unlink()
    assert [one.name for one in look(watched(tmp_path))] == ["a.hl7"]


def test_a_corrected_report_in_a_later_file_takes_the_place_of_the_first(tmp_path: Path) -> None:
    (tmp_path / "a.hl7").write_bytes(oru("A1", order="L1", value="6.4"))
    folder = watched(tmp_path)
    look(folder)
    (tmp_path / "b.hl7").write_bytes(oru("A2", order="L1", value="4.4", status="C", issued="202611201200"))
    look(folder)
    assert json.loads((tmp_path / f"a.hl7{RESULT}").read_text()) == {"superseded_by": f"b.hl7{RESULT}"}


def test_reports_of_two_patients_in_one_file_are_two_results(tmp_path: Path) -> None:
    other = oru("A2").replace(b"8003608166690503", b"8003601243017845").replace(b"19540302", b"19800505").replace(b"ALEX", b"SAM")
    (tmp_path / "batch.hl7").write_bytes(oru("A1") + other)
    look(watched(tmp_path))
    results = [json.loads((tmp_path / f"batch.hl7{more}{RESULT}").read_text()) for more in ("", "-2")]
    assert [one["patient"]["given"] for one in results] == ["ALEX", "SAM"]


@pytest.mark.slow
def test_a_wfdb_record_waits_for_its_signals_and_is_noted_with_them(tmp_path: Path) -> None:
    wfdb = pytest.importorskip("wfdb", reason="pip install 'bedside[reports]'")
    source, inbox = tmp_path / "source", tmp_path / "in"
    source.mkdir()
    inbox.mkdir()
    wave = np.tile(np.sin(np.linspace(0, 6.28, 500)), 10)[:, None]
    wfdb.wrsamp("rec1", fs=500, units=["mV"], sig_name=["II"], p_signal=wave, fmt=["16"], write_dir=str(source))
    folder = watched(inbox)
    shutil.copy(source / "rec1.hea", inbox)
    assert look(folder) == []
    shutil.copy(source / "rec1.dat", inbox)
    assert [(one.name, one.refused) for one in look(folder, 3)] == [("rec1.hea", "")]
