"""A leg as a call wants to see it: speech, turns, keys, quiet, and the end.

While the caller speaks the line falls silent at once (barge-in), unless what it plays must be heard; the caller is heard in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from bedside.phone.leg import RATE, Audio, CallLeg, Digit, Ending, HungUp, Played
from bedside.phone.media.turns import TurnDetector, TurnRules
from bedside.phone.media.vad import WINDOW_BYTES, WINDOW_MS, VoiceActivity

log = logging.getLogger(__name__)

_BEFORE_MS = 480
"""Audio kept from before speech was recognised as such: soft first sounds."""
_AFTER_MS = 224
"""Silence left at the end of a turn; the rest helps no recogniser."""
_BYTES_A_MS = 2 * RATE // 1000


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The caller began to speak; `barge_in`: while the line was speaking, which fell silent if what it played may be interrupted."""

    barge_in: bool


@dataclass(frozen=True, slots=True)
class Speech:
    """The next part of what the caller is saying, as it comes; the first holds the sounds just before the start."""

    pcm: bytes


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The caller's turn is over.

    Attributes:
        pcm: all of it, with a little silence at both ends.
        speech_ms: speech in it.
        why: silence, too long, or the caller hung up in the middle of it.
    """

    pcm: bytes
    speech_ms: int
    why: Literal["silence", "longest", "hung up"]


@dataclass(frozen=True, slots=True)
class Quiet:
    """Neither side has said anything for `ms`; told again after as long once more."""

    ms: int


SessionEvent = SpeechStarted | Speech | TurnEnded | Quiet | Digit | Played | Ending | HungUp
Hint = Callable[[bytes], Awaitable[float]]
"""From a turn so far to the probability that the caller has finished; asked when the caller falls silent."""


class MediaSession:
    """One call's media.

    Args:
        leg: the call.
        voice: the detector that all calls share.
        rules: of turns, until `listen` sets others.
        hint: asked at pauses; a hint that comes after the caller went on is left aside.
    """

    def __init__(self, leg: CallLeg, voice: VoiceActivity, rules: TurnRules | None = None, hint: Hint | None = None) -> None:
        self.leg = leg
        self._voice = voice
        self._turns = TurnDetector(rules or TurnRules())
        self._stream = voice.stream(self._window)
        self._ask_hint = hint
        self._asking: asyncio.Task[None] | None = None
        self._events: asyncio.Queue[SessionEvent] = asyncio.Queue()
        self._playing: list[bool] = []
        self._before = bytearray()
        self._turn = bytearray()
        self._quiet_ms = 0

    async def events(self) -> AsyncIterator[SessionEvent]:
        """What happens on the call, in order, until `HungUp`."""
        reader = asyncio.create_task(self._read(), name=f"media {self.leg.id}")
        reader.add_done_callback(self._reader_done)
        try:
            while True:
                event = await self._events.get()
                yield event
                if isinstance(event, HungUp):
                    return
        finally:
            self._drop_hint()
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader

    @property
    def speaking(self) -> bool:
        """The line is playing something."""
        return bool(self._playing)

    def play(self, pcm: bytes, name: str = "", interruptible: bool = True) -> None:
        """Queue audio for the caller.

        Args:
            pcm: 8 kHz, 16 bits.
            name: told again in `Played`.
            interruptible: speech or a key stops it. False for what must be heard, such as the notice about emergencies.
        """
        self._playing.append(interruptible)
        self.leg.play(pcm, name)

    def stop(self) -> None:
        """Stop what is playing and forget what is queued."""
        self.leg.clear()

    def listen(self, rules: TurnRules) -> None:
        """Turns follow these rules from now on."""
        self._turns.rules = rules
        self._quiet_ms = 0

    def hint(self, finished: float) -> None:
        """Somebody knows, from the words so far, with what probability the caller has finished."""
        self._turns.hint(finished)

    def _reader_done(self, reader: asyncio.Task[None]) -> None:
        if not reader.cancelled() and (error := reader.exception()) is not None:
            # Wakes `events`, which raises the error itself when it awaits the reader.
            self._events.put_nowait(HungUp(f"the line failed ({type(error).__name__})"))

    async def _read(self) -> None:
        async for event in self.leg.events():
            if isinstance(event, Audio):
                self._stream.push(event.pcm)
            elif isinstance(event, HungUp):
                self._voice.flush()
                self._end_turn("hung up")
                self._events.put_nowait(event)
            else:
                self._pass_on(event)

    def _pass_on(self, event: Digit | Played | Ending) -> None:
        if isinstance(event, Played) and self._playing:
            self._playing.pop(0)
        if isinstance(event, Digit):
            self._interrupt()
        if not isinstance(event, Ending):
            self._quiet_ms = 0
        self._events.put_nowait(event)

    def _interrupt(self) -> None:
        if self._playing and all(self._playing):
            self.leg.clear()

    def _window(self, pcm: bytes, probability: float, level: float) -> None:
        """One window of 32 ms has been looked at."""
        was_in_turn, pause_ms = self._turns.in_turn, self._turns.silence_ms
        change = self._turns.hear(probability, level, self.speaking)
        if change == "started":
            self._start_turn(pcm)
        elif was_in_turn:
            self._turn += pcm
            self._events.put_nowait(Speech(pcm))
            if change is not None:
                self._end_turn(change)
            elif self._turns.silence_ms and not pause_ms:
                self._ask()
            elif not self._turns.silence_ms:
                self._drop_hint()
        else:
            self._remember(pcm)
            self._count_quiet()

    def _start_turn(self, pcm: bytes) -> None:
        self._turn = self._before + pcm
        self._before = bytearray()
        self._events.put_nowait(SpeechStarted(barge_in=self.speaking))
        self._interrupt()
        self._events.put_nowait(Speech(bytes(self._turn)))

    def _end_turn(self, why: Literal["silence", "longest", "hung up"]) -> None:
        if not self._turn:
            return
        self._drop_hint()
        surplus = max(self._turns.silence_ms - _AFTER_MS, 0) * _BYTES_A_MS
        pcm = bytes(self._turn[: len(self._turn) - surplus])
        self._turn = bytearray()
        self._quiet_ms = 0
        self._events.put_nowait(TurnEnded(pcm, self._turns.speech_ms, why))

    def _remember(self, pcm: bytes) -> None:
        self._before += pcm
        del self._before[: max(len(self._before) - _BEFORE_MS // WINDOW_MS * WINDOW_BYTES, 0)]

    def _count_quiet(self) -> None:
        self._quiet_ms = 0 if self.speaking else self._quiet_ms + WINDOW_MS
        patience = self._turns.rules.patience_ms
        if self._quiet_ms and self._quiet_ms // patience > (self._quiet_ms - WINDOW_MS) // patience:
            self._events.put_nowait(Quiet(self._quiet_ms))

    def _ask(self) -> None:
        """The caller paused: ask whether the turn is finished, while the silence runs."""
        if self._ask_hint is not None:
            self._drop_hint()
            self._asking = asyncio.create_task(self._answer(self._ask_hint, bytes(self._turn)))

    async def _answer(self, ask: Hint, turn: bytes) -> None:
        try:
            self._turns.hint(await ask(turn))
        except Exception:  # a hint is only a hint: without it the plain rules hold
            log.exception("the hint for the end of a turn failed")

    def _drop_hint(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
