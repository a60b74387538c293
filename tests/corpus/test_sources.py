"""Readers: exact counts on real files, and every fault reported by file, line and reason while the rest survives."""

from __future__ import annotations

import codecs
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter

from bedside.corpus.conversation import Conversation
from bedside.corpus.sources import BadRecord, Record, get_reader, known_readers, read_source, reader, registry
from bedside.corpus.sources.lines import lines
from bedside.corpus.sources.passages import WORDS, Block, passages
from bedside.errors import SourceError
from bedside.workspace.ledger import DropLedger

BUILT_IN = ["chat_messages", "chatdoctor", "documents", "intent_set", "mts_dialog", "pubmedqa", "star"]

Bad = tuple[str, str]


class Read:
    """Everything one call of `read_source` gave."""

    def __init__(self, name: str, path: Path, limit: int | None = None) -> None:
        self.ledger = DropLedger()
        self.all: list[Conversation] = []
        self.error: SourceError | None = None
        try:
            for one in read_source(name, path, source="s", licence="MIT", locale="en-AU", ledger=self.ledger, limit=limit):
                self.all.append(one)
        except SourceError as error:
            self.error = error

    @property
    def bad(self) -> list[Bad]:
        return [(entry.reason, entry.where) for entry in self.ledger.entries]

    @property
    def said(self) -> list[list[str]]:
        return [[message.content for message in one.messages] for one in self.all]

    def accounted(self) -> bool:
        return len(self.all) + len(self.ledger.entries) == self.ledger.seen["s"]


def ok(name: str, path: Path, limit: int | None = None) -> Read:
    found = Read(name, path, limit)
    if found.error:
        raise found.error
    assert found.accounted()
    return found


def roles(conversation: Conversation) -> str:
    return "".join(message.role[0] for message in conversation.messages)


def row(number: int = 1) -> dict[str, str]:
    return {"instruction": "Be a doctor.", "input": f"I cough {number}.", "output": f"Rest {number}."}


def jsonl(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in rows), encoding="utf-8")
    return path


def pdf(*pages: str) -> bytes:
    """A small PDF with one line of text a page."""
    kids = " ".join(f"{3 + 2 * index} 0 R" for index in range(len(pages)))
    parts = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >> >> >>"
    for index, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        parts.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {font} /Contents {4 + 2 * index} 0 R >>")
        parts.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n")
    offsets = []
    for number, part in enumerate(parts, 1):
        offsets.append(out.tell())
        out.write(f"{number} 0 obj\n{part}\nendobj\n".encode())
    start = out.tell()
    out.write(f"xref\n0 {len(parts) + 1}\n0000000000 65535 f \n".encode())
    out.write("".join(f"{offset:010} 00000 n \n" for offset in offsets).encode())
    out.write(f"trailer\n<< /Size {len(parts) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def locked_pdf(user_password: str, algorithm: str) -> bytes:
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf("Opening hours are nine to five."))))
    writer.encrypt(user_password=user_password, owner_password="owner", algorithm=algorithm)
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


# The real files


def test_chatdoctor_real(shared_data: Path) -> None:
    found = ok("chatdoctor", shared_data / "chatdoctor" / "chatdoctor5k.json")
    assert len(found.all) == 5452
    assert found.bad == []
    assert {roles(one) for one in found.all} == {"sua"}
    first = found.all[0]
    assert first.provenance.model_dump() == {
        "source": "s",
        "where": "chatdoctor5k.json:2",
        "licence": "MIT",
        "locale": "en-AU",
        "family": "s:chatdoctor5k.json:2",
    }
    assert first.messages[1].content.startswith("Doctor, I have been experiencing sudden and frequent panic attacks.")
    assert len({one.provenance.family for one in found.all}) == 5452


@pytest.mark.parametrize(("part", "rows", "families"), [("Training", 1201, 1199), ("Validation", 100, 100)])
def test_mts_dialog_real(shared_data: Path, part: str, rows: int, families: int) -> None:
    found = ok("mts_dialog", shared_data / "mts_dialog" / f"MTS-Dialog-{part}Set.csv")
    assert len(found.all) == rows
    assert found.bad == []
    assert {roles(one) for one in found.all} == {"ua"}
    assert len({one.provenance.family for one in found.all}) == families
    first = found.all[0]
    assert first.labels == {"section_header": "GENHX"}
    assert first.provenance.where == f"MTS-Dialog-{part}Set.csv:2"
    assert "“history of present illness”" in first.messages[0].content
    assert "Doctor: W" in first.messages[0].content
    assert first.messages[1].content.startswith("The patient is a")


def test_star_real(shared_data: Path) -> None:
    found = ok("star", shared_data / "star_doctor" / "star_doctor_dialogues.jsonl")
    assert found.ledger.seen["s"] == 307
    assert len(found.all) == 287
    assert Counter(reason for reason, _ in found.bad) == {"no_messages": 20}
    assert found.bad[0] == ("no_messages", "star_doctor_dialogues.jsonl:9")
    assert not any("uu" in roles(one) or "aa" in roles(one) for one in found.all)
    first = found.all[0]
    assert [message.content for message in first.messages[:2]] == [
        "Hello, I'm really worried. I forgot what I'm supposed to do and forgot to write it down... What do I do?",
        "Could I get your name, please?",
    ]
    assert first.labels == {
        "tasks": ["doctor_followup"],
        "queries": [[{"Name": 'api.is_equal_to("Dr. Johnson")'}, {"PatientName": '"Alexis"'}]],
    }
    assert first.provenance.family == "star:1"
    assert sum(len(one.labels["queries"]) for one in found.all) == 1247


def test_intent_set_real(shared_data: Path) -> None:
    found = ok("intent_set", shared_data / "clinc150" / "clinc150_train_val.json")
    assert Counter(one.labels["split"] for one in found.all) == {"train": 15000, "val": 3000, "oos_train": 100, "oos_val": 100}
    assert len({one.labels["intent"] for one in found.all}) == 151
    assert len({one.provenance.family for one in found.all}) == 18197
    assert len({one.provenance.where for one in found.all}) == 18200
    assert found.all[0].labels == {"intent": "translate", "split": "train"}


def test_pubmedqa_real(shared_data: Path) -> None:
    found = ok("pubmedqa", shared_data / "pubmedqa" / "ori_pqal.json")
    assert Counter(one.labels["answer"] for one in found.all) == {"yes": 552, "no": 338, "maybe": 110}
    first = found.all[0]
    assert first.labels == {"answer": "yes", "pmid": "21645374"}
    assert first.provenance.family == "pmid:21645374"
    assert first.messages[0].content.startswith("Programmed cell death (PCD)")
    assert "Question: Do mitochondria play a role" in first.messages[0].content
    assert first.messages[1].content.startswith("Yes. Results depicted")
    truth = json.loads((shared_data / "pubmedqa" / "test_ground_truth.json").read_text())
    answers = {one.labels["pmid"]: one.labels["answer"] for one in found.all}
    assert len(truth) == 500
    assert all(answers[pmid] == answer for pmid, answer in truth.items())


def test_documents_real(shared_data: Path) -> None:
    found = ok("documents", shared_data / "README.md")
    assert {one.labels["title"] for one in found.all} == {"Real data for tests and trials"}
    assert all(len(one.messages[0].content.split()) <= WORDS for one in found.all)
    text = " ".join((shared_data / "README.md").read_text(encoding="utf-8").split())
    assert " ".join(" ".join(said[0].split()) for said in found.said) == text.removeprefix("# ")


# One bad record, the rest survives


def test_bad_lines_of_jsonl(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        row(1),
        '{"instruction": "x", ',
        "",
        [1],
        {"instruction": "x", "output": "y"},
        row() | {"output": " "},
        row() | {"input": 5},
        row() | {"input": None},
        '{"instruction": "x", "input": NaN}',
        row() | {"output": "\ud800"},
        row(2),
    )
    found = ok("chatdoctor", path)
    assert [said[1] for said in found.said] == ["I cough 1.", "I cough 2."]
    assert found.bad == [
        ("bad_json", "a.jsonl:2"),
        ("not_an_object", "a.jsonl:4"),
        ("missing_field", "a.jsonl:5"),
        ("empty_field", "a.jsonl:6"),
        ("not_text", "a.jsonl:7"),
        ("empty_field", "a.jsonl:8"),
        ("bad_json", "a.jsonl:9"),
        ("bad_encoding", "a.jsonl:10"),
    ]
    assert {(entry.stage, entry.action, entry.source) for entry in found.ledger.entries} == {("sources", "dropped", "s")}


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        ('{"instruction": "x" "input": "y"}', 3),
        ('{"instruction": "he said "no"", "input": "y", "output": "z"}', 3),
        ('{"instruction": "x, "input": "y", "output": "z"}', 3),
        ('{"instruction": "x", "input": "y"', 3),
        ('{"instruction": "x", "input": ["y"}', 3),
        ('{"instruction": "x", "input": "y"}}', 3),
        ("oops", 3),
        ("{" * 5000 + "}" * 5000, 3),
    ],
)
@pytest.mark.parametrize("pretty", [True, False])
def test_bad_row_of_json_array(tmp_path: Path, broken: str, where: int, pretty: bool) -> None:
    path = tmp_path / "a.json"
    gap = ",\n" if pretty else ", "
    path.write_text("[\n" + gap.join([json.dumps(row(1)), broken, json.dumps(row(2)), json.dumps(row(3))]) + "\n]")
    found = ok("chatdoctor", path)
    assert [said[1] for said in found.said] == ["I cough 1.", "I cough 2.", "I cough 3."]
    assert len(found.bad) == 1
    reason, place = found.bad[0]
    assert reason in ("bad_json", "missing_field")
    assert place == (f"a.json:{where}" if pretty else f"a.json:2:{len(json.dumps(row(1))) + 3}")


def test_array_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row(1), row(2), row(3)], indent=1)[:-40])
    found = ok("chatdoctor", path)
    assert len(found.all) == 2
    assert found.bad == [("bad_json", "a.json:12")]
    path.write_text(f"[{json.dumps(row(1))},\n")
    assert ok("chatdoctor", path).bad == [("bad_json", "a.json:1")]


def test_rows_on_one_line_have_their_own_places_and_families(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([row(number) for number in range(3)]))
    found = ok("chatdoctor", path)
    text = path.read_text()
    places = [one.provenance.where for one in found.all]
    assert places[0] == "a.json:1"
    for number, place in list(enumerate(places))[1:]:
        assert text[int(place.split(":")[2]) - 1 :].startswith(json.dumps(row(number)))
    assert len({one.provenance.family for one in found.all}) == 3


def test_chat_messages(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "chats.jsonl",
        {"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
        {"id": "1", "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
        {"conversations": [{"role": "user", "content": "Q"}]},
        {"messages": [{"role": "user", "content": "Q"}, {"role": "tool", "content": "T"}]},
        {"messages": []},
        {"messages": "Q"},
        {"messages": ["Q"]},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"content": "Q"}]},
        {"text": "Q"},
    )
    found = ok("chat_messages", path)
    assert [roles(one) for one in found.all] == ["sua", "ua", "u"]
    assert [reason for reason, _ in found.bad] == [
        "unknown_role",
        "no_messages",
        "not_a_list",
        "not_an_object",
        "missing_field",
        "empty_field",
        "missing_field",
        "missing_field",
    ]
    assert [where for _, where in found.bad] == [f"chats.jsonl:{number}" for number in range(4, 12)]


def test_chat_messages_array(tmp_path: Path) -> None:
    path = tmp_path / "sharegpt.json"
    path.write_text(json.dumps([{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}] * 2, indent=2))
    assert ok("chat_messages", path).said == [["Q", "A"], ["Q", "A"]]


def test_mts_dialog_bad_rows(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text(
        'ID,section_header,section_text,dialogue\r\n0,CC,"Cough, dry.","Doctor: Hi\r\nPatient: Hi"\r\n1,CC,only three\r\n'
        '2,CC,"said "no" twice",D\r\n3,CC,,D\r\n4,XRAY,Clear.,Doctor: And?\r\n',
        newline="",
    )
    found = ok("mts_dialog", path)
    assert found.bad == [("field_count", "m.csv:4"), ("bad_csv", "m.csv:5"), ("empty_field", "m.csv:6")]
    assert found.said[0] == [
        "Summarise this dialogue for the section “chief complaint” of the patient's note.\n\nDoctor: Hi\r\nPatient: Hi",
        "Cough, dry.",
    ]
    assert found.all[1].labels == {"section_header": "XRAY"}
    assert "“xray”" in found.said[1][0]


def test_csv_with_a_forgotten_quote_does_not_swallow_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    good = "".join(f'{number},CC,"Cough {number}.","Doctor: Hi\nPatient: Ho"\n' for number in range(5))
    path.write_text('ID,section_header,section_text,dialogue\n9,CC,"never closed,"Doctor: Hi\nPatient: Ho"\n' + good)
    found = ok("mts_dialog", path)
    assert [said[1] for said in found.said] == [f"Cough {number}." for number in range(5)]
    assert found.bad == [("bad_csv", "m.csv:2"), ("field_count", "m.csv:3")]
    path = tmp_path / "i.csv"
    path.write_text('text,intent\n"never closed,a\n' + "some words,b\n" * 20000)
    found = ok("intent_set", path)
    assert len(found.all) == 20000
    assert found.bad == [("bad_csv", "i.csv:2")]
    assert found.all[0].provenance.where == "i.csv:3"


def test_star_bad_events(tmp_path: Path) -> None:
    said = {"Agent": "User", "Action": "utter", "Text": "Hello"}
    good = {"dialogue_id": 7, "tasks": ["book"], "events": [said, said, {"Agent": "Wizard", "Action": "pick_suggestion", "Text": "Hi"}]}
    path = jsonl(
        tmp_path / "star.jsonl",
        good,
        good | {"events": [{"Agent": "UserGuide", "Action": "instruct", "Text": "Be rude."}]},
        good | {"events": [{"Agent": "User", "Action": "utter"}]},
        good | {"events": ["Hello"]},
        good | {"events": [said, {"Agent": "Wizard", "Action": "query"}]},
        good | {"tasks": [1]},
        {"tasks": [], "events": [said]},
        "{",
    )
    found = ok("star", path)
    assert found.said == [["Hello\nHello", "Hi"]]
    assert found.all[0].labels == {"tasks": ["book"], "queries": []}
    assert [reason for reason, _ in found.bad] == [
        "no_messages",
        "missing_field",
        "not_an_object",
        "missing_field",
        "not_text",
        "missing_field",
        "bad_json",
    ]
    assert found.bad[-1] == ("bad_json", "star.jsonl:8")


def test_intent_set_bad_pairs(tmp_path: Path) -> None:
    path = tmp_path / "i.json"
    path.write_text(
        '{"train": [\n["Book me in", "book"],\n["no intent"],\n["", "book"],\n"loose",\n["a" "b"],\n'
        '[1, "book"],\n["book  ME in", "book"]],\n'
        '"val": [\n["Bye", "end"]\n], "note": "hand-made"}'
    )
    found = ok("intent_set", path)
    assert found.said == [["Book me in"], ["book  ME in"], ["Bye"]]
    assert [one.labels["split"] for one in found.all] == ["train", "train", "val"]
    assert [one.provenance.family for one in found.all] == ["book me in", "book me in", "bye"]
    assert found.bad == [
        ("not_a_pair", "i.json:3"),
        ("empty_field", "i.json:4"),
        ("not_a_pair", "i.json:5"),
        ("bad_json", "i.json:6"),
        ("not_text", "i.json:7"),
        ("not_a_pair", "i.json:11"),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_intent_set_csv(tmp_path: Path, delimiter: str) -> None:
    path = tmp_path / "i.csv"
    table = [["id", "text", " intent", "split"], ["1", "Book me in", "book", "test"], ["2", "Bye", "end", ""], ["3", "x", "", "test"]]
    path.write_text("\n".join(delimiter.join(cells) for cells in table))
    found = ok("intent_set", path)
    assert [one.labels for one in found.all] == [{"intent": "book", "split": "test"}, {"intent": "end"}]
    assert found.bad == [("empty_field", "i.csv:4")]


def test_pubmedqa_bad_abstracts(tmp_path: Path) -> None:
    good = {"QUESTION": "Is it?", "CONTEXTS": ["A.", "B."], "LONG_ANSWER": "It is.", "final_decision": "yes"}
    rows = {
        "1": good,
        "2": good | {"final_decision": "perhaps"},
        "3": {"QUESTION": "Is it?"},
        "4": good | {"CONTEXTS": []},
        "5": good | {"CONTEXTS": "A."},
        "6": "text",
        "7": good,
    }
    path = tmp_path / "p.json"
    path.write_text("{" + ",\n".join(f'"{pmid}": {json.dumps(value)}' for pmid, value in rows.items()) + ',\n"8": {"QUESTION" "x"}}')
    found = ok("pubmedqa", path)
    assert found.said[0] == ["A.\n\nB.\n\nQuestion: Is it?\nAnswer yes, no or maybe, and say why.", "Yes. It is."]
    assert [one.labels["pmid"] for one in found.all] == ["1", "7"]
    assert found.bad == [
        ("bad_answer", "p.json:2"),
        ("missing_field", "p.json:3"),
        ("empty_field", "p.json:4"),
        ("not_a_list", "p.json:5"),
        ("not_an_object", "p.json:6"),
        ("bad_json", "p.json:8"),
    ]


@pytest.mark.parametrize(
    "text", ['{"train": [\n["a", "b"],\n["c", "d"', '{"train": [\n["a", "b",\n["c", "d"]], "val": []}', '{"train": [["a", "b"]']
)
def test_object_with_a_missing_bracket_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "i.json"
    path.write_text(text)
    error = Read("intent_set", path).error
    assert error is not None
    assert "lacks a bracket" in str(error)


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_encodings(tmp_path: Path, encoding: str, line_end: str) -> None:
    # U+0A0A, U+010A and U+0A01 hold the byte 0x0A without being a line end.
    text = "naïve café \u0a0a\u010a\u0a01 😀"
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}

    def write(name: str, content: str) -> Path:
        (tmp_path / name).write_bytes(marks.get(encoding, b"") + content.replace("\n", line_end).encode(encoding))
        return tmp_path / name

    rows = [row(1) | {"output": text}, row(2)]
    asked = "\n".join(json.dumps(one, ensure_ascii=False) for one in rows)
    assert ok("chatdoctor", write("a.jsonl", asked)).said[0][2] == text
    assert ok("chatdoctor", write("a.json", json.dumps(rows, ensure_ascii=False, indent=1))).said[0][2] == text
    found = ok("intent_set", write("i.csv", f'text,intent\n"{text}",a\nx,b\n'))
    assert found.said == [[text], ["x"]]
    assert [one.provenance.where for one in found.all] == ["i.csv:2", "i.csv:3"]
    assert ok("documents", write("d.txt", f"{text}\n\nSecond.")).said == [[f"{text}\n\nSecond."]]


def test_line_offsets(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfab\nc\xc3\xa9\xe9 \xe8\n")
    first, second = lines(path)
    assert (first.number, first.text, first.fault()) == (1, "ab\n", None)
    assert second.fault() == "byte 0xe9 at offset 9 is not UTF-8 text"
    assert second.fault(3) == "byte 0xe8 at offset 11 is not UTF-8 text"
    assert second.fault(0, 2) is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_faults(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.txt"
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else codecs.BOM_UTF16_BE
    path.write_bytes(mark + "a\n".encode(encoding) + "b\ud800c".encode(encoding, "surrogatepass") + b"\x41")
    first, second = lines(path)
    assert first.fault() is None
    assert second.text.startswith("b\ud800c")
    high = b"\xd8" if encoding == "utf-16-be" else b"\x00"
    assert second.fault() == f"byte 0x{high.hex()} at offset 8 is not UTF-16 text"
    assert second.fault(2) == "byte 0x41 at offset 12 is not UTF-16 text"


def bad_byte(text: str) -> bytes:
    return text.encode().replace(b"@", b"\xe9")


@pytest.mark.parametrize(
    ("name", "file", "content", "where"),
    [
        ("chatdoctor", "a.jsonl", f"{json.dumps(row(1))}\n{json.dumps(row() | {'input': '@'})}\n{json.dumps(row(2))}", "a.jsonl:2"),
        ("chatdoctor", "a.json", json.dumps([row(1), row() | {"input": "@"}, row(2)], indent=1), "a.json:7"),
        ("chatdoctor", "b.json", json.dumps([row(1), row() | {"input": "@"}, row(2)]), "b.json:1:79"),
        ("intent_set", "i.csv", 'text,intent\na,b\n"c\n@",d\ne,f\n', "i.csv:3"),
        ("intent_set", "i.json", '{"train": [["a", "b"],\n["@", "c"],\n["d", "e"]]}', "i.json:2"),
        ("documents", "d.txt", "First.\n\nThis is\nn@t whole.\n\nLast.\n", "d.txt:4"),
        ("documents", "d.md", "# A\n\nThis is\nn@t whole.\n\nLast.\n", "d.md:4"),
    ],
)
def test_bad_byte_costs_its_record(tmp_path: Path, name: str, file: str, content: str, where: str) -> None:
    path = tmp_path / file
    path.write_bytes(bad_byte(content))
    found = ok(name, path)
    assert found.bad == [("bad_encoding", where)]
    assert found.ledger.entries[0].detail == f"byte 0xe9 at offset {content.index('@')} is not UTF-8 text"
    assert len(found.all) == (1 if name == "documents" else 2)
    assert not any("whole" in message for said in found.said for message in said)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("chatdoctor", "my notes.jsonl", json.dumps(row() | {"input": "@"})),
        ("chatdoctor", "my notes.json", json.dumps([row() | {"input": "@"}], indent=1)),
        ("mts_dialog", "my notes.csv", "ID,section_header,section_text,dialogue\n1,CC,@,D"),
        ("documents", "my notes.txt", "@"),
    ],
)
def test_wholly_latin1(tmp_path: Path, name: str, file: str, content: str) -> None:
    path = tmp_path / file
    path.write_bytes(bad_byte(content))
    error = Read(name, path).error
    assert error is not None
    assert f"byte 0xe9 at offset {content.index('@')}" in error.problem
    assert f"iconv -f WINDOWS-1252 -t UTF-8 'my notes{path.suffix}' > 'my notes.utf8{path.suffix}'" in error.next_step


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("chatdoctor", "a.jsonl", json.dumps(row())),
        ("chatdoctor", "a.json", json.dumps([row()])),
        ("intent_set", "i.csv", "text,intent\na,b\n"),
        ("intent_set", "i.json", '{"train": [["a", "b"]]}'),
        ("pubmedqa", "p.json", '{"1": {"QUESTION": "Is it?"}}'),
        ("documents", "d.txt", "Hello"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(tmp_path: Path, name: str, file: str, content: str, encoding: str) -> None:
    path = tmp_path / file
    path.write_bytes(content.encode(encoding))
    error = Read(name, path).error
    assert error is not None
    assert f"byte 0x00 at offset {1 if encoding == 'utf-16-le' else 0}" in error.problem
    assert "iconv -f UTF-16 -t UTF-8" in error.next_step


# Whole sources that cannot be used


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".csv", ".txt"])
def test_empty_file(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"empty{suffix}"
    path.touch()
    error = Read(name, path).error
    assert error is not None
    assert "expected " in error.problem
    assert "an empty file" in error.problem or "no_text" in error.problem or "unsupported_document" in error.problem


@pytest.mark.parametrize(
    ("name", "file", "content", "said"),
    [
        ("chatdoctor", "a.json", "[]", "no record at all"),
        ("chatdoctor", "a.json", '[{"question": "Q", "answer": "A"}]', "fields found: 'question', 'answer'"),
        ("chatdoctor", "a.csv", "text,intent\na,b", "bad_json"),
        ("chat_messages", "a.jsonl", json.dumps(row()), "'messages' is missing; fields found: 'instruction', 'input', 'output'"),
        (
            "mts_dialog",
            "m.csv",
            "text,intent\na,b",
            "no column 'ID': expected ID, section_header, section_text, dialogue; found 'text', 'intent'",
        ),
        ("mts_dialog", "m.csv", "ID,section_header,section_text,dialogue\n", "no record at all"),
        ("mts_dialog", "m.csv", '"ID,section_header\n', "no column 'ID'"),
        ("intent_set", "i.csv", "utterance,label\na,b", "found 'utterance', 'label'"),
        ("intent_set", "i.json", '[["a", "b"]]', "does not begin with '{'"),
        ("intent_set", "i.json", '{"banking": ["transfer", "balance"]}', "not_a_pair"),
        ("pubmedqa", "p.json", '{"train": [["a", "b"]]}', "not_an_object"),
        ("star", "s.jsonl", '{"Events": []}', "'events' is missing"),
        ("documents", "notes.xlsx", "x", "'.xlsx' is none of .txt, .md, .pdf, .docx"),
    ],
)
def test_wrong_layout(tmp_path: Path, name: str, file: str, content: str, said: str) -> None:
    path = tmp_path / file
    path.write_text(content)
    error = Read(name, path).error
    assert error is not None
    assert said in error.problem
    assert "expected" in error.problem or "does not begin" in error.problem


def test_missing_path_and_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.json' does not exist"):
        read_source("chatdoctor", tmp_path / "nowhere.json", source="s", licence="x", locale="en", ledger=DropLedger())
    assert "is a folder" in str(Read("chatdoctor", tmp_path).error)
    assert "no record at all" in str(Read("documents", tmp_path).error)


def test_limit(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "a.jsonl", *[row(number) for number in range(5)])
    assert len(ok("chatdoctor", path, limit=2).all) == 2
    assert ok("chatdoctor", path, limit=2).ledger.seen["s"] == 2
    assert ok("chatdoctor", path, limit=0).all == []


# Documents


def test_documents_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "hidden.txt").write_text("hidden")
    (tmp_path / "~$lock.docx").write_bytes(b"lock")
    (tmp_path / "a.pdf").write_bytes(pdf("Opening hours are nine to five.", "", "Parking is behind the house."))
    (tmp_path / "b.pdf").write_bytes(pdf("cut off")[:60])
    (tmp_path / "c.pdf").write_bytes(locked_pdf("secret", "AES-256"))
    (tmp_path / "d.pdf").write_bytes(locked_pdf("", "AES-128"))
    (tmp_path / "e.docx").write_bytes(b"PK\x03\x04 no zip")
    (tmp_path / "f.docx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"))
    (tmp_path / "g.docx").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600)
    (tmp_path / "h.png").write_bytes(b"\x89PNG")
    (tmp_path / "i.txt").write_text(" \n\n")
    (tmp_path / "sub" / "j.txt").write_text("Fees.\n\nBring your card.")
    (tmp_path / "sub" / "copy.txt").write_text("Fees.\n\nBring your card.")
    found = ok("documents", tmp_path)
    assert [(one.provenance.where, one.messages[0].content, one.labels["title"], one.labels["page"]) for one in found.all] == [
        ("a.pdf:page 1", "Opening hours are nine to five.", "a", 1),
        ("a.pdf:page 3", "Parking is behind the house.", "a", 3),
        ("d.pdf:page 1", "Opening hours are nine to five.", "d", 1),
        ("sub/copy.txt:1", "Fees.\n\nBring your card.", "copy", None),
        ("sub/j.txt:1", "Fees.\n\nBring your card.", "j", None),
    ]
    assert {roles(one) for one in found.all} == {"a"}
    assert found.bad == [
        ("no_text", "a.pdf:page 2"),
        ("unreadable_document", "b.pdf"),
        ("password_protected", "c.pdf"),
        ("unreadable_document", "e.docx"),
        ("password_protected", "f.docx"),
        ("unreadable_document", "g.docx"),
        ("unsupported_document", "h.png"),
        ("no_text", "i.txt"),
    ]
    families = [one.provenance.family for one in found.all]
    assert families[0] == families[1] != families[2]
    assert families[3] == families[4]


def test_docx(tmp_path: Path) -> None:
    document = docx.Document()
    document.core_properties.title = "Practice guide"
    document.add_heading("Opening hours", 1)
    document.add_paragraph("We open at eight.")
    table = document.add_table(rows=2, cols=3)
    for cell, text in zip([cell for line in table.rows for cell in line.cells], ["Day", "From", "To", "Monday", "8", "8"], strict=True):
        cell.text = text
    wide = table.add_row().cells
    wide[0].merge(wide[1]).text = "Holidays"
    wide[2].text = "closed"
    document.save(str(tmp_path / "guide.docx"))
    found = ok("documents", tmp_path / "guide.docx")
    assert found.said == [["Opening hours\n\nWe open at eight.\n\nDay | From | To\nMonday | 8 | 8\nHolidays | closed"]]
    assert found.all[0].labels == {"kind": "document", "title": "Practice guide", "page": None}
    whole = (tmp_path / "guide.docx").read_bytes()
    (tmp_path / "guide.docx").write_bytes(whole[: len(whole) // 2])
    assert "unreadable_document" in str(Read("documents", tmp_path / "guide.docx").error)


def test_markdown_passages(tmp_path: Path) -> None:
    path = tmp_path / "guide.md"
    body = "This is a sentence of seven words. " * 20
    path.write_text(f"# Guide to C#\n\n## Fees\n{body}\n\n## Hours\n{body}\n{body}\n")
    found = ok("documents", path)
    assert [one.provenance.where for one in found.all] == ["guide.md:1", "guide.md:6"]
    assert [said[0].split("\n")[0] for said in found.said] == ["Guide to C#", "Hours"]
    assert {one.labels["title"] for one in found.all} == {"Guide to C#"}


@given(st.lists(st.tuples(st.integers(1, 900), st.booleans(), st.integers(1, 2)), max_size=12))
@settings(max_examples=60, deadline=None)
def test_passages_keep_every_word_in_order(shape: list[tuple[int, bool, int]]) -> None:
    count = 0
    blocks = []
    for size, heading, page in shape:
        said = [f"w{count + index}{'.' if index % 9 == 0 else ''}" for index in range(size)]
        blocks.append(Block(" ".join(said), "1", heading=heading, page=page))
        count += size
    groups = list(passages(blocks))
    assert [word for group in groups for block in group for word in block.text.split()] == " ".join(b.text for b in blocks).split()
    assert all(sum(len(block.text.split()) for block in group) <= WORDS or all(b.heading for b in group[:-1]) for group in groups)


def test_long_paragraphs_are_cut_at_sentences_then_at_lines() -> None:
    sentences = "One two three four five six seven. " * 60
    first, second = passages([Block(sentences, "1")])
    assert first[0].text.endswith("seven.")
    assert len(first[0].text.split()) + len(second[0].text.split()) == 420
    table = "\n".join("a b c d e f g" for _ in range(60))
    assert next(passages([Block(table, "1")]))[0].text.endswith("f g")
    assert len(next(passages([Block("word " * 900, "1")]))[0].text.split()) == WORDS


# Registry


def test_known_readers() -> None:
    assert set(BUILT_IN) <= set(known_readers())
    assert all(callable(get_reader(name)) for name in BUILT_IN)


def test_unknown_reader() -> None:
    with pytest.raises(SourceError) as caught:
        get_reader("chatdoktor")
    assert "'chatdoktor'" in caught.value.problem
    assert "Did you mean 'chatdoctor'?" in caught.value.next_step
    assert all(name in caught.value.next_step for name in BUILT_IN)
    with pytest.raises(SourceError, match=r"^no reader is called 'zzz'\. Known readers"):
        get_reader("zzz")


def test_a_name_is_given_once() -> None:
    with pytest.raises(SourceError, match="two readers are called 'star'"):
        reader("star")(lambda _: iter(()))


@pytest.fixture
def outsider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs a tiny package with an entry point and code of its own."""

    def install(entry_point: str, code: str) -> None:
        site = tmp_path / "site"
        info = site / "outsider-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outsider\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bedside.readers]\n{entry_point}\n")
        module = entry_point.split("=")[1].split(":")[0].strip()
        (site / f"{module}.py").write_text(code)
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, module, raising=False)
        for known in ("_readers", "_layouts"):  # an outsider's reader goes away with its test
            monkeypatch.setattr(registry, known, dict(getattr(registry, known)))

    return install


PLUGIN = """
from bedside.corpus.sources import BadRecord, Record, reader

@reader("clinic_notes", layout="one note a line")
def read(path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}"
        role = "nurse" if line == "nurse" else "user"
        yield Record(((role, line),), where, labels={"n": number}) if line else BadRecord("empty_field", where)
"""


def test_reader_of_an_outsider(tmp_path: Path, outsider: Callable[[str, str], None]) -> None:
    outsider("clinic_notes = outsider_notes:read", PLUGIN)
    assert "clinic_notes" in known_readers()
    path = tmp_path / "notes.txt"
    path.write_text("one\n\nnurse\nfour\n")
    found = ok("clinic_notes", path)
    assert found.said == [["one"], ["four"]]
    assert found.bad == [("empty_field", "notes.txt:2"), ("bad_record", "notes.txt:3")]
    path.write_text("\n\n")
    assert "expected one note a line; found no usable record among 2" in str(Read("clinic_notes", path).error)


def test_reader_of_an_outsider_that_cannot_be_imported(outsider: Callable[[str, str], None]) -> None:
    outsider("broken_notes = outsider_broken:read", "import a_package_that_nobody_has\n")
    with pytest.raises(SourceError, match=r"'broken_notes' .* cannot be loaded: No module named 'a_package_that_nobody_has'"):
        get_reader("broken_notes")


def test_outsider_with_the_name_of_a_built_in(outsider: Callable[[str, str], None]) -> None:
    outsider("star = outsider_star:read", PLUGIN)
    with pytest.raises(SourceError, match="two readers are called 'star'"):
        get_reader("star")


def test_records_an_outsider_may_not_make(tmp_path: Path) -> None:
    made: list[Record | BadRecord] = [
        Record((), "1"),
        Record((("user", ""),), "2"),
        Record((("user", "\ud800"),), "3"),
        Record((("user", "x"),), "4", labels={"bad": "\ud800"}),
        Record((("user", "x"),), "5", labels={"bad": object()}),
        Record((("user", "x"),), "6"),
        BadRecord("odd", "7"),
    ]
    reader("test_made")(lambda _: iter(made))
    found = ok("test_made", tmp_path)
    assert [one.provenance.where for one in found.all] == ["6"]
    assert found.bad == [*(("bad_record", str(number)) for number in range(1, 6)), ("odd", "7")]


# Properties

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
words = st.text(max_size=12) | st.just('He said "no", {"and": [1, 2]}, {left}.\n\u2028')
doctor_rows = st.fixed_dictionaries({}, optional={"instruction": words, "input": words, "output": words | json_values})
chat_message = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": words}) | json_values
chat_rows = st.fixed_dictionaries({}, optional={"messages": st.lists(chat_message, max_size=3) | json_values, "conversations": json_values})
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("name", ["chatdoctor", "chat_messages"])
@pytest.mark.parametrize("layout", ["lines", "array", "pretty array"])
@given(data=st.data())
@quick
def test_any_rows_are_accounted_for(tmp_path: Path, name: str, layout: str, data: st.DataObject) -> None:
    rows: list[Any] = data.draw(st.lists((doctor_rows if name == "chatdoctor" else chat_rows) | json_values, max_size=6))
    path = tmp_path / ("rows.jsonl" if layout == "lines" else "rows.json")
    ascii_only = data.draw(st.booleans())
    if layout == "lines":
        path.write_text("".join(json.dumps(one, ensure_ascii=ascii_only) + "\n" for one in rows), encoding="utf-8", newline="")
    else:
        indent = 2 if layout == "pretty array" else None
        path.write_text(json.dumps(rows, ensure_ascii=ascii_only, indent=indent), encoding="utf-8", newline="")
    found = Read(name, path)
    assert found.ledger.seen["s"] == len(rows)
    assert found.accounted()
    assert (found.error is None) == bool(found.all)
    assert "bad_json" not in {reason for reason, _ in found.bad}
    if name == "chatdoctor":
        fields = ("instruction", "input", "output")
        good = [one for one in rows if isinstance(one, dict) and all(_is_text(one.get(field)) for field in fields)]
        assert found.said == [[one[field].strip() for field in fields] for one in good]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


FUZZED = [
    (name, suffix)
    for name, suffixes in {
        "chatdoctor": [".json", ".jsonl"],
        "chat_messages": [".json", ".jsonl"],
        "mts_dialog": [".csv"],
        "star": [".jsonl"],
        "intent_set": [".json", ".csv"],
        "pubmedqa": [".json"],
        "documents": [".txt", ".md", ".pdf", ".docx"],
    }.items()
    for suffix in suffixes
]
SEEDS = {
    ".json": b'{"train": [["a", "b"], {"instruction": "x", "input": "y", "output": "z"}], "1": {"QUESTION": "q"}}',
    ".jsonl": b'{"messages": [{"role": "user", "content": "x"}]}\n{"instruction": "x", "input": "y", "output": "z"}\n',
    ".csv": b'ID,section_header,section_text,dialogue,text,intent\n1,CC,"a","b\nc",d,e\n2,CC,a,b,c,d\n',
    ".txt": b"One.\n\nTwo.\n",
    ".md": b"# One\n\nTwo.\n",
    ".pdf": pdf("Hello"),
    ".docx": b"PK\x03\x04",
}


@pytest.mark.parametrize(("name", "suffix"), FUZZED)
@given(data=st.data())
@settings(parent=quick, max_examples=25)
def test_any_bytes_give_only_records_entries_or_a_source_error(tmp_path: Path, name: str, suffix: str, data: st.DataObject) -> None:
    seed = SEEDS[suffix]
    if name != "documents" and suffix == ".json" and data.draw(st.booleans()):
        seed = b"[" + seed + b"]"
    start = data.draw(st.integers(0, len(seed)))
    end = data.draw(st.integers(start, len(seed)))
    path = tmp_path / f"fuzz{suffix}"
    spoilt = seed[:start] + data.draw(st.binary(max_size=20)) + seed[end:]
    path.write_bytes(data.draw(st.just(spoilt) | st.binary(max_size=200)))
    found = Read(name, path)
    assert found.accounted()
    assert found.all or found.error
