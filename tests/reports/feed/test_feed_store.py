"""The queue keeps every message once, the desk merges versions in whatever order they come, and records are found by person."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from feed_messages import oru

from bedside.errors import SourceError, WorkspaceError
from bedside.reports.feed.desk import RESULT, Desk
from bedside.reports.feed.durable import Files
from bedside.reports.feed.mllp import arrival_of
from bedside.reports.feed.records import Records
from bedside.reports.feed.store import Store
from bedside.reports.feed.worker import drain
from bedside.reports.model import Person


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "queue.sqlite", durable=False)


@pytest.fixture
def note(store: Store, tmp_path: Path) -> Callable[..., list[dict[str, object]]]:
    desk = Desk(store, tmp_path / "out", Records(None), pages=True)

    def noted(*messages: bytes) -> list[dict[str, object]]:
        names = [arrival_of(message).name for message in messages]
        for message in messages:
            store.put([arrival_of(message)])
            while drain(store, desk, tmp_path / "out"):
                pass
        return [json.loads((tmp_path / "out" / f"{name}{RESULT}").read_text()) for name in names]

    return noted


def values(row: dict[str, object]) -> dict[str, float]:
    return {finding["text"].split()[0]: finding["value"] for finding in row["findings"]}  # type: ignore[attr-defined]


def test_a_copy_is_counted_and_kept_once_and_another_content_under_its_id_is_another_message(store: Store) -> None:
    first, again, other = (arrival_of(oru("A1")), arrival_of(oru("A1", issued="202611200900")), arrival_of(oru("A1", value="6.0")))
    receipts = [store.put([one])[0] for one in (first, again, other)]
    assert [one.is_copy for one in receipts] == [False, True, False]
    assert (store.counts().waiting, store.counts().copies, store.counts().reused) == (2, 1, 1)


def test_a_repeated_message_with_a_new_time_in_its_header_is_a_copy(store: Store) -> None:
    later = oru("A1").replace(b"CLINIC|202611200900||ORU", b"CLINIC|202611201400||ORU")
    assert later != oru("A1") and [one.is_copy for one in store.put([arrival_of(oru("A1")), arrival_of(later)])] == [False, True]


def test_a_result_is_written_with_findings_notes_and_whom_it_is_about(note: Callable[..., list[dict[str, object]]]) -> None:
    (row,) = note(oru("A1", value="6.6", flag="HH"))
    assert values(row) == {"Potassium": 6.6, "Sodium": 140}
    assert row["patient"]["identifiers"] == {"ihi": "8003608166690503"}  # type: ignore[index]
    assert any(one["rule"] == "report.potassium-very-high" for one in row["notes"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("in_order", [True, False])
def test_a_corrected_result_takes_the_place_of_the_first_in_either_order(
    note: Callable[..., list[dict[str, object]]], in_order: bool
) -> None:
    first = oru("A1", order="L7", value="6.4", flag="H", issued="202611200900")
    corrected = oru("A2", order="L7", value="4.4", status="C", issued="202611201100")
    rows = note(*((first, corrected) if in_order else (corrected, first)))
    assert values(rows[1])["Potassium"] == 4.4
    assert rows[0] == {"superseded_by": f"{arrival_of(corrected if in_order else first).name}{RESULT}"}
    assert any(one["rule"] in ("quality.superseded", "quality.out-of-order") for one in rows[1]["quality"])  # type: ignore[attr-defined]


def test_versions_that_wait_together_are_merged_in_their_order(store: Store, tmp_path: Path) -> None:
    versions = [oru(f"V{number}", order="L7", value=f"{4 + number / 10:.1f}", issued=f"2026112009{number:02}") for number in range(5)]
    messages = [message for number, version in enumerate(versions) for message in (version, oru(f"O{number}"))]
    store.put([arrival_of(message) for message in messages])
    outcomes = drain(store, Desk(store, tmp_path / "out", Records(None)), tmp_path / "out")
    assert [one.name for one in outcomes] == [arrival_of(message).name for message in messages]
    rows = [json.loads((tmp_path / "out" / f"{arrival_of(version).name}{RESULT}").read_text()) for version in versions]
    following = [f"{arrival_of(version).name}{RESULT}" for version in versions[1:]]
    assert [row.get("superseded_by") for row in rows] == [*following, None]
    assert values(rows[-1])["Potassium"] == 4.4 and store.counts().done == len(messages)


def test_corrections_of_two_reports_of_one_message_that_wait_together_are_both_in_the_last_result(store: Store, tmp_path: Path) -> None:
    more = b"OBR|2||L8|LIP^Lipids^L|||202611200800|||||||||||||||202611200900|||F\rOBX|1|NM|2093-3^Cholesterol^LN||5.1|mmol/L|||||F\r"
    corrected = oru("A3").replace(
        oru("A3").partition(b"OBR")[2], more.replace(b"202611200900|||F", b"202611201200|||C").partition(b"OBR")[2]
    )
    both = [oru("A1", order="L7", value="4.1") + more, oru("A2", order="L7", value="4.9", status="C", issued="202611201100")]
    messages = [arrival_of(message) for message in (*both, corrected.replace(b"|5.1|", b"|6.2|"))]
    store.put(messages)
    drain(store, Desk(store, tmp_path / "out", Records(None)), tmp_path / "out")
    found = values(json.loads((tmp_path / "out" / f"{messages[-1].name}{RESULT}").read_text()))
    assert (found["Potassium"], found["Cholesterol"]) == (4.9, 6.2)


def test_a_worker_that_ends_between_results_and_queue_notes_the_same_messages_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [arrival_of(oru("A1", order="L7")), arrival_of(oru("A2")), arrival_of(oru("A3", order="L7", value="5.0", status="C"))]
    store.put(messages)
    desk = Desk(store, tmp_path / "out", Records(None))
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(Store, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        drain(store, desk, tmp_path / "out")
    assert store.counts().done == 0
    while drain(store, desk, tmp_path / "out"):
        pass
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {f"{message.name}{RESULT}" for message in messages} and store.counts().done == 3
    row = json.loads((tmp_path / "out" / f"{messages[2].name}{RESULT}").read_text())
    assert row["message"]["supersedes"] == messages[0].name and values(row)["Potassium"] == 5.0


def test_files_that_are_written_together_appear_together_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fault"), Files() as files:
        files.write(tmp_path / "a", "1")
        raise ValueError("fault")
    assert not list(tmp_path.iterdir())
    with Files() as files:
        files.write(tmp_path / "a", "1")
        files.write(tmp_path / "sub" / "b", b"2")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a").read_text() == "1" and (tmp_path / "sub" / "b").read_bytes() == b"2"
    assert len(list(tmp_path.rglob("*"))) == 3


def test_the_page_of_an_earlier_version_leads_to_the_later_one(note: Callable[..., list[dict[str, object]]], tmp_path: Path) -> None:
    first, corrected = oru("A1", order="L7", value="6.4"), oru("A2", order="L7", value="4.4", status="C", issued="202611201100")
    note(first, corrected)
    page = (tmp_path / "out" / f"{arrival_of(first).name}.report.html").read_text()
    assert f'href="{arrival_of(corrected).name}.report.html"' in page and "6.4" not in page


def test_the_same_laboratory_number_of_another_person_is_another_report(note: Callable[..., list[dict[str, object]]]) -> None:
    other = oru("A2", order="L7", value="3.9").replace(b"8003608166690503", b"8003601243017845").replace(b"19540302", b"19700101")
    rows = note(oru("A1", order="L7"), other)
    assert [values(row)["Potassium"] for row in rows] == [4.1, 3.9]


def test_a_message_without_results_is_put_aside_with_the_reason_and_the_others_go_on(
    store: Store, note: Callable[..., list[dict[str, object]]], tmp_path: Path
) -> None:
    bad = b"MSH|^~\\&|LAB|TEST LABORATORY|||2026||ORU^R01|B1|P|2.4\rPID|1\r"
    store.put([arrival_of(bad)])
    note(oru("A1"))
    (name, reason), *others = store.refused()
    assert not others and "holds no HL7 result" in reason
    assert (tmp_path / "out" / "refused" / f"{name}.hl7").read_bytes() == bad
    assert store.counts().done == 1 and store.retry() == 1 and store.counts().waiting == 1


def test_a_message_that_ends_the_worker_again_and_again_is_put_aside(store: Store, tmp_path: Path) -> None:
    store.put([arrival_of(oru("A1")), arrival_of(oru("A2"))])
    for _ in range(3):
        store.take()
    desk = Desk(store, tmp_path / "out", Records(None))
    store.take(1)
    outcomes = [one for _ in range(3) for one in drain(store, desk, tmp_path / "out")]
    assert "ended the worker" in outcomes[0].refused


def test_a_full_disk_is_an_error_that_names_the_queue(tmp_path: Path) -> None:
    (tmp_path / "queue.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(WorkspaceError, match=r"queue\.sqlite"):
        Store(tmp_path / "queue.sqlite")


def test_pruning_empties_old_messages_and_still_knows_a_copy(store: Store, note: Callable[..., list[dict[str, object]]]) -> None:
    note(oru("A1"))
    assert store.prune(keep_days=-1) == 1
    assert store.put([arrival_of(oru("A1"))])[0].is_copy


def test_a_record_is_found_by_number_or_by_name_and_birth_date_and_changes_count(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.yaml").write_text("name: {family: Citizen, given: Alex}\nbirth_date: 1954-03-02\nidentifiers: {ihi: 8003608166690503}\n")
    (folder / "bad.yaml").write_text("name: [\n")
    records = Records(folder)
    by_number = records.of(Person(identifiers={"ihi": "8003 6081 6669 0503"}))
    assert by_number and by_number.person.family == "Citizen" and [path.name for path in records.unreadable] == ["bad.yaml"]
    from datetime import date

    assert records.of(Person(family="CITIZEN", given="ALEX J", birth_date=date(1954, 3, 2))) == by_number
    assert records.of(Person(family="CITIZEN", given="ALEX", birth_date=date(1954, 3, 3))) is None
    (folder / "b.yaml").write_text((folder / "a.yaml").read_text())
    with pytest.raises(SourceError, match=r"a\.yaml and b\.yaml"):
        Records(folder).of(Person(identifiers={"ihi": "8003608166690503"}))


def test_the_patients_record_changes_the_notes_of_a_feed(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    folder.mkdir()
    (folder / "a.yaml").write_text(
        "name: {family: Citizen, given: Alex}\nbirth_date: 1954-03-02\nmedicines: [ramipril 5 mg, spironolactone 25 mg]\nspecimen: []\n"
    )
    message = arrival_of(oru("A1", value="6.3", flag="H"))
    store.put([message])
    drain(store, Desk(store, tmp_path / "out", Records(folder)), tmp_path / "out")
    row = json.loads((tmp_path / "out" / f"{message.name}{RESULT}").read_text())
    assert "report.potassium-medicines" in [one["rule"] for one in row["notes"]]
