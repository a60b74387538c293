"""Text messages: neutral, once written, and never lost."""

from __future__ import annotations

import datetime as dt
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest_bookings import Clock
from pydantic import ValidationError

from bedside.knowledge.sms import SmsText, sms_texts
from bedside.phone.database import Database
from bedside.phone.outbox import LEASE_SECONDS, FileSender, HttpSender, MessageError, Outbox
from bedside.phone.patients import Patient
from bedside.phone.practice import Practice

MARY = Patient("mary", "Example", "Mary", dt.date(1980, 2, 3), mobile="0491 570 006")
WHEN = dt.datetime(2026, 11, 26, 3, 15, tzinfo=dt.UTC)


@pytest.fixture
def outbox(database: Database, practice: Practice, clock: Clock) -> Outbox:
    return Outbox(database, practice, clock)


class Failing:
    """A provider that is down for its first calls."""

    def __init__(self, failures: int) -> None:
        self.failures, self.bodies = failures, list[str]()

    def send(self, recipient: str, body: str, sender: str, key: str) -> str:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no route")
        self.bodies.append(body)
        return "id"


def test_a_message_names_the_practice_and_the_time_and_nothing_of_health(outbox: Outbox) -> None:
    message = outbox.put("sms.booked", MARY, "key", WHEN)
    assert message.body == "Wattle Street Family Practice: your appointment is on Thu 26 Nov at 2:15 pm. To change it, ring 02 5550 1234."
    assert message.recipient == "0491570006"


def test_every_text_is_neutral_and_fits_one_message(outbox: Outbox) -> None:
    for text in sms_texts().values():
        message = outbox.put(text.id, MARY, text.id, WHEN if "when" in text.places else None)
        assert len(message.body) <= 160 and message.body.isascii()
    fact = {"id": "x", "source": "here", "certainty": "C"}
    for wrong in ("Your results are in, ring {number}", "{practice}: {reason}"):
        with pytest.raises(ValidationError, match="no others than practice, number, when"):
            SmsText.model_validate({**fact, "text": wrong})


def test_the_same_key_is_one_message(outbox: Outbox, tmp_path: Path) -> None:
    assert outbox.put("sms.booked", MARY, "key", WHEN) == outbox.put("sms.booked", MARY, "key", WHEN)
    sent = outbox.deliver(FileSender(tmp_path / "sms.jsonl"))
    assert (sent.sent, outbox.deliver(FileSender(tmp_path / "sms.jsonl")).sent) == (1, 0)
    (line,) = (tmp_path / "sms.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(line)["from"] == "WattleSt" and json.loads(line)["key"] == "key"


@pytest.mark.parametrize(
    "patient", [replace(MARY, sms=False), replace(MARY, mobile=None), replace(MARY, mobile="02 5550 1234"), replace(MARY, mobile="000")]
)
def test_nothing_is_sent_to_who_wants_none_or_has_no_mobile(outbox: Outbox, patient: Patient) -> None:
    with pytest.raises(MessageError, match="no mobile number on file, or wants no"):
        outbox.put("sms.call_us", patient, "key")


def test_wrong_texts_and_practices_without_messages_are_clear_errors(outbox: Outbox, database: Database, practice: Practice) -> None:
    with pytest.raises(MessageError, match=r"there is no text message 'sms\.results'"):
        outbox.put("sms.results", MARY, "key")
    with pytest.raises(MessageError, match="needs time"):
        outbox.put("sms.booked", MARY, "key")
    silent = Outbox(database, practice.model_copy(update={"sms": None}))
    with pytest.raises(MessageError, match="sends no text messages"):
        silent.put("sms.call_us", MARY, "key")


def test_a_provider_that_is_down_is_tried_again_later_and_later_and_then_staff_are_told(outbox: Outbox, clock: Clock) -> None:
    outbox.put("sms.call_us", MARY, "key")
    down = Failing(2)
    assert outbox.deliver(down).put_off == 1
    assert outbox.deliver(down) == type(outbox.deliver(down))(0, 0, 0), "not before its time"
    clock.advance(seconds=31)
    assert outbox.deliver(down).put_off == 1
    clock.advance(seconds=61)
    assert outbox.deliver(down).sent == 1 and len(down.bodies) == 1
    outbox.put("sms.call_us", MARY, "key2")
    for _ in range(8):
        outbox.deliver(Failing(1))
        clock.advance(days=1)
    assert [message.key for message in outbox.failed()] == ["key2"]
    assert "no route" in (outbox.failed()[0].fault or "")


def test_a_sender_that_dies_with_a_message_in_hand_gives_it_back(outbox: Outbox, clock: Clock) -> None:
    class Killed(BaseException):
        pass

    class Dying:
        def send(self, *_: str) -> str:
            raise Killed

    outbox.put("sms.call_us", MARY, "key")
    with pytest.raises(Killed):
        outbox.deliver(Dying())  # type: ignore[arg-type]
    healthy = Failing(0)
    assert outbox.deliver(healthy).sent == 0
    clock.advance(seconds=LEASE_SECONDS + 1)
    assert outbox.deliver(healthy).sent == 1


def test_senders_that_work_at_once_never_take_the_same_message(outbox: Outbox) -> None:
    for number in range(20):
        outbox.put("sms.call_us", MARY, f"key-{number}")
    healthy = Failing(0)
    threads = [threading.Thread(target=outbox.deliver, args=(healthy, 7)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(healthy.bodies) == 20


def test_the_http_sender_posts_json_with_its_key_and_fails_on_an_error(outbox: Outbox, clock: Clock) -> None:
    asked: list[tuple[dict[str, str], str | None]] = []

    class Provider(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((body, self.headers["Idempotency-Key"]))
            self.send_response(500 if len(asked) == 1 else 200)
            self.send_header("X-Message-Id", "provider-7")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sender = HttpSender(f"http://127.0.0.1:{server.server_port}/sms", token="secret")
    outbox.put("sms.call_us", MARY, "key")
    assert outbox.deliver(sender).put_off == 1
    clock.advance(minutes=1)
    assert outbox.deliver(sender).sent == 1
    server.shutdown()
    server.server_close()
    assert [key for _, key in asked] == ["key", "key"] and asked[1][0]["to"] == "0491570006"
