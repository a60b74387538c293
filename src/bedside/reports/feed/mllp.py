"""HL7 v2 results by MLLP: frames in, acknowledgements out, each only after its message is on the disk.

Minimal Lower Layer Protocol, HL7 v2.4 implementation guide, appendix C.4: `<VT> message <FS><CR>`. Whoever may connect may hand in results,
and MLLP knows no password: a listener beyond this machine needs a list of addresses, and TLS where the network is not the practice's own.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

from bedside.errors import BedsideError, WorkspaceError
from bedside.reports.feed.store import Arrival, Receipt, Store, result_name
from bedside.reports.readers.hl7_message import AckCode, Segment, ack, segments_of
from bedside.reports.readers.source import MAX_TEXT, ReportError

_BEGIN, _END = b"\x0b", b"\x1c"
_FRAME_SECONDS = 60
"""A frame that has begun must end within them."""
_DISCARD_SECONDS = 2
_MOST_CONNECTIONS = 32
_HEAD = 4096
"""Bytes of a message that is too large in which its header is looked for."""
_BYTES = "latin-1"
"""Gives every byte a character and back, so that an acknowledgement repeats the sender's own bytes whatever they mean."""

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Door:
    """Where a listener is, and for whom.

    Attributes:
        host, port: to listen on; port 0 takes a free one.
        allowed: networks that may connect; none: this machine alone.
        tls: certificate and key; None: no encryption.
    """

    host: str = "127.0.0.1"
    port: int = 2575
    allowed: tuple[Network, ...] = ()
    tls: ssl.SSLContext | None = None

    def lets_in(self, address: str) -> bool:
        """Whether somebody at an address may connect."""
        found = ip_address(address.partition("%")[0])
        found = getattr(found, "ipv4_mapped", None) or found
        return found.is_loopback or any(found in network for network in self.allowed)


def make_door(host: str, port: int, allow: list[str], certificate: Path | None, key: Path | None) -> Door:
    """A door of settings as people write them.

    Raises:
        BedsideError: an address is none, the certificate cannot be used, or the door would be open to a network without a list.
    """
    try:
        allowed = tuple(ip_network(one, strict=False) for one in allow)
    except ValueError as error:
        raise BedsideError(f"--allow: {error}", "Give addresses or networks such as 10.0.0.5 or 10.0.0.0/24") from error
    if host not in ("127.0.0.1", "::1", "localhost") and not allowed:
        raise BedsideError(f"a listener on {host} would take results from nobody but this machine", "Name the senders with --allow ADDRESS")
    if (certificate is None) != (key is None):
        raise BedsideError("TLS needs a certificate and its key", "Give both --certificate and --key, or neither")
    tls = None
    if certificate and key:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            tls.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise BedsideError(f"certificate {certificate} with key {key} cannot be used ({error})", "Give PEM files that fit") from error
    return Door(host, port, allowed, tls)


class Inbox:
    """Commits what several connections bring together: one wait for the disk for as many as came during the one before.

    Args:
        store: keeps them.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[tuple[Arrival, asyncio.Future[Receipt]]] = []
        self._task: asyncio.Task[None] | None = None

    async def put(self, arrival: Arrival) -> Receipt:
        """Keep a message; returns when the disk has it.

        Raises:
            WorkspaceError: it could not be kept.
        """
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self._waiting.append((arrival, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._commit())
        return await future

    async def _commit(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                receipts = await asyncio.to_thread(self._store.put, [arrival for arrival, _ in batch])
            except WorkspaceError as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, future), receipt in zip(batch, receipts, strict=True):
                    if not future.done():
                        future.set_result(receipt)


class Listener:
    """Takes HL7 v2 results; an asynchronous context manager that listens while it is open.

    Args:
        door: where, and for whom.
        put: keeps a message; what it returns or raises decides the acknowledgement.

    Attributes:
        counts: `received` (kept and acknowledged for the first time), `copies`, `not_accepted` (answered AE or AR), `broken_off`
            (connections that ended or stalled inside of a frame), `turned_away` (not allowed, or too many).
        address: host and port, while open.
    """

    def __init__(self, door: Door, put: Callable[[Arrival], Awaitable[Receipt]]) -> None:
        self._door, self._put = door, put
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.counts: Counter[str] = Counter()
        self.address: tuple[str, int] = (door.host, door.port)

    async def __aenter__(self) -> Listener:
        door = self._door
        try:
            self._server = await asyncio.start_server(self._serve, door.host, door.port, ssl=door.tls, limit=MAX_TEXT)
        except OSError as error:
            raise BedsideError(
                f"cannot listen on {door.host}:{door.port} ({error.strerror or error})", "Choose another --port, or stop what uses it"
            ) from error
        self.address = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server:
            self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            peer = writer.get_extra_info("peername")
            if not peer or len(self._open) >= _MOST_CONNECTIONS or not self._door.lets_in(peer[0]):
                self.counts["turned_away"] += 1
                return
            # A sender may be silent for days; one that is gone without a word must not keep its place.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._open.add(task)
            await self._talk(reader, writer)
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            self.counts["broken_off"] += 1
        finally:
            self._open.discard(task)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Frame after frame until the sender hangs up."""
        while True:
            try:
                await reader.readuntil(_BEGIN)
            except asyncio.IncompleteReadError as end:
                if end.partial.strip():
                    raise
                return
            async with asyncio.timeout(_FRAME_SECONDS):
                try:
                    frame = await reader.readuntil(_END)
                except asyncio.LimitOverrunError:
                    head = (await reader.read(_HEAD)).decode(_BYTES)
                    self.counts["not_accepted"] += 1
                    await self._reply(writer, ack(head, "AE", f"larger than {MAX_TEXT // 2**20} MiB"))
                    await _discarded(reader)
                    raise
                # A second beginning means that the sender gave the first one up.
                await self._reply(writer, await self._answer(frame.removesuffix(_END).rpartition(_BEGIN)[2]))

    @staticmethod
    async def _reply(writer: asyncio.StreamWriter, answer: str) -> None:
        writer.write(_BEGIN + answer.encode(_BYTES, "replace") + _END + b"\r")
        await writer.drain()

    async def _answer(self, frame: bytes) -> str:
        """Keep a message and answer it."""
        text = frame.decode(_BYTES)
        code: AckCode = "AA"
        said = ""
        try:
            receipt = await self._put(arrival_of(frame))
            self.counts["copies" if receipt.is_copy else "received"] += 1
        except _NotTakenError as refusal:
            code, said = refusal.code, refusal.said
        except WorkspaceError:
            code, said = "AR", "cannot be kept now; send it again later"
        self.counts["not_accepted"] += code != "AA"
        return ack(text, code, said)


async def _discarded(reader: asyncio.StreamReader) -> None:
    """Read on for a moment: closing a connection with bytes unread would take back the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_SECONDS):
            while await reader.read(MAX_TEXT):
                pass


class _NotTakenError(Exception):
    """A message that is not kept, with what its sender is told."""

    def __init__(self, code: AckCode, said: str) -> None:
        super().__init__(said)
        self.code, self.said = code, said


def arrival_of(frame: bytes) -> Arrival:
    """A message without its frame as it is kept: by sender (MSH-4, else MSH-3), control id (MSH-10) and content.

    The header is no part of the content's hash, because a sender that repeats a message may give it a new time.

    Raises:
        _NotTakenError: it is no ORU^R01 or has no control id.
    """
    header, rest = _header(frame)
    kind = header.first(9), header.first(9, 2)
    if kind[0] != "ORU":
        raise _NotTakenError("AR", f"{'^'.join(filter(None, kind))[:20] or 'no type'} is not taken here; send ORU^R01")
    sender, control = header.first(4) or header.first(3), header.first(10)
    if not control:
        raise _NotTakenError("AE", "MSH-10 (message control id) is missing")
    content = re.sub(rb"[\r\n]+", b"\r", rest.strip())
    digest = hashlib.sha256(content).hexdigest()
    return Arrival(sender, control, digest, result_name(sender, control, digest), frame)


def _header(frame: bytes) -> tuple[Segment, bytes]:
    """The header of a message, each byte a character, and the bytes behind it."""
    stripped = frame.lstrip(b"\r\n\t ")
    line = re.split(rb"[\r\n]", stripped, maxsplit=1)[0]
    if not line.startswith(b"MSH"):
        raise _NotTakenError("AE", "no HL7 message: it does not begin with MSH")
    try:
        segments = segments_of(line.decode(_BYTES), 0, len(line))
    except ReportError as error:
        raise _NotTakenError("AE", "no whole header (MSH)") from error
    return segments[0], stripped[len(line) :]
