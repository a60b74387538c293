"""Twilio's Media Streams over WebSocket; the browser phone speaks the same.

In: connected, start, media, mark, dtmf, stop. Out: media, mark, clear. Audio is µ-law at 8 kHz in base64.
Source: https://www.twilio.com/docs/voice/media-streams/websocket-messages (bidirectional streams, read November 2026).

A refused stream is closed; the carrier then goes on with the next verb of its script, which should dial reception.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from bedside.phone.leg import FRAME_MS, Audio
from bedside.phone.media.dtmf import KEYS
from bedside.phone.media.g711 import MU_LAW
from bedside.phone.media.paced_leg import PacedLeg
from bedside.phone.media.stream_input import StreamInput
from bedside.phone.media.switchboard import Switchboard

log = logging.getLogger(__name__)

Handover = Callable[[str, str], Awaitable[bool]]
"""From what the carrier calls a call and a target to whether the carrier took the call there: the protocol itself cannot transfer."""

_START_S = 10.0
_LONGEST_MESSAGE = 64 * 1024
_MOST_BAD = 50
"""So many messages that make no sense end the call."""
_MOST_UNSENT = 250
"""Messages that wait for a far end that does not read: five seconds of audio end the call."""
_LEAD = 3 * MU_LAW.silence
"""Sent before each playback, so that the far end's buffer never runs dry when a message is late."""
_MARK_TICKS = 2000 // FRAME_MS
"""A far end that has not confirmed a mark after two seconds never will."""
_FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
_PHONE = re.compile(r"\+?[0-9]{0,20}")
_TRY_AGAIN_LATER, _POLICY, _UNSUPPORTED, _TOO_BIG = 1013, 1008, 1003, 1009


class _RefusedError(Exception):
    """This stream is not taken.

    Args:
        code: of the WebSocket's close (RFC 6455 §7.4).
        why: told to the far end and the log.
    """

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class MediaStreams:
    """Takes calls from the WebSocket route of a Starlette or FastAPI app: `await streams.serve(websocket)`.

    Args:
        switchboard: admits and answers.
        accepts: whether a token opens the line. The token stands in the stream's custom parameters (`<Parameter name="token" …>`), where it
            is not logged as part of an address.
        handover: how calls are transferred; None for no way.
    """

    def __init__(self, switchboard: Switchboard, accepts: Callable[[str], bool], handover: Handover | None = None) -> None:
        self.switchboard = switchboard
        self.handover = handover
        self._accepts = accepts

    async def serve(self, websocket: WebSocket) -> None:
        """Conduct one stream from the handshake to its end."""
        await websocket.accept()
        try:
            leg = await self._begin(websocket)
        except _RefusedError as refusal:
            log.warning("media stream refused: %s", refusal)
            with suppress(RuntimeError):  # the far end closed first
                await websocket.close(refusal.code, str(refusal)[:120])
            return
        except WebSocketDisconnect:
            return
        self.switchboard.connect(leg)
        sender = asyncio.create_task(leg.send_all(websocket), name=f"stream {leg.id}")
        try:
            leg.end(await leg.read_all(websocket), far_end=True)
        finally:
            # The leg may also have ended here: what it still has to say goes out before the stream is closed.
            await asyncio.wait([sender], timeout=2)
            sender.cancel()

    async def _begin(self, websocket: WebSocket) -> MediaStreamLeg:
        """Wait for `start`, and check it.

        Raises:
            _RefusedError: no or a wrong start, a wrong token, no room.
        """
        try:
            async with asyncio.timeout(_START_S):
                while (message := _parsed(await _text(websocket))).get("event") != "start":
                    if message.get("event") != "connected":
                        raise _RefusedError(_POLICY, "the stream does not begin with `connected` and `start`")
        except TimeoutError:
            raise _RefusedError(_POLICY, "no `start` came") from None
        start = _part(message, "start")
        parameters = _part(start, "customParameters")
        if not self._accepts(str(parameters.get("token", ""))):
            raise _RefusedError(_POLICY, "the token is not accepted")
        if _part(start, "mediaFormat") != _FORMAT:
            raise _RefusedError(_UNSUPPORTED, "the audio is not µ-law at 8 kHz")
        if not self.switchboard.has_room():
            raise _RefusedError(_TRY_AGAIN_LATER, "no room")
        return MediaStreamLeg(self, str(start.get("streamSid", ""))[:64], str(start.get("callSid", ""))[:64], _numbers(parameters))


class MediaStreamLeg(PacedLeg):
    """A call by Media Streams. The far end buffers what it is sent: a mark tells when it was played, `clear` empties the buffer."""

    def __init__(self, streams: MediaStreams, stream_id: str, call_id: str, numbers: tuple[str, str]) -> None:
        super().__init__(call_id or stream_id, *numbers, streams.switchboard.longest_s)
        self._streams = streams
        self._stream_id = stream_id
        self._input = StreamInput(self.counts)
        self._unsent: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._marks: dict[str, tuple[str, int, int]] = {}
        self._marked = 0
        self._idle = True

    async def transfer(self, target: str) -> bool:
        """Have the carrier take the call to `target`; False where the line was given no way to ask it."""
        if self.ended or self._streams.handover is None or not await self._streams.handover(self.far_id, target):
            return False
        self.end(f"transferred to {target}", far_end=False)
        return True

    async def read_all(self, websocket: WebSocket) -> str:
        """Take messages until the call is over; why it is."""
        bad = 0
        while not self.ended and bad <= _MOST_BAD:
            try:
                message = _parsed(await _text(websocket))
            except WebSocketDisconnect:
                return "the caller hung up"
            except _RefusedError as error:
                return f"the far end broke the protocol ({error})"
            if message.get("event") == "stop":
                return "the caller hung up"
            if not self._take(message):
                bad += 1
                self.counts["messages that make no sense"] += 1
        return "the far end broke the protocol (too many messages that make no sense)"

    async def send_all(self, websocket: WebSocket) -> None:
        """Send what waits, until the leg has ended; then close the stream."""
        with suppress(WebSocketDisconnect, RuntimeError):  # the far end closed first; `read_all` tells
            while (message := await self._unsent.get()) is not None:
                await websocket.send_text(json.dumps(message))
            await websocket.close()

    def _take(self, message: dict[str, Any]) -> bool:
        """Take one message; whether it makes sense."""
        match message.get("event"):
            case "media":
                return self._take_media(_part(message, "media"))
            case "dtmf":
                key = _part(message, "dtmf").get("digit")
                if isinstance(key, str) and len(key) == 1 and key in KEYS:
                    self._press(key)
                    return True
            case "mark":
                mark = self._marks.pop(str(_part(message, "mark").get("name")), None)
                if mark is not None:
                    super()._finish(mark[0], mark[1])
                return True
            case "connected" | "start":
                return True
        return False

    def _take_media(self, media: dict[str, Any]) -> bool:
        if media.get("track", "inbound") != "inbound":
            return True  # our own voice, where the far end is set to send both tracks
        try:
            codes = base64.b64decode(media.get("payload", ""), validate=True)
        except (TypeError, ValueError, binascii.Error):
            return False
        self._input.feed(MU_LAW.decode(codes))
        return bool(codes)

    def _receive(self) -> Iterable[Audio]:
        self._give_up_marks()
        return self._input.take()

    def _send(self, pcm: bytes | None) -> None:
        if pcm is not None:
            codes = (_LEAD if self._idle else b"") + MU_LAW.encode(pcm)
            self._say("media", {"payload": base64.b64encode(codes).decode()})
        self._idle = pcm is None
        if self._unsent.qsize() > _MOST_UNSENT:
            self.end("the far end does not read", far_end=False)

    def _finish(self, name: str, ms: int) -> None:
        """Ask the far end to tell when it has played what it was sent."""
        self._marked += 1
        mark = f"{self._marked} {name}"
        self._marks[mark] = (name, ms, self._ticks)
        self._say("mark", {"name": mark})

    def _give_up_marks(self) -> None:
        for mark, (name, ms, since) in tuple(self._marks.items()):
            if self._ticks - since > _MARK_TICKS:
                del self._marks[mark]
                self.counts["marks never confirmed"] += 1
                super()._finish(name, ms)

    def _stop_far_end(self) -> None:
        for name, ms, _ in self._marks.values():
            super()._finish(name, ms)
        self._marks.clear()
        self._say("clear")

    def _close(self, far_end: bool) -> None:
        self._unsent.put_nowait(None)

    def _say(self, event: str, content: dict[str, Any] | None = None) -> None:
        message: dict[str, Any] = {"event": event, "streamSid": self._stream_id}
        self._unsent.put_nowait(message if content is None else message | {event: content})


async def _text(websocket: WebSocket) -> str:
    """The next message.

    Raises:
        WebSocketDisconnect: the far end is gone.
        _RefusedError: the message is binary or too long.
    """
    message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    if not isinstance(text, str):
        raise _RefusedError(_UNSUPPORTED, "a binary message")
    if len(text) > _LONGEST_MESSAGE:
        raise _RefusedError(_TOO_BIG, f"a message longer than {_LONGEST_MESSAGE} characters")
    return text


def _parsed(text: str) -> dict[str, Any]:
    """The message as an object; empty where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _part(message: dict[str, Any], name: str) -> dict[str, Any]:
    found = message.get(name)
    return found if isinstance(found, dict) else {}


def _numbers(parameters: dict[str, Any]) -> tuple[str, str]:
    """The calling and the called number, where the carrier's script passes them on as `from` and `to`."""
    caller, called = (str(parameters.get(name, "")) for name in ("from", "to"))
    return caller if _PHONE.fullmatch(caller) else "", called if _PHONE.fullmatch(called) else ""
