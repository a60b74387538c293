"""Voice activity: one batch for all calls gives each call what it would get alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np

from bedside.phone.leg import FRAME_BYTES
from bedside.phone.media.vad import WINDOW_BYTES, VoiceActivity

Windows = list[tuple[bytes, float, float]]


def noise(seconds: float, level: float) -> bytes:
    return (np.random.default_rng(7).normal(size=int(8000 * seconds)) * level).astype("<i2").tobytes()


def looked_at(voice: VoiceActivity, calls: list[bytes]) -> list[Windows]:
    """Push each call's audio in frames of 20 ms, all calls in step, as the pacer does."""

    async def run() -> list[Windows]:
        found: list[Windows] = [[] for _ in calls]
        streams = [voice.stream(lambda *window, mine=mine: mine.append(window)) for mine in found]
        for at in range(0, max(map(len, calls)), FRAME_BYTES):
            for stream, pcm in zip(streams, calls, strict=True):
                stream.push(pcm[at : at + FRAME_BYTES])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        return found

    return asyncio.run(run())


def test_speech_is_speech_and_noise_is_not(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    said = speech("I would like to see the doctor on Thursday afternoon please.")
    spoken, hiss, silence = looked_at(voice, [said, noise(3, 300), bytes(48_000)])
    assert np.mean([p > 0.5 for _, p, _ in spoken]) > 0.6
    assert max(p for _, p, _ in hiss) < 0.5 and max(p for _, p, _ in silence) < 0.5
    assert silence[-1][2] <= -99 and -45 < hiss[-1][2] < -38


def test_a_batch_gives_what_each_call_would_get_alone(voice: VoiceActivity, speech: Callable[[str], bytes]) -> None:
    calls = [speech("Hello"), speech("My daughter has a rash"), noise(1, 900), bytes(16_000)] * 12
    together = looked_at(voice, calls)
    for pcm, windows in zip(calls[:4], together, strict=False):
        alone = looked_at(voice, [pcm])[0]
        assert b"".join(w for w, _, _ in windows) == pcm[: len(pcm) // WINDOW_BYTES * WINDOW_BYTES]
        assert np.allclose([p for _, p, _ in windows], [p for _, p, _ in alone], atol=1e-3)


def test_a_call_that_fails_does_not_take_the_others_windows_away(voice: VoiceActivity) -> None:
    heard: Windows = []

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        for on_window in (broken, lambda *window: heard.append(window)):
            voice.stream(on_window).push(bytes(WINDOW_BYTES))
        await asyncio.sleep(0.01)

    asyncio.run(run())
    assert len(heard) == 1
