"""Calls by real SIP and RTP: people take them over, and more callers than there is room for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from voice_calls import caller_voice, line_up, practice

from bedside.phone.call.text import Transcript
from bedside.phone.leg import RATE
from bedside.phone.media.g711 import A_LAW
from bedside.phone.practice import Practice
from bedside.phone.simulated.load_callers import LoopingCaller, converse
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings
from fixtures_baresip import baresip, heard

pytestmark = pytest.mark.slow

SIP = SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0))
TONE = (9000 * np.sin(np.arange(RATE * 30) * 2 * np.pi * 440 / RATE)).astype("<i2").tobytes()
"""What the person at reception sounds like."""


def with_reception(address: str) -> Practice:
    whole = practice()
    return whole.model_copy(update={"numbers": whole.numbers.model_copy(update={"reception": address})})


@pytest.mark.parametrize("key", ["1", ""])
def test_reception_hears_what_it_is_about_and_takes_the_call_by_a_key_or_does_not(tmp_path: Path, key: str) -> None:
    caller_voice()
    ended: list[Transcript] = []

    async def go() -> None:
        async with (
            baresip(tmp_path / "reception", TONE, "PCMA", answers=True) as reception,
            baresip(tmp_path / "caller", bytes(2 * RATE * 60), "PCMA") as caller,
            line_up(tmp_path / "line", of=with_reception(reception.address)) as lines,
            SipLine(SIP, lines.line.switchboard) as sip,
        ):
            lines.line.ended = ended.append
            await caller.do("dial", "sip:clinic@{}:{}".format(*sip.address))
            await caller.until("CALL_ESTABLISHED")
            await asyncio.sleep(1)
            await caller.do("sndcode", "0")
            await reception.until("CALL_ESTABLISHED", 30)
            await asyncio.sleep(3)
            if key:
                await reception.do("sndcode", key)
                await asyncio.sleep(3)
            else:
                await reception.do("hangup")
                await asyncio.sleep(8)
            await caller.do("hangup")
            await asyncio.sleep(1)

    asyncio.run(go())
    [transcript] = ended
    taken = [entry.text for entry in transcript.entries if entry.what == "handoff.ended"]
    whisper = heard(tmp_path / "reception")
    assert np.abs(whisper[: 3 * RATE]).max() > 3000, "the person heard no whisper"
    tone = np.flatnonzero(_is_tone(heard(tmp_path / "caller")))
    if key:
        assert transcript.ended == "person" and "accepted=yes" in taken[0]
        assert len(tone) * 0.1 > 1.5, "the caller did not hear the person"
    else:
        assert "accepted=no" in taken[0] and "message.leave" in transcript.prompts
        assert len(tone) * 0.1 < 1, "the caller heard a person who had not taken the call"


def _is_tone(samples: np.ndarray) -> np.ndarray:
    """For each tenth of a second whether it is 440 Hz and little else."""
    whole = len(samples) // 800 * 800
    spectra = np.abs(np.fft.rfft(samples[:whole].reshape(-1, 800) * np.hanning(800)))
    return (np.argmax(spectra, axis=1) == 44) & (spectra.max(axis=1) > 1e5)


def test_ten_times_the_calls_that_there_is_room_for_are_sent_on_and_those_admitted_are_served(tmp_path: Path) -> None:
    caller_voice()
    ended: list[Transcript] = []

    async def go() -> list[LoopingCaller]:
        callers = [LoopingCaller([A_LAW.silence]) for _ in range(20)]
        async with line_up(tmp_path, limit=2) as lines, SipLine(SIP, lines.line.switchboard) as sip:
            lines.line.ended = ended.append
            await converse(sip.address, callers, 4)
            assert sip.counts["302 Moved Temporarily"] == 18 and lines.line.switchboard.counts["admitted"] == 2
        return callers

    callers = asyncio.run(go())
    taken = [caller for caller in callers if caller.tally.answered]
    assert len(taken) == len(ended) == 2 and all(caller.sounding > 50 for caller in taken)
    assert all(caller.tally.status for caller in callers if caller not in taken)
