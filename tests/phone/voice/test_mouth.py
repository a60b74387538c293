"""What a call says, sentence after sentence: with real speech by espeak-ng, on a leg that only counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from bedside.phone.call.events import Event, Fault, Say, Spoken
from bedside.phone.leg import RATE, Audio, HungUp, Played
from bedside.phone.media.paced_leg import PacedLeg
from bedside.phone.media.pacer import Pacer
from bedside.phone.media.session import MediaSession
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.mouth import TONE, Mouth
from bedside.phone.speech.recognise import SpeechError
from bedside.phone.speech.say import Espeak, Prompts
from fixtures_phone_media import program


class Ear(PacedLeg):
    """A caller who listens and says nothing."""

    def __init__(self) -> None:
        super().__init__("ear", "", "", 60)
        self.heard = bytearray()

    async def transfer(self, target: str) -> bool:
        return False

    def _receive(self) -> Iterable[Audio]:
        return (Audio(bytes(320)),)

    def _send(self, pcm: bytes | None) -> None:
        self.heard += pcm or b""

    def _close(self, far_end: bool) -> None:
        pass


class Dumb(Espeak):
    """A voice that has fallen."""

    async def speak(self, text: str) -> bytes:
        raise SpeechError("the voice's process has fallen", "It is started again")


Talk = Callable[[Mouth, Ear, list[Event], list[str]], Awaitable[None]]


def talk(folder: Path, voice: VoiceActivity, conduct: Talk, speaker: Espeak | None = None) -> tuple[list[Event], Ear, list[str]]:
    """What the mouth told, what was heard, and whose sound began."""
    program("espeak-ng", "espeak-ng")
    told: list[Event] = []
    begun: list[str] = []
    ear = Ear()

    async def go() -> None:
        session = MediaSession(ear, voice)
        mouth = Mouth(session, Prompts(speaker or Espeak(), folder), told.append, lambda said: begun.append(said.prompt))

        async def listen() -> None:
            async for event in session.events():
                if isinstance(event, Played):
                    mouth.played(event.complete)
                if isinstance(event, HungUp):
                    return

        async with Pacer() as pacer, asyncio.timeout(20), asyncio.TaskGroup() as group:
            pacer.add(ear)
            group.create_task(listen())
            speaking = group.create_task(mouth.speak())
            await conduct(mouth, ear, told, begun)
            await ear.hang_up()
            speaking.cancel()

    asyncio.run(go())
    return told, ear, begun


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


def test_sentences_are_said_in_order_and_what_follows_waits_for_them(tmp_path: Path, voice: VoiceActivity) -> None:
    done: list[int] = []

    async def conduct(mouth: Mouth, ear: Ear, told: list[Event], begun: list[str]) -> None:
        mouth.say(Say("one", {}, "Yes."))
        mouth.say(Say("two", {}, "No."))
        mouth.then(lambda: done.append(len(told)))
        assert mouth.busy
        await until(lambda: bool(done))
        assert not mouth.busy

    told, ear, begun = talk(tmp_path, voice, conduct)
    assert told == [Spoken("one"), Spoken("two")] and done == [2] and begun == ["one", "two"]
    assert len(ear.heard) > RATE // 2


def test_an_interrupted_caller_hears_neither_the_rest_nor_the_next_but_what_must_be_heard(tmp_path: Path, voice: VoiceActivity) -> None:
    async def conduct(mouth: Mouth, ear: Ear, told: list[Event], begun: list[str]) -> None:
        mouth.say(Say("long", {}, "We are open from Monday to Friday, and on Saturday in the morning, but never on Sunday."))
        mouth.say(Say("next", {}, "How can I help?"))
        mouth.say(Say("must", {}, "Call triple zero.", must_hear=True))
        await until(lambda: bool(begun))
        mouth.interrupted()
        ear.clear()  # as the session does when the caller speaks
        await until(lambda: len(told) == 3)

    told, _, begun = talk(tmp_path, voice, conduct)
    assert told == [Spoken("next", False), Spoken("long", False), Spoken("must")] and begun == ["long", "must"]


def test_something_more_urgent_stops_even_what_must_be_heard(tmp_path: Path, voice: VoiceActivity) -> None:
    async def conduct(mouth: Mouth, ear: Ear, told: list[Event], begun: list[str]) -> None:
        mouth.say(Say("must", {}, "If this is an emergency, hang up and call triple zero now, and do not wait.", must_hear=True))
        await until(lambda: bool(begun))
        mouth.hush()
        mouth.say(Say("urgent", {}, "Hang up."))
        await until(lambda: len(told) == 2)

    told, _, _ = talk(tmp_path, voice, conduct)
    assert told == [Spoken("must", False), Spoken("urgent")]


def test_the_tone_comes_between_the_sentence_and_what_waits_for_both(tmp_path: Path, voice: VoiceActivity) -> None:
    heard_before: list[bytes] = []

    async def conduct(mouth: Mouth, ear: Ear, told: list[Event], begun: list[str]) -> None:
        mouth.say(Say("leave", {}, "After the tone."))
        mouth.sound(TONE)
        mouth.then(lambda: heard_before.append(bytes(ear.heard)))
        await until(lambda: bool(heard_before))

    talk(tmp_path, voice, conduct)
    end = np.frombuffer(heard_before[0][-len(TONE) + 640 :], dtype="<i2").astype(float)
    spectrum = np.abs(np.fft.rfft(end * np.hanning(len(end))))
    assert np.argmax(spectrum) * RATE / len(end) == pytest.approx(1000, abs=5)


def test_a_sentence_that_cannot_be_made_is_a_fault_of_the_voice(tmp_path: Path, voice: VoiceActivity) -> None:
    async def conduct(mouth: Mouth, ear: Ear, told: list[Event], begun: list[str]) -> None:
        mouth.say(Say("one", {}, "Yes."))
        await until(lambda: len(told) == 2)

    told, _, begun = talk(tmp_path, voice, conduct, Dumb())
    assert told == [Fault("voice"), Spoken("one", False)] and begun == []
