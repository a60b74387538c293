"""A whole call's media: turns, barge-in, keys, quiet, the end, a recording; the caller is a WAV, the clock is the real one."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from bedside.phone.leg import FRAME_BYTES, Digit, Ending, HungUp, Played
from bedside.phone.media.recording import Consent, Recording
from bedside.phone.media.session import MediaSession, Quiet, SessionEvent, Speech, SpeechStarted, TurnEnded
from bedside.phone.media.turns import TurnRules
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.transports.wav import WavLeg

TONE = (8000 * np.sin(np.arange(8000 * 6) / 4)).astype("<i2").tobytes()
"""Six seconds that no detector takes for speech."""


def told(
    voice: VoiceActivity,
    leg: WavLeg,
    reply: Callable[[MediaSession, SessionEvent], None] = lambda *_: None,
    rules: TurnRules | None = None,
    hint: Callable[[bytes], object] | None = None,
) -> list[SessionEvent]:
    """All events of a call; the clock runs as fast as it can."""

    async def run() -> list[SessionEvent]:
        session = MediaSession(leg, voice, rules, hint)  # type: ignore[arg-type]
        clock = asyncio.create_task(ticking(leg))
        events = []
        async for event in session.events():
            events.append(event)
            reply(session, event)
        await clock
        return events

    return asyncio.run(run())


async def ticking(leg: WavLeg) -> None:
    while not leg.ended:
        leg.tick()
        for _ in range(6):  # the reader, the detector and the call each have their turn, as they have within 20 ms
            await asyncio.sleep(0)


def kinds(events: list[SessionEvent]) -> list[str]:
    return [type(event).__name__ for event in events if not isinstance(event, Speech)]


def test_a_turn_is_told_as_it_comes_and_whole(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    said = speech("I need a repeat of my blood pressure tablets.")
    events = told(voice, WavLeg([said], ready=True, patience_s=1))
    assert kinds(events)[:2] == ["SpeechStarted", "TurnEnded"] and kinds(events)[-1] == "HungUp"
    turn = next(e for e in events if isinstance(e, TurnEnded))
    parts = b"".join(e.pcm for e in events if isinstance(e, Speech))
    assert parts.startswith(turn.pcm) and turn.why == "silence"
    # The whole sentence, with its soft beginning and a little silence behind.
    loud = np.flatnonzero(np.abs(np.frombuffer(said, dtype="<i2")) > 500)
    energy = np.frombuffer(turn.pcm, dtype="<i2")
    assert np.sum(np.abs(energy) > 500) == len(loud)
    assert len(turn.pcm) < len(said) + 16 * 900


def test_barge_in_stops_the_playback_and_the_caller_is_heard(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    said = speech("No, please put me through to a person.")
    leg = WavLeg([bytes(16_000) + said], ready=True, patience_s=1)

    def greet(session: MediaSession, event: SessionEvent) -> None:
        if isinstance(event, Quiet) and not leg.said.strip(b"\0"):
            session.play(TONE, "greeting")

    events = told(voice, leg, greet, TurnRules(patience_ms=320))
    start = next(e for e in events if isinstance(e, SpeechStarted))
    played = next(e for e in events if isinstance(e, Played))
    assert start.barge_in and played.name == "greeting" and not played.complete and 200 < played.ms < 3000
    assert len(leg.said.strip(b"\0")) < len(TONE) // 2
    assert any(isinstance(e, TurnEnded) for e in events)


def test_what_must_be_heard_is_not_stopped_and_the_caller_is_heard_all_the_same(
    voice: VoiceActivity, speech: Callable[[str], bytes]
) -> None:
    leg = WavLeg([bytes(8_000) + speech("My father has terrible chest pain.")], ready=True, patience_s=1)
    notice = TONE[: 16_000 * 3]

    async def run() -> list[SessionEvent]:
        session = MediaSession(leg, voice)
        session.play(notice, "notice", interruptible=False)
        clock = asyncio.create_task(ticking(leg))
        events = [event async for event in session.events()]
        await clock
        return events

    events = asyncio.run(run())
    assert Played("notice", 3000, complete=True) in events
    assert kinds(events).index("SpeechStarted") < kinds(events).index("Played")
    assert any(isinstance(e, TurnEnded) for e in events)


def test_a_key_stops_the_playback(voice: VoiceActivity) -> None:
    leg = WavLeg(["0"], ready=True)

    async def run() -> list[SessionEvent]:
        session = MediaSession(leg, voice)
        session.play(TONE, "menu")
        events: AsyncIterator[SessionEvent] = session.events()
        first = asyncio.ensure_future(anext(events))
        for _ in range(10):
            leg.tick()
            await asyncio.sleep(0)
        # The WAV caller waits for the line to fall silent, so the key is pressed here as a far end would.
        leg._press("0")
        found = [await first, await anext(events)]
        await leg.hang_up()
        return [*found, *[event async for event in events]]

    events = asyncio.run(run())
    assert events[0] == Digit("0") and isinstance(events[1], Played) and not events[1].complete
    assert isinstance(events[-1], HungUp)


def test_silence_is_told_again_and_again_and_a_call_that_is_too_long_is_ended(voice: VoiceActivity) -> None:
    events = told(voice, WavLeg([bytes(16_000 * 20)], ready=True, longest_s=6), rules=TurnRules(patience_ms=1000))
    assert [e.ms // 1000 for e in events if isinstance(e, Quiet)] == [1, 2, 3, 4, 5]
    assert Ending(3) in events and events[-1] == HungUp("longer than the longest call (6 s)")


def test_hanging_up_in_the_middle_of_a_sentence_gives_what_was_said(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    leg = WavLeg([speech("I cannot breathe properly and my lips are going blue")], ready=True)

    def hang_up(session: MediaSession, event: SessionEvent) -> None:
        if isinstance(event, Speech) and leg._ticks > 100:
            leg.end("the caller hung up", far_end=True)

    events = told(voice, leg, hang_up)
    assert isinstance(events[-2], TurnEnded) and events[-2].why == "hung up" and len(events[-2].pcm) > 16_000
    assert events[-1] == HungUp("the caller hung up")


def test_a_hint_is_asked_at_a_pause_and_one_that_fails_changes_nothing(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    asked: list[int] = []

    async def finished(turn: bytes) -> float:
        asked.append(len(turn))
        return 1.0

    async def broken(turn: bytes) -> float:
        raise RuntimeError("no model")

    said = speech("Yes please.") + bytes(16_000)
    ends = {}
    for name, hint in (("finished", finished), ("broken", broken), ("none", None)):
        leg = WavLeg([said], ready=True, patience_s=0.1)
        told(
            voice, leg, lambda _, e, leg=leg, name=name: ends.setdefault(name, leg._ticks) if isinstance(e, TurnEnded) else None, hint=hint
        )
    assert asked and ends["finished"] * 20 < ends["none"] * 20 - 200
    assert abs(ends["broken"] - ends["none"]) <= 4


def test_a_recording_holds_both_sides_from_consent_on(voice: VoiceActivity, speech: Callable[[str], bytes], tmp_path: Path) -> None:
    leg = WavLeg([speech("Yes that is fine."), speech("Thank you")], ready=True, patience_s=1)
    path = tmp_path / "call.wav"
    consent = Consent(datetime(2026, 11, 22, tzinfo=UTC), "said yes")

    def reply(session: MediaSession, event: SessionEvent) -> None:
        if isinstance(event, TurnEnded):
            if leg._recording is None:
                leg.record(Recording(path, consent))
            session.play(TONE[: 50 * FRAME_BYTES], "answer")

    told(voice, leg, reply)
    with wave.open(str(path)) as file:
        both = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").reshape(-1, 2)
    caller, line = both[:, 0], both[:, 1]
    # The first sentence was spoken before consent; what stands left is the second alone.
    assert np.sum(np.abs(caller) > 500) == np.sum(np.abs(np.frombuffer(speech("Thank you"), dtype="<i2")) > 500)
    assert np.sum(line != 0) == 2 * np.count_nonzero(np.frombuffer(TONE[: 50 * FRAME_BYTES], dtype="<i2"))
