"""Text messages to patients: written once, sent at least once, and never about health.

A message waits in the outbox until a `Sender` has taken it. A sender that fails is tried again, later and later; one that dies with the
message in hand gives it back when its lease ends, so that a message may go out twice and is never lost. The key goes with it to the
provider, which can drop the second.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from sqlalchemy import select, update

from bedside.errors import BedsideError
from bedside.knowledge.identifiers import is_valid
from bedside.knowledge.sms import sms_texts
from bedside.phone.database import Database, messages
from bedside.phone.patients import Patient
from bedside.phone.practice import Practice
from bedside.workspace.database import AnyRow, seconds, utc_now

LEASE_SECONDS = 60
"""How long a sender has one message to itself."""
_TRIES = 8
_FIRST_WAIT = 30
"""Seconds until the second try; each further wait is twice as long."""

State = Literal["waiting", "sent", "failed"]


class MessageError(BedsideError):
    """A text message may not be, or could not be, sent."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text message; `status` is `failed` after the last try, and staff have to ring."""

    id: str
    key: str
    patient: str
    text_id: str
    recipient: str
    body: str
    status: State
    attempts: int
    fault: str | None


@dataclass(frozen=True, slots=True)
class Delivered:
    """What one round of sending came to."""

    sent: int
    put_off: int
    failed: int


class Sender(Protocol):
    """A provider of text messages."""

    def send(self, recipient: str, body: str, sender: str, key: str) -> str:
        """Hand a message over; returns the provider's id. Any exception puts the message off."""
        ...


class FileSender:
    """Writes messages to a JSON Lines file, for another program to take, for tests and for demonstrations."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def send(self, recipient: str, body: str, sender: str, key: str) -> str:
        """See `Sender.send`."""
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"to": recipient, "from": sender, "body": body, "key": key}, ensure_ascii=False) + "\n")
        return key


class HttpSender:
    """Posts messages as JSON to a provider or a gateway of the practice, with the key as `Idempotency-Key`.

    Args:
        url: where to post `{"to", "from", "body", "key"}`.
        token: bearer token, from the environment and never from a file of the practice.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def send(self, recipient: str, body: str, sender: str, key: str) -> str:
        """See `Sender.send`."""
        import httpx

        message = {"to": recipient, "from": sender, "body": body, "key": key}
        reply = httpx.post(self._url, json=message, headers={**self._headers, "Idempotency-Key": key}, timeout=10)
        reply.raise_for_status()
        return str(reply.headers.get("x-message-id", key))


class Outbox:
    """The messages of a practice.

    Args:
        database: where they are.
        practice: whose name, number and sender they carry.
        now: the clock.
    """

    def __init__(self, database: Database, practice: Practice, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._database = database
        self._practice = practice
        self._now = now

    def put(self, text_id: str, patient: Patient, key: str, when: dt.datetime | None = None) -> Message:
        """Write a message. The same key again gives the message that was written.

        Args:
            text_id: id in `knowledge/sms_texts.yaml`.
            patient: to whose mobile.
            key: one for each thing that is told, such as the appointment's id and what happened to it.
            when: the appointment's time, where the text names it.

        Raises:
            MessageError: the practice sends none, the patient has no mobile or wants none, or there is no such text.
        """
        body = self._body(text_id, when)
        mobile = re.sub(r"[\s()-]", "", patient.mobile or "")
        if self._practice.sms is None:
            raise MessageError(f"{self._practice.name} sends no text messages", "Add `sms` to the practice file")
        if not patient.sms or not is_valid("id.mobile", mobile):
            raise MessageError("the patient has no mobile number on file, or wants no text messages", "Tell them on the phone")
        now = seconds(self._now())
        row: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "key": key,
            "patient": patient.id,
            "text_id": text_id,
            "recipient": mobile,
            "body": body,
        }
        row |= {"status": "waiting", "created": now, "due": now, "attempts": 0}
        with self._database.writing() as connection:
            self._database.insert_new(connection, messages, [row])
            return _message(connection.execute(select(messages).where(messages.c.key == key)).one())

    def deliver(self, sender: Sender, limit: int = 50) -> Delivered:
        """Hand over what is due, oldest first. Several programs may do so at once."""
        counts = {"sent": 0, "waiting": 0, "failed": 0}
        for message in self._take(limit):
            try:
                provider_id = sender.send(message.recipient, message.body, self._sender, message.key)
            except Exception as fault:  # a provider can fail in any way, and no message may be lost by it
                counts[self._put_off(message, f"{type(fault).__name__}: {fault}"[:200])] += 1
            else:
                self._mark(message, {"status": "sent", "sent": seconds(self._now()), "provider_id": provider_id, "fault": None})
                counts["sent"] += 1
        return Delivered(counts["sent"], counts["waiting"], counts["failed"])

    def failed(self) -> list[Message]:
        """Messages that nobody will get: staff have to ring."""
        with self._database.reading() as connection:
            rows = connection.execute(select(messages).where(messages.c.status == "failed").order_by(messages.c.created)).all()
        return [_message(row) for row in rows]

    @property
    def _sender(self) -> str:
        return self._practice.sms.sender if self._practice.sms else ""

    def _body(self, text_id: str, when: dt.datetime | None) -> str:
        text = sms_texts().get(text_id)
        if text is None or not text.holds_on(self._now().date()):
            raise MessageError(f"there is no text message {text_id!r} today", f"Use one of {', '.join(sms_texts())}")
        if ("when" in text.places) != (when is not None):
            raise MessageError(f"the text message {text_id!r} {'needs' if when is None else 'takes no'} time", "Correct `when`")
        spoken = _written(when.astimezone(self._practice.zone)) if when else ""
        return text.text.format(practice=self._practice.name, number=self._practice.numbers.main, when=spoken)

    def _take(self, limit: int) -> list[Message]:
        """Messages that are due; for the time of the lease nobody else is given them."""
        now = seconds(self._now())
        due = select(messages).where(messages.c.status == "waiting", messages.c.due <= now).order_by(messages.c.created).limit(limit)
        with self._database.writing() as connection:
            rows = connection.execute(due.with_for_update(skip_locked=True)).all()
            leased = {"due": now + LEASE_SECONDS, "attempts": messages.c.attempts + 1}
            connection.execute(update(messages).where(messages.c.id.in_([row.id for row in rows])).values(**leased))
        return [_message(row) for row in rows]

    def _put_off(self, message: Message, fault: str) -> State:
        tried = message.attempts + 1
        status: State = "failed" if tried >= _TRIES else "waiting"
        self._mark(message, {"status": status, "due": seconds(self._now()) + _FIRST_WAIT * 2 ** (tried - 1), "fault": fault})
        return status

    def _mark(self, message: Message, values: dict[str, object]) -> None:
        with self._database.writing() as connection:
            connection.execute(update(messages).where(messages.c.id == message.id).values(**values))


def _written(moment: dt.datetime) -> str:
    """A moment as Australians write it: Thu 26 Nov at 2:15 pm."""
    return f"{moment:%a} {moment.day} {moment:%b} at {moment.hour % 12 or 12}:{moment:%M} {'am' if moment.hour < 12 else 'pm'}"


def _message(row: AnyRow) -> Message:
    return Message(row.id, row.key, row.patient, row.text_id, row.recipient, row.body, row.status, row.attempts, row.fault)
