"""Simulated callers who speak: each rings over real SIP, listens, answers in its own voice through its own telephone channel."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np

from bedside.phone.call.text import Transcript
from bedside.phone.leg import FRAME_BYTES, FRAME_MS, FRAME_SAMPLES, RATE, CallLeg
from bedside.phone.line import Line
from bedside.phone.media.g711 import A_LAW
from bedside.phone.media.recording import Consent, Recording
from bedside.phone.simulated.by_text import prepared
from bedside.phone.simulated.channel import Channel, Samples, levelled, mixed
from bedside.phone.simulated.handset import Handset
from bedside.phone.simulated.people import HANG_UP, Persona, Plan, Talker
from bedside.phone.simulated.scoring import Result, score
from bedside.phone.simulated.telephone import Telephone
from bedside.phone.simulated.voices import Voices
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings

_PAUSE_TICKS = 1000 // FRAME_MS
"""The line has finished when it has been silent for so long."""
_PATIENCE_TICKS = 12_000 // FRAME_MS
_LOOK_S = 0.04
_INTERRUPTS_S = 1.0
_LONGEST_S = 180.0
_ENDED_S = 15.0
_BACKGROUND_S = 10


class Speaker(Handset):
    """A caller's telephone: speech over the background of their line, recorded from both sides.

    Args:
        channel: between them and the line.
        recording: takes the caller left and the line right.
    """

    def __init__(self, channel: Channel, recording: Recording) -> None:
        super().__init__()
        self._background = channel.noise(_BACKGROUND_S * RATE).reshape(-1, FRAME_SAMPLES)
        self._speech: deque[Samples] = deque()
        self._recording = recording
        self._heard = bytearray()

    @property
    def talking(self) -> bool:
        """The caller is saying something, or pressing keys."""
        return bool(self._speech) or self.pressing

    def say(self, pcm: bytes) -> None:
        """Say this next."""
        whole = pcm.ljust(-(-len(pcm) // FRAME_BYTES) * FRAME_BYTES, b"\0")
        self._speech.extend(levelled(whole).reshape(-1, FRAME_SAMPLES))

    def next_frame(self) -> bytes:
        """Speech, where there is some, and the background."""
        speech = self._speech.popleft() if self._speech else np.zeros(FRAME_SAMPLES)
        codes = A_LAW.encode(mixed(speech, self._background[self.sent % len(self._background)]))
        self._recording.write(A_LAW.decode(codes), bytes(self._heard[:FRAME_BYTES]))
        del self._heard[:FRAME_BYTES]
        return codes

    def hear(self, codes: bytes) -> None:
        """Keep it for the recording."""
        self._heard += A_LAW.decode(codes)

    def close(self) -> None:
        """Hang up the telephone and finish the recording."""
        self._recording.close()
        super().close()


@dataclass
class Simulation:
    """Everything that a run by voice shares.

    Attributes:
        line: under test; what its calls say and when they are over is watched from here.
        address: of its SIP.
        telephone: by which callers ring.
        voices: of the callers.
        noise_db: of every caller's line; None: a quiet one, but for personas who bring their own.
        folder: for the recordings.
        legs: the line's side of each call so far, by SIP's name of it.
        ended: ids of the transcripts of calls that are over.
    """

    line: Line
    address: tuple[str, int]
    telephone: Telephone
    voices: Voices
    noise_db: float | None
    folder: Path
    legs: dict[str, tuple[CallLeg, Transcript]] = field(default_factory=dict)
    ended: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.line.began = lambda leg, transcript: self.legs.update({leg.far_id: (leg, transcript)})
        self.line.ended = lambda transcript: self.ended.add(id(transcript))

    def channel(self, plan: Plan) -> Channel:
        """A caller's channel: the noisier of the run's and the persona's own."""
        known = [level for level in (self.noise_db, plan.persona.noise_db) if level is not None]
        return Channel(min(known) if known else None, seed=plan.number)


class Ringing:
    """One caller on one call.

    Attributes:
        urgent_s: from the end of the opening's words to the line's answer to a red flag; None so far.
    """

    def __init__(self, simulation: Simulation, plan: Plan, recording: Recording) -> None:
        self._run, self.plan = simulation, plan
        self.talker = Talker(plan)
        self.speaker = Speaker(simulation.channel(plan), recording)
        self.over = asyncio.Event()
        self.urgent_s: float | None = None
        self._spoken_at: float | None = None
        self._read = self._seen = self._sounding = 0

    async def hold(self, transcript: Transcript) -> None:
        """Talk until the line or the caller hangs up."""
        if self.plan.persona.interrupts:
            await asyncio.sleep(_INTERRUPTS_S)
            self._read = self._seen = len(transcript.entries)
            await self._say(self.talker.tell())
        async with asyncio.timeout(_LONGEST_S):
            while not self.over.is_set() and transcript.ended != "person":
                await asyncio.sleep(_LOOK_S)
                self._time_urgent(transcript)
                if self._finished(transcript) and not await self._answer(transcript):
                    return

    def _finished(self, transcript: Transcript) -> bool:
        """Whether the line has said something new and fallen silent, or both sides have been silent for long."""
        if len(transcript.entries) > self._seen:
            if any(entry.who == "line" for entry in transcript.entries[self._seen :]):
                self._sounding = self.speaker.sounding
            self._seen = len(transcript.entries)
        if self.speaker.talking or self.speaker.quiet_ticks < _PAUSE_TICKS:
            return False
        return self.speaker.sounding > self._sounding or self.speaker.quiet_ticks > _PATIENCE_TICKS

    async def _answer(self, transcript: Transcript) -> bool:
        """Say what the line's last sentences ask for; False: hang up."""
        said = [entry for entry in transcript.entries[self._read :] if entry.who == "line"]
        self._read = len(transcript.entries)
        answer = self.talker.answer(said)
        self._sounding = self.speaker.sounding
        if answer == HANG_UP:
            return False
        if answer.startswith("/"):
            self.speaker.press(answer[1:])
        elif answer:
            await self._say(answer)
        self.speaker.quiet_ticks = 0
        return True

    async def _say(self, words: str) -> None:
        self.speaker.say(await self._run.voices.sound(self.plan.persona, words))

    def _time_urgent(self, transcript: Transcript) -> None:
        if self.talker.opening and self._spoken_at is None and not self.speaker.talking:
            self._spoken_at = time.monotonic()
        if self.urgent_s is None and any(prompt in self.plan.errand.wants.urgent for prompt in transcript.prompts):
            self.urgent_s = time.monotonic() - self._spoken_at if self._spoken_at else 0.0


async def call_by_voice(run: Simulation, plan: Plan) -> Result:
    """Hold one call, and tell what it came to."""
    before = await asyncio.to_thread(prepared, run.line, plan)
    name = f"{plan.number:03}-{plan.persona.id}-{plan.errand.id}.wav"
    ringing = Ringing(run, plan, Recording(run.folder / name, Consent(run.line.now(), "a simulated caller")))
    call = run.telephone.dial(run.address, ringing.speaker, plan.caller, ringing.over.set)
    began = time.monotonic()
    leg, transcript, fault = None, Transcript(), ""
    try:
        fault = await run.telephone.answered(call, ringing.speaker)
        if not fault:
            leg, transcript = await _connected(run, call.call_id)
            await ringing.hold(transcript)
    except TimeoutError:
        fault = f"after {time.monotonic() - began:.0f} s the call had not come to an end"
    finally:
        run.telephone.hang_up(call, ringing.speaker)
    seconds = time.monotonic() - began
    if leg is None or not await _over(run, transcript):
        return Result(plan, False, seconds, transcript, audio=name, fault=fault or "the line did not finish the call")
    done = await asyncio.to_thread(score, plan, transcript, before, run.line.diary, run.line.requests, leg.id)
    return Result(plan, done and not fault, seconds, transcript, ringing.urgent_s, name, fault)


async def simulate_by_voice(
    line: Line, plans: Sequence[Plan], voices: Voices, folder: Path, *, noise_db: float | None, progress: Callable[[int, int], None]
) -> list[Result]:
    """Make all calls, those of one persona one after the other and the personas beside one another.

    Args:
        line: not brought up yet; it must be nobody's real one, for its diary is filled and cleared.
        folder: gets a recording of each call.
        noise_db: of all lines; None: quiet ones.
        progress: told how many calls are over, and of how many.
    """
    settings = SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0))
    results: list[Result] = []
    progress(0, len(plans))

    async def ring(theirs: Sequence[Plan]) -> None:
        for plan in theirs:
            results.append(await call_by_voice(run, plan))
            progress(len(results), len(plans))

    async with line, SipLine(settings, line.switchboard) as sip, Telephone() as telephone:
        await line.render()
        run = Simulation(line, sip.address, telephone, voices, noise_db, folder)
        async with asyncio.TaskGroup() as group:
            for _, theirs in groupby(sorted(plans, key=_persona), key=_persona):
                group.create_task(ring(list(theirs)))
    return sorted(results, key=lambda result: result.plan.number)


def _persona(plan: Plan) -> str:
    persona: Persona = plan.persona
    return persona.id


async def _connected(run: Simulation, call_id: str) -> tuple[CallLeg, Transcript]:
    """The line's own side of a call that it has answered."""
    async with asyncio.timeout(_ENDED_S):
        while call_id not in run.legs:
            await asyncio.sleep(_LOOK_S)
    return run.legs[call_id]


async def _over(run: Simulation, transcript: Transcript) -> bool:
    """Wait until the line has finished with a call; whether it has."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_ENDED_S):
            while id(transcript) not in run.ended:
                await asyncio.sleep(_LOOK_S)
    return id(transcript) in run.ended
