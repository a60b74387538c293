"""The phone line's media for many calls at once: real SIP callers from another process, in percent of one core of this one.

In turn: audio and keys only; then with voice activity, turns, barge-in and cached replies too.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import wave
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import soxr
from rich.console import Console
from rich.table import Table

from bedside.phone.leg import RATE, CallLeg, Digit
from bedside.phone.media.session import MediaSession, TurnEnded
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings

CALLS = int(os.environ.get("BEDSIDE_BENCH_CALLS", "120"))
SECONDS = 15
_SETTLE_S = 2 + CALLS / 100
_SAID = "Good morning, I would like to book an appointment with the doctor for Thursday please, in the afternoon if you have one."
_REPLY = "I have Thursday at two fifteen. Shall I book it?"
_PAUSE_S = 3

Answer = Callable[[CallLeg], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """What one run cost and gave.

    Attributes:
        percent: of one core, as measured.
        done: packets there and back, of those that real time asks for.
        worst_ms: the pacer's longest delay.
        tallies: what each caller saw.
        events: what the calls told.
    """

    percent: float
    done: float
    worst_ms: float
    tallies: list[dict[str, int]]
    events: Counter[str]


def measure(console: Console) -> None:
    """Print the processor's share with and without listening.

    On a busy machine callers and line fall behind and less is done than real time asks for; the share of one core is then scaled up to all
    of it, and `done` says how much was done.
    """
    with tempfile.TemporaryDirectory() as name:
        said = Path(name) / "said.wav"
        _write(said, np.concatenate([_speech(_SAID), np.zeros(_PAUSE_S * RATE, dtype=np.int16)]))
        reply = _speech(_REPLY).tobytes()
        voice = VoiceActivity()
        runs = {"audio and keys": _hear_only, "voice activity, turns, replies too": _converse}
        found = {title: asyncio.run(_load(conduct, voice, reply, said)) for title, conduct in runs.items()}
    table = Table("", "% of a core", "done", "longest delay ms", "turns", "keys", title=f"{CALLS} calls by SIP, {SECONDS} s")
    for title, load in found.items():
        keys = f"{load.events['keys']} of {sum(tally['keys'] for tally in load.tallies)}"
        table.add_row(title, f"{load.percent / load.done:.0f}", f"{load.done:.0%}", f"{load.worst_ms:.0f}", str(load.events["turns"]), keys)
    console.print(table)
    plain, full = found.values()
    console.print(
        f"listening and replying costs {full.percent / full.done / (plain.percent / plain.done):.1f} times the bare audio", highlight=False
    )


async def _load(
    conduct: Callable[[CallLeg, VoiceActivity, bytes, Counter[str]], Awaitable[None]], voice: VoiceActivity, reply: bytes, said: Path
) -> Load:
    events: Counter[str] = Counter()

    async def answer(leg: CallLeg) -> None:
        await conduct(leg, voice, reply, events)

    settings = SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0))
    async with Switchboard(answer, CALLS) as switchboard, SipLine(settings, switchboard) as line:
        command = [
            sys.executable,
            "-m",
            "bedside.phone.simulated.load_callers",
            *map(str, (*line.address, CALLS, SECONDS + _SETTLE_S, said)),
            "once",
        ]
        callers = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        while switchboard.calls < CALLS:
            await asyncio.sleep(0.05)
        switchboard.pacer.worst_ms = 0.0
        wall, cpu = perf_counter(), process_time()
        await asyncio.sleep(SECONDS)
        percent = 100 * (process_time() - cpu) / (perf_counter() - wall)
        worst = switchboard.pacer.worst_ms
        output, _ = await callers.communicate()
    tallies = json.loads(output)
    packets = sum(tally["sent"] + tally["heard"] for tally in tallies)
    return Load(percent, min(packets / (2 * 50 * CALLS * (SECONDS + _SETTLE_S)), 1.0), worst, tallies, events)


async def _hear_only(leg: CallLeg, _: VoiceActivity, __: bytes, events: Counter[str]) -> None:
    async for event in leg.events():
        events["keys"] += isinstance(event, Digit)


async def _converse(leg: CallLeg, voice: VoiceActivity, reply: bytes, events: Counter[str]) -> None:
    session = MediaSession(leg, voice)
    async for event in session.events():
        events["keys"] += isinstance(event, Digit)
        if isinstance(event, TurnEnded):
            events["turns"] += 1
            session.play(reply, "reply")


def _speech(text: str) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """A sentence at 8 kHz by espeak-ng: good enough to be speech, in a second."""
    made = subprocess.run(["espeak-ng", "-v", "en-gb", "--stdout", text], capture_output=True, check=True).stdout
    samples = np.frombuffer(made[44:], dtype="<i2")
    return np.asarray(soxr.resample(samples, 22_050, RATE), dtype=np.int16)


def _write(path: Path, samples: np.ndarray[tuple[int], np.dtype[np.int16]]) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())


if __name__ == "__main__":
    measure(Console(soft_wrap=True))
