"""What a call says: one sentence after the other, and what is done only when they have been heard."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

import numpy as np

from bedside.phone.call.events import Event, Fault, Say, Spoken
from bedside.phone.leg import RATE
from bedside.phone.media.session import MediaSession
from bedside.phone.speech.recognise import SpeechError
from bedside.phone.speech.say import Prompts

log = logging.getLogger(__name__)

Then = Callable[[], object]
"""Starts what waits for the sentences before it, and returns at once."""
TONE = (8000 * np.sin(2 * np.pi * 1000 * np.arange(RATE // 2) / RATE)).astype("<i2").tobytes()
"""Half a second of 1000 Hz: a message may be left now."""


class Mouth:
    """Says sentences clause by clause. A sentence begins when the one before it has been played, so that whoever interrupts one never hears
    the next.

    Args:
        session: plays them.
        prompts: makes them.
        tell: gets `Spoken` once for each sentence, and `Fault` where one cannot be made.
        first_audio: called when a sentence's sound begins.
    """

    def __init__(self, session: MediaSession, prompts: Prompts, tell: Callable[[Event], None], first_audio: Callable[[Say], None]) -> None:
        self._session, self._prompts = session, prompts
        self._tell, self._first_audio = tell, first_audio
        self._waiting: deque[Say | Then | bytes] = deque()
        self._wake = asyncio.Event()
        self._saying: Say | None = None
        self._stopped = False
        self._open = 0
        self._played_all = asyncio.Event()

    @property
    def busy(self) -> bool:
        """Something is being said, or waits to be."""
        return self._saying is not None or bool(self._waiting)

    def say(self, sentence: Say) -> None:
        """Say it after those that wait."""
        self._add(sentence)

    def sound(self, pcm: bytes) -> None:
        """Play a sound after what waits now; nothing but `hush` stops it."""
        self._add(pcm)

    def then(self, work: Then) -> None:
        """Do something when all that waits now has been played."""
        self._add(work)

    def hush(self) -> None:
        """Stop and forget everything, also what must be heard and what was to follow."""
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            if isinstance(item, Say):
                self._tell(Spoken(item.prompt, complete=False))
        self._stopped = True
        self._session.stop()

    def interrupted(self) -> None:
        """The caller spoke or pressed a key: forget what need not be heard. The session has stopped its sound already."""
        waiting, self._waiting = self._waiting, deque()
        for item in waiting:
            if isinstance(item, Say) and not item.must_hear:
                self._tell(Spoken(item.prompt, complete=False))
            else:
                self._waiting.append(item)
        self._stopped |= self._saying is not None and not self._saying.must_hear

    def played(self, complete: bool) -> None:
        """A clause has left, or was stopped."""
        self._open -= 1
        self._stopped |= not complete
        if not self._open:
            self._played_all.set()

    async def speak(self) -> None:
        """Say what comes, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                item = self._waiting.popleft()
                if isinstance(item, Say):
                    await self._say(item)
                elif isinstance(item, bytes):
                    self._open += 1
                    self._session.play(item, interruptible=False)
                    await self._until_played()
                else:
                    item()

    def _add(self, item: Say | Then | bytes) -> None:
        self._waiting.append(item)
        self._wake.set()

    async def _say(self, sentence: Say) -> None:
        self._saying, self._stopped = sentence, False
        try:
            await self._play(sentence)
            await self._until_played()
        except SpeechError as error:
            log.error("%s could not be said: %s", sentence.prompt, error)
            self._stopped = True
            self._tell(Fault("voice"))
        finally:
            self._saying = None
        self._tell(Spoken(sentence.prompt, complete=not self._stopped))

    async def _until_played(self) -> None:
        while self._open:
            self._played_all.clear()
            await self._played_all.wait()

    async def _play(self, sentence: Say) -> None:
        begun = False
        async for pcm in self._prompts.stream(sentence.text, keep=not sentence.slots and not sentence.personal):
            if self._stopped:
                return
            if not begun:
                begun = True
                self._first_audio(sentence)
            self._open += 1
            self._session.play(pcm, interruptible=not sentence.must_hear)
