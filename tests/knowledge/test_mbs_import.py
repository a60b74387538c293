"""The MBS schedule importer: layouts, bad rows, and files that are no schedule."""

from __future__ import annotations

import os
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bedside.errors import KnowledgeError
from bedside.knowledge.mbs_import import MAX_FIELD, ImportReport, ScheduleItem, import_schedule, schedule_item

FIELDS = {
    "ItemNum": "11001",
    "ItemStartDate": "01.03.2020",
    "ItemEndDate": "",
    "FeeStartDate": "01.07.2026",
    "ScheduleFee": "100.00",
    "Benefit75": "75.00",
    "Benefit85": "85.00",
    "Benefit100": "",
    "DerivedFee": "",
    "Description": "Invented, of <specialists> & others",
}
DAY = date(2026, 7, 1)
REAL = Path(os.environ.get("BEDSIDE_DATA", "../shared/data")) / "mbs_schedule/mbs_items_2025-07.csv"


def _element(name: str, text: str) -> str:
    return f"<{name}>{text.replace('&', '&amp;').replace('<', '&lt;')}</{name}>"


def _data(**changes: str) -> str:
    return f"<Data>{''.join(_element(*field) for field in {**FIELDS, **changes}.items())}</Data>"


def _xml(*rows: str) -> str:
    return f'<?xml version="1.0" encoding="utf-8"?>\n<MBS_XML>{"".join(rows)}</MBS_XML>'


def _import(folder: Path, content: str | bytes, name: str = "schedule.xml", day: date | None = None) -> ImportReport:
    source = folder / name
    source.write_bytes(content.encode() if isinstance(content, str) else content)
    return import_schedule(source, folder / "practice", day)


def _item(report: ImportReport, item: str = "11001", day: date = DAY) -> ScheduleItem:
    found = schedule_item(report.table, item, day)
    assert isinstance(found, ScheduleItem)
    return found


def test_xml_is_read_whole(tmp_path: Path) -> None:
    report = _import(tmp_path, _xml(_data(), _data(ItemNum="11002", Benefit100="60.5", FeeStartDate="")))
    assert (report.items, report.refused, report.schedule) == (2, 0, DAY)
    found = _item(report)
    assert (found.started, found.ended, found.fee, found.fee_from) == (date(2020, 3, 1), None, Decimal("100.00"), DAY)
    assert found.benefit == Decimal("85.00")
    assert _item(report, "11002").benefit == Decimal("60.50")


def test_csv_and_xml_give_the_same_table(tmp_path: Path) -> None:
    csv = ",".join(FIELDS) + "\n" + ",".join(f'"{value}"' for value in FIELDS.values()) + "\n"
    from_csv = _item(_import(tmp_path / "", "\ufeff" + csv, "schedule.csv"))
    (tmp_path / "xml").mkdir()
    assert from_csv == _item(_import(tmp_path / "xml", _xml(_data())))


def test_utf16_xml_is_read(tmp_path: Path) -> None:
    content = _xml(_data()).replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16")
    assert _item(_import(tmp_path, content)).fee == Decimal("100.00")


@pytest.mark.parametrize("wrapped", [True, False])
def test_older_nested_records_are_read(tmp_path: Path, wrapped: bool) -> None:
    def record(item: str, fee: str) -> str:
        head = f"<ItemNum>{item}</ItemNum><ItemStartDate>01.12.1989</ItemStartDate><ItemEndDate>00.00.0000</ItemEndDate>"
        money = (
            f"<Record20><FeeStartDate>01.11.2008</FeeStartDate><ScheduleFee>{fee}</ScheduleFee><Benefit100>{fee}</Benefit100></Record20>"
        )
        lines = "<Record50><Description>First line</Description></Record50><Record50><Description>and second.</Description></Record50>"
        return f"<Record10>{head}{money}{lines}</Record10>" if wrapped else f"<Record10>{head}</Record10>{money}{lines}"

    report = _import(tmp_path, _xml(record("23", "00033.55"), record("36", "00063.75")))
    assert (report.items, report.schedule) == (2, date(2008, 11, 1))
    assert _item(report, "23", date(2008, 12, 1)).benefit == Decimal("33.55")
    assert _item(report, "36", date(2008, 12, 1)).ended is None


def test_bad_rows_are_counted_and_named(tmp_path: Path) -> None:
    bad = [_data(ItemNum="x1"), _data(ItemNum="2", ItemStartDate="2020-03-01"), _data(ItemNum="3", ScheduleFee="12,50"), _data()]
    bad += [_data(ItemNum="4", Benefit85="-1"), _data(ItemNum="5", ScheduleFee="1.005"), _data(ItemNum="6", ItemEndDate="31.02.2020")]
    bad += [_data(ItemNum="7"), _data(ItemNum="11001")]
    report = _import(tmp_path, _xml(*bad))
    assert (report.items, report.refused) == (2, 7)
    assert report.named[0] == "row 1 (item 'x1'): its item number is no number of up to 5 digits"
    assert "row 2 (item '2'): ItemStartDate '2020-03-01' is no day like 01.07.2025" in report.named
    assert "row 3 (item '3'): ScheduleFee '12,50' is no amount" in report.named
    assert report.named[-1] == "row 9 (item '11001'): is there twice"


def test_a_schedule_is_replaced_by_one_of_the_same_day_and_kept_beside_others(tmp_path: Path) -> None:
    _import(tmp_path, _xml(_data(), _data(ItemNum="11002")), day=date(2026, 3, 1))
    _import(tmp_path, _xml(_data(ScheduleFee="110.00")), day=DAY)
    report = _import(tmp_path, _xml(_data(ScheduleFee="120.00")), day=DAY)
    assert _item(report).fee == Decimal("120.00")
    assert _item(report, day=date(2026, 6, 30)).fee == Decimal("100.00")
    assert schedule_item(report.table, "11002", DAY) == DAY
    assert schedule_item(report.table, "11001", date(2026, 2, 28)) is None


def test_a_derived_fee_and_hospital_benefit_are_no_benefit(tmp_path: Path) -> None:
    report = _import(
        tmp_path, _xml(_data(Benefit85=""), _data(ItemNum="2", Benefit85="", ScheduleFee="", DerivedFee="Item 1 plus 2 dollars"))
    )
    assert _item(report).benefit is None
    assert _item(report, "2").derived == "Item 1 plus 2 dollars"


BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><x><ItemNum>&b;</ItemNum></x>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x><ItemNum>&a;</ItemNum></x>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BOMB, "declares a document type"),
        (EXTERNAL, "declares a document type"),
        ("<a>" * 50, "nests elements deeper"),
        (f"<x><ItemNum>1</ItemNum><Description>{'a' * (MAX_FIELD + 1)}</Description></x>", "holds a field of more than"),
        ("<x><ItemNum>1</ItemNum>", "no well-formed XML"),
        ("<html><body>Not found</body></html>", "holds no item that can be read"),
        ("", "no column ItemNum"),
        ("a,b\n1,2\n", "no column ItemNum"),
        ("ItemNum\nabc\n", "holds no item that can be read"),
        (b"ItemNum,Description\n1,\xff\xfe\n", "no CSV in UTF-8"),
        ("ItemNum\n23\n", "does not say from which day it holds"),
        (b"\x00\x01\x02", "no column ItemNum"),
    ],
)
def test_files_that_are_no_schedule_are_refused_with_the_reason(tmp_path: Path, content: str | bytes, said: str) -> None:
    with pytest.raises(KnowledgeError, match=said):
        _import(tmp_path, content)
    assert not (tmp_path / "practice/mbs.sqlite").exists()


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    source = tmp_path / "huge.xml"
    with source.open("wb") as file:
        file.truncate(300_000_000)
    with pytest.raises(KnowledgeError, match="300,000,000 bytes, more than 200,000,000"):
        import_schedule(source, tmp_path)


def test_a_table_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "practice/mbs.sqlite"
    other.parent.mkdir()
    other.write_text("the practice's own notes", encoding="utf-8")
    with pytest.raises(KnowledgeError, match="cannot be written"):
        _import(tmp_path, _xml(_data()))
    with pytest.raises(KnowledgeError, match="no imported schedule"):
        schedule_item(other, "23", DAY)
    assert other.read_text(encoding="utf-8") == "the practice's own notes"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300) | st.text(max_size=300).map(lambda text: f"<x>{text}</x>".encode()))
def test_any_bytes_are_imported_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        report = _import(tmp_path, content)
    except KnowledgeError as error:
        assert str(tmp_path) in str(error)
    else:
        assert report.items > 0


TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("C",)), max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(sorted(FIELDS)), TEXT | st.sampled_from(sorted(FIELDS.values()))), min_size=1, max_size=4))
def test_every_row_is_kept_or_counted(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    # Item numbers differ, as rows are told apart by them.
    content = _xml(*(_data(**{**row, "ItemNum": str(number)}) for number, row in enumerate(rows)))
    try:
        report = _import(tmp_path, content, day=DAY)
    except KnowledgeError as error:
        assert "holds no item" in str(error)
    else:
        assert report.items + report.refused == len(rows)


def test_the_real_schedule_is_read_without_loss(tmp_path: Path) -> None:
    if not REAL.exists():
        pytest.skip(f"no schedule at {REAL}; set BEDSIDE_DATA")
    report = import_schedule(REAL, tmp_path)
    assert (report.items, report.refused, report.schedule) == (5989, 0, date(2025, 7, 1))
    fees = {item: _item(report, item, report.schedule).benefit for item in ("23", "36", "44", "123", "965")}
    assert fees == {
        "23": Decimal("43.90"),
        "36": Decimal("84.90"),
        "44": Decimal("125.10"),
        "123": Decimal("202.65"),
        "965": Decimal("156.55"),
    }
