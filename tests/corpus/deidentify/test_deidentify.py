"""De-identification: what a clinic would be ashamed of if it stayed, and what a model could not learn from if it went."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import date, datetime
from pathlib import Path
from time import process_time

import docx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.corpus.deidentify import Span, Surrogates, audit, find, kinds, plant, redact
from bedside.corpus.deidentify.data import read_words
from bedside.corpus.deidentify.files import Settings, deidentify_file, deidentify_lines
from bedside.corpus.deidentify.shifting import shifted
from bedside.corpus.deidentify.words import NAME, bits_of
from bedside.errors import SourceError
from bedside.knowledge.identifiers import identifiers, is_valid
from bedside.safety.spoken import written
from bedside.workspace.ledger import DropLedger
from corpus.deidentify.records import LISTS, records


def masked(text: str) -> str:
    return redact(text, find(text))


def types(text: str) -> list[str]:
    return [span.type for span in find(text)]


def test_names_of_the_measurement_are_none_that_the_package_ships() -> None:
    shipped = [name for name in LISTS["given"] + LISTS["family"] if bits_of(name.lower()) & NAME]
    assert shipped == []


@pytest.mark.parametrize("spoken", [False, True], ids=["written", "transcripts"])
def test_recall_and_precision_in_characters_on_records_of_unseen_people(spoken: bool) -> None:
    gold: Counter[str] = Counter()
    caught: Counter[str] = Counter()
    marked = right = 0
    for made in records(300, seed=20_260):
        if made.spoken is not spoken:
            continue
        found = {place for span in find(made.text) for place in range(span.start, span.end)}
        private = {place for start, end, _ in made.gold for place in range(start, end)}
        for start, end, type_ in made.gold:
            letters = {place for place in range(start, end) if made.text[place].isalnum()}
            gold[type_] += len(letters)
            caught[type_] += len(letters & found)
        marked += len(found)
        right += len(found & private)
    assert caught.total() / gold.total() >= 0.97
    assert {type_: caught[type_] / gold[type_] for type_ in gold if caught[type_] / gold[type_] < 0.9 and gold[type_] > 100} == {}
    assert right / marked >= 0.9


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("this is john smith s m i t h calling", ["john smith", "s m i t h"]),
        ("it's o'brien o apostrophe b r i e n", ["o'brien", "o apostrophe b r i e n"]),
        ("Thank you for seeing Mr Theodore van der Wielen.", ["Theodore van der Wielen"]),
        ("Patient: SMITH, John\nSeen today", ["SMITH, John"]),
        ("Regards,\nXaviera Quigglethorpe\nPractice Manager", ["Xaviera Quigglethorpe"]),
        ("for my daughter maya she has a fever", ["maya"]),
        ("i'd like to see doctor nguyen please", ["nguyen"]),
        ("Nguyễn Thị Hương rang about her script", ["Nguyễn Thị Hương"]),
        (
            "i live at forty two wattle street bendigo victoria three five five oh",
            ["forty two wattle street bendigo victoria three five five oh"],
        ),
        ("Unit 3/42 Wattle St, Orange NSW 2800.", ["Unit 3/42 Wattle St, Orange NSW 2800"]),
        ("po box forty five dubbo", ["po box forty five dubbo"]),
        ("born on the third of the fourth sixty two", ["third of the fourth sixty two"]),
        ("DOB: 03/04/1962", ["03/04/1962"]),
        ("seen on March 3, 2021 and 2021-03-04", ["March 3, 2021", "2021-03-04"]),
        ("she is ninety two years old", ["ninety two"]),
        ("call me on oh four one two triple five one two three", ["oh four one two triple five one two three"]),
        ("ring one three hundred six double five five oh six", ["one three hundred six double five five oh six"]),
        ("jo dot lee at example dot com dot au", ["jo dot lee at example dot com dot au"]),
        ("medicare number is 2123456711", ["2123456711"]),
        ("Medicare 2123 45670 1 / 2", ["2123 45670 1 / 2"]),
        ("Card 2950 34179 1 was swiped", ["2950 34179 1"]),
        ("IHI 8003 6081 6669 0503", ["8003 6081 6669 0503"]),
        ("my veterans affairs number is n x one two three four five six", ["n x one two three four five six"]),
        ("Provider No. 2426621B, ABN 51 824 753 556, TFN 123 456 782", ["2426621B", "51 824 753 556", "123 456 782"]),
        (
            "Ahpra MED0001234567; UR 0012345; rego BQX 12A; pacemaker serial number RNB123456H",
            ["MED0001234567", "0012345", "BQX 12A", "RNB123456H"],
        ),
        ("admitted to Royal Melbourne Hospital", ["Royal Melbourne Hospital"]),
        ("from 192.168.1.20 by a.b@example.com, see https://example.com/x", ["192.168.1.20", "a.b@example.com", "https://example.com/x"]),
    ],
)
def test_hides(text: str, hidden: list[str]) -> None:
    found = [text[span.start : span.end] for span in find(text)]
    assert [piece for piece in hidden if not any(piece in one for one in found)] == []


@pytest.mark.parametrize(
    "text",
    [
        "He has Parkinson's disease, Bell's palsy, Crohn's and Graves disease; Romberg negative, Achilles reflexes normal.",
        "Started Lipitor 40 mg nocte, amoxicillin 500 mg tds for 5/7, Ventolin 2 puffs prn.",
        "BP 120/80, HR 72, Hb 132 g/L, Plt 250, Na 139, glucose 5.6 mmol/L (100 mg/dL), eGFR > 90.",
        "i take two tablets in the morning and the pain is eight out of ten since monday",
        "oh my god the first name i thought of was the second opinion",
        "Ross River virus and Barmah Forest virus serology negative.",
        "Ring Healthdirect on 1800 022 222, Lifeline on 13 11 14 or triple zero (000).",
        "go to the emergency department or the local private hospital",
        "She is 76 years old and was well in 2019. May have been a virus. Will review.",
        "POOR SLEEP, LOW MOOD, NO CHEST PAIN",
    ],
)
def test_leaves_what_is_nobodys(text: str) -> None:
    assert masked(text) == text


def test_title_makes_an_eponym_a_person() -> None:
    assert masked("Dr Bell saw her for Bell's palsy") == "Dr [NAME] saw her for Bell's palsy"


def test_a_name_once_known_is_found_where_nothing_points_to_it() -> None:
    assert masked("My name is Thessaly Zhugemin. Zhugemin with a z, thessaly said.").count("[NAME]") == 3


def test_every_safe_harbor_letter_that_text_can_hold_has_a_type() -> None:
    # P and Q, biometrics and photographs, are not text.
    assert {kind.hipaa for kind in kinds().values()} == set("ABCDEFGHIJKLMNOR")


def test_spans_of_other_recognisers_are_joined_with_ours() -> None:
    text = "Blue Wren House, seen by Dr Bell"
    assert masked(text) == "Blue Wren House, seen by Dr [NAME]"
    house = Span(0, 15, "FACILITY", 0.9, "practice list")
    assert redact(text, find(text, [lambda _: [house]])) == "[FACILITY], seen by Dr [NAME]"


@settings(max_examples=150, deadline=None)
@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(["oh", "four", "double", "dr", "Smith", "st", "12", "/", "\n", "İ", "s", "dob", "medicare", "@", "."]), max_size=30
    ).map(" ".join)
)
def test_any_text_gives_ordered_spans_inside_it_and_loses_nothing_else(text: str) -> None:
    spans = find(text)
    ends = [0, *(span.end for span in spans)]
    assert all(before <= span.start < span.end <= len(text) for before, span in zip(ends, spans, strict=False))
    kept = "".join(text[a:b] for a, b in zip(ends, [*(span.start for span in spans), len(text)], strict=True))
    assert re.sub(r"\[[A-Z_]+\]", "", redact(text, spans)) == re.sub(r"\[[A-Z_]+\]", "", kept)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="oh one two double three\n-,.x", max_size=60))
def test_places_of_speech_written_out_point_into_the_original(text: str) -> None:
    view = written(text)
    assert view.text == "" or view.original(0, len(view.text)) == (0, len(text))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ("nineteen sixty two", "1962"),
        ("two thousand and five", "2005"),
        ("twenty twenty one", "2021"),
        ("nineteen oh five", "1905"),
        ("double oh seven", "007"),
        ("thirteen hundred six five five", "1300655"),
        ("one hundred and forty two", "142"),
        ("twenty third of the fourth", "23rd of the 4th"),
    ],
)
def test_numbers_as_they_are_said(said: str, read: str) -> None:
    assert written(said).text == read


def test_surrogates_keep_who_is_who_how_long_it_was_and_good_check_digits() -> None:
    text = (
        "Mr John Smith saw Dr Nguyen on 03/04/2020 and on 10/04/2020. John was well; Smith's wife Mary Smith rang. "
        "s m i t h he spelled. Medicare 2950 34179 1, mobile 0412 555 123, 4 Rose Street, Orange NSW 2800."
    )
    out = Surrogates(1, "a").replace(text, find(text))
    person = re.match(
        r"Mr (\w+) (\w+) saw Dr (\w+) on (\S+) and on (\S+)\. (\w+) was well; (\w+)'s wife (\w+) (\w+) rang\. ((?:\w )+)he", out
    )
    assert person is not None
    john, smith, _, first, second, john_again, smith_again, mary, smith_third, spelled = person.groups()
    assert john == john_again and smith == smith_again == smith_third and spelled.replace(" ", "") == smith.lower()
    assert (john in LISTS["given"]) is False and mary != john and "Smith" not in out and "John" not in out
    days = [datetime.strptime(day, "%d/%m/%Y").date() for day in (first, second)]
    assert (days[1] - days[0]).days == 7 and days[0] != date(2020, 4, 3)
    number = re.search(r"Medicare ([\d ]+),", out)
    assert number and is_valid("id.medicare", number[1]) and number[1].replace(" ", "") in identifiers()["id.medicare"].valid
    assert re.search(r"mobile 0491 57\d \d{3}, .*NSW 2000\.$", out)
    assert out == Surrogates(1, "a").replace(text, find(text)) != Surrogates(1, "b").replace(text, find(text))


@given(
    st.dates(date(1920, 1, 1), date(2028, 12, 31)),
    st.integers(-364, 364),
    st.sampled_from(["%d/%m/%Y", "%Y-%m-%d", "%d %B %Y", "%B %d, %Y", "%d-%b-%Y", "%d.%m.%Y"]),
)
@settings(max_examples=150, deadline=None)
def test_shifted_dates_keep_their_style_and_distance(day: date, days: int, style: str) -> None:
    moved = shifted(day.strftime(style), days)
    assert moved is not None
    assert (datetime.strptime(moved, style).date() - day).days == days


def test_no_date_of_the_calendar_is_not_moved() -> None:
    assert shifted("31/02/2020", 5) is None


def test_canaries_are_seen_before_and_gone_after() -> None:
    planted, canaries = plant([(str(number), "Seen for a cough.") for number in range(40)], 12, seed=3)
    before = audit(planted, canaries)
    after = audit(((record, masked(text)) for record, text in planted), canaries)
    assert before.counts["canary"] >= 12 and not before.passed
    assert after.passed and after.canaries == 12 and after.records == 40


def test_audit_sees_what_redaction_left() -> None:
    left = audit([("1", "call 0412 555 123"), ("2", "Dr Smith"), ("3", "oh four one two five"), ("4", "[NAME] rang on [DATE], BP 120/80")])
    assert {leak.record: leak.kind for leak in left.leaks} == {"1": "long_number", "2": "name_after_cue", "3": "spoken_number"}


def test_json_lines_give_spans_in_the_original_and_file_what_is_no_row() -> None:
    ledger = DropLedger()
    rows = ['{"id": "a", "text": "ring José Smith on 0412 555 123"}\n', "not json\n", '{"id": 2}\n', '["x"]\n', '{"text": 5}\n', "\n"]
    out = [json.loads(line) for line in deidentify_lines(rows, Settings(), ledger)]
    assert out == [
        {
            "id": "a",
            "text": "ring [NAME] on [PHONE]",
            "spans": [{"start": 5, "end": 15, "type": "NAME"}, {"start": 19, "end": 31, "type": "PHONE"}],
        }
    ]
    assert [entry.reason for entry in ledger.entries if entry.action == "dropped"] == [
        "bad_json",
        "missing_field",
        "not_an_object",
        "not_text",
    ]
    assert not any("Smith" in entry.detail for entry in ledger.entries)


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "John Smith.txt").write_text("Mr John Smith of 4 Rose Street rang.\nHe is well.\n", encoding="utf-8")
    (path / "list.csv").write_text("surname,dob,note\nWolde,03/04/1962,cough\nLong,1/2/1990,rash\n", encoding="utf-8")
    (path / "rows.jsonl").write_text('{"id": 1, "text": "my name is jane smith"}\n', encoding="utf-8")
    (path / "scan.png").write_bytes(b"\x89PNG")
    (path / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    document = docx.Document()
    document.add_paragraph("Dear Dr Nguyen, Medicare 2950 34179 1.")
    document.save(str(path / "letter.docx"))
    return path


def test_a_folder_is_done_whole_resumed_and_accounted_for(tmp_path: Path) -> None:
    folder, out, ledger = _folder(tmp_path / "in"), tmp_path / "out", DropLedger()
    seen: list[tuple[int, int]] = []
    counts = deidentify_file(folder, out, Settings(), ledger, lambda done, of: seen.append((done, of)))
    written_files = {path.name: path.read_text(encoding="utf-8") for path in out.iterdir() if path.name != "index.jsonl"}
    everything = "".join((*written_files, *written_files.values()))
    assert not re.search("Smith|Rose|Nguyen|2950|Wolde|1962|jane", everything)
    assert "He is well." in everything and "surname,dob,note" in everything and "cough" in everything
    assert seen[0] == (0, 6) and seen[-1] == (6, 6) and counts["NAME"] >= 5
    assert Counter(entry.reason for entry in ledger.entries if entry.action == "dropped") == {
        "unsupported_document": 1,
        "unreadable_document": 1,
    }
    stamps = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "index.jsonl"}
    assert deidentify_file(folder, out, Settings(), DropLedger()) == counts
    assert stamps == {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != "index.jsonl"}


def test_a_path_that_is_not_there_or_an_output_inside_its_input_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="does not exist"):
        deidentify_file(tmp_path / "nothing", tmp_path / "out", Settings(), DropLedger())
    with pytest.raises(SourceError, match="lies inside"):
        deidentify_file(_folder(tmp_path / "in"), tmp_path / "in" / "out", Settings(), DropLedger())


def test_a_very_long_line_is_looked_at_whole() -> None:
    line = json.dumps({"id": 1, "text": "well " * 40_000 + "ring me on 0412 555 123"})
    out = json.loads(next(deidentify_lines([line], Settings(), DropLedger())))
    assert out["text"].endswith("ring me on [PHONE]") and out["spans"][0]["start"] == 200_011


def test_word_lists_are_lower_case_and_hold_no_word_twice() -> None:
    for name in ("surnames.txt", "words.txt", "not_names.txt", "firm_names.txt", "clinical_terms.txt"):
        assert all(word == word.lower() for word in read_words(name)), name


@pytest.mark.parametrize("piece", ["a.", "AB12-", "jo dot ", "1/", "a@", "s m ", "Smith ", "unit 3 wattle ", "van der ", "ab:", "1 2 "])
def test_time_grows_with_the_length_of_hostile_text(piece: str) -> None:
    seconds = []
    for size in (4_000, 32_000):
        start = process_time()
        find(piece * (size // len(piece)))
        seconds.append(process_time() - start)
    # Eight times the text: 64 times the time would be quadratic.
    assert seconds[1] < max(0.4, 24 * seconds[0])
