"""A call by voice: what the caller says goes to the call, and what the call decides is said, done and written down.

    leg ─▶ MediaSession ─▶ Recogniser ─▶ Call ─▶ Act ─▶ Desk (in threads)
     ▲                                    │ └──▶ Note ─▶ AuditLog
     └────────── Mouth ◀──────── Say ◀────┘

The caller's words are recognised at each pause, before it is known whether the turn is over: the safety core reads them half a second
earlier, and when the pause was the end of the turn its text is there already. A caller who speaks on without a pause is heard in parts, one
after the other: where the recogniser is slow there are fewer of them, so that they do not hold up what other callers said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from bedside.errors import BedsideError
from bedside.phone import leg as legs
from bedside.phone.call.actions import Leave, Understand
from bedside.phone.call.desk import Desk
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.events import (
    Act,
    Action,
    Connected,
    Done,
    Event,
    Fault,
    HangUp,
    Heard,
    HungUp,
    Hush,
    Listen,
    ListenKind,
    Noise,
    Note,
    Pressed,
    Say,
    Silence,
    StartRecording,
    StopRecording,
    Transfer,
    TransferFailed,
    Transferred,
    Voicemail,
)
from bedside.phone.call.line import State
from bedside.phone.call.machine import Call
from bedside.phone.call.speaking import say
from bedside.phone.call.text import Entry, Stage, Transcript, facts_in_words
from bedside.phone.ending import finished
from bedside.phone.handing_over import accepts
from bedside.phone.leg import CallLeg, Digit, Ending, Played
from bedside.phone.media.bridge import join
from bedside.phone.media.recording import Consent, Recording
from bedside.phone.media.session import MediaSession, Quiet, Speech, SpeechStarted, TurnEnded
from bedside.phone.media.turns import SPELLING, TurnRules
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.mouth import TONE, Mouth
from bedside.phone.speech.recognise import Recogniser, SpeechError, expected
from bedside.phone.speech.say import Prompts
from bedside.workspace.audit import AuditError, AuditLog

log = logging.getLogger(__name__)

_BYTES_A_MS = 2 * legs.RATE // 1000
_PART_BYTES = 1500 * _BYTES_A_MS
"""Speech without a pause after which the words so far are recognised."""
_PART_READ = 10_000 * _BYTES_A_MS
"""A part is at most so long: what came before it was read with the parts before."""
_PAUSE_S = 0.2
"""A pause shorter than this lies between words."""
_HEARING_S = 20.0
_SLOW_ANSWERS = {"name", "birth", "number"}
_MESSAGE_S = 120.0


@dataclass(frozen=True)
class Parts:
    """What all calls of a line share.

    Attributes:
        recogniser, prompts, voice: ears, mouth, and the detector of voice activity.
        executor: threads for the model and the practice's systems.
        audit: takes every decision.
        recordings: folder for audio that may be kept, and for messages.
        release: hash of the model's release, "" without one.
    """

    recogniser: Recogniser
    prompts: Prompts
    voice: VoiceActivity
    executor: Executor
    audit: AuditLog
    recordings: Path
    release: str = ""


@dataclass
class VoiceCall:
    """One call. A fault of a part that is known to fail gives the caller a person; any other ends `run` with an error.

    Args:
        leg: the caller.
        setting: the practice and the clock.
        desk: carries requests out.
        parts: shared with the other calls.

    Attributes:
        transcript: the call so far, with milliseconds for each stage of a turn.
    """

    leg: CallLeg
    setting: Setting
    desk: Desk
    parts: Parts
    transcript: Transcript = field(default_factory=Transcript)

    def __post_init__(self) -> None:
        self._call = Call(self.setting, self.parts.release)
        self._session = MediaSession(self.leg, self.parts.voice, hint=self._paused)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._mouth = Mouth(self._session, self.parts.prompts, self._events.put_nowait, self._first_audio)
        self._notes: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._passing: set[asyncio.Task[Any]] = set()
        self._lasting: set[asyncio.Task[None]] = set()
        self._turn = bytearray()
        self._kind: ListenKind = "open"
        self._turns = self._final_turns = self._hearing = 0
        self._next_part = _PART_BYTES
        self._early: asyncio.Task[Heard | None] | None = None
        self._part: asyncio.Task[Heard | None] | None = None
        self._spoke_until = 0.0
        self._entry = Entry("note", "start", "")
        self._recording: Recording | None = None
        self._message_over = asyncio.Event()
        self._ear: asyncio.Task[None] | None = None

    async def run(self) -> Transcript:
        """Hold the call to its end."""
        began = time.monotonic()
        self._note("call.started", transport=type(self.leg).__name__, caller=self.parts.audit.fingerprint(self.leg.caller), admitted=True)
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._ear = self._start(self._listen())
                self._start(self._mouth.speak())
                group.create_task(self._write_down())
                self._events.put_nowait(Connected(self.leg.caller))
                event: Event | None = None
                while not isinstance(event, HungUp):
                    event = await self._events.get()
                    self._receive(event)
                await self._finish()
        finally:
            await self.leg.hang_up()
            await self._threaded(self.desk.close)
        log.info("call %s took %.0f s and ended with: %s", self.leg.id, time.monotonic() - began, self.transcript.ended)
        return self.transcript

    async def _finish(self) -> None:
        """The caller has gone: stop what was for them, and wait for what has to be done all the same."""
        while self._passing:
            for task in self._passing:
                task.cancel()
            await asyncio.wait(self._passing)
        while self._lasting:
            await asyncio.wait(self._lasting)
        self._notes.put_nowait(None)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Something that need not be finished when the caller has gone."""
        task = self._group.create_task(work)
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        return task

    def _see_through(self, work: Coroutine[Any, Any, None]) -> None:
        """Something that is finished also when the caller has gone."""
        task = self._group.create_task(work)
        self._lasting.add(task)
        task.add_done_callback(self._lasting.discard)

    def _threaded(self, work: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        return asyncio.get_running_loop().run_in_executor(self.parts.executor, work, *arguments)

    # From what happens to what is done

    def _receive(self, event: Event) -> None:
        if isinstance(event, (Connected, Pressed, Silence, Noise, HungUp)) or (isinstance(event, Heard) and event.final):
            words = {Heard: "text", Pressed: "key"}.get(type(event), "")
            self._entry = Entry("caller", type(event).__name__, getattr(event, words, ""), self._entry.ms if words == "text" else {})
            self.transcript.entries.append(self._entry)
        began = time.perf_counter()
        actions = self._call.receive(event)
        self._took("safety", began)
        for action in actions:
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Say():
                self.transcript.entries.append(Entry("line", action.prompt, action.text))
                self._mouth.say(action)
            case Hush():
                self._mouth.hush()
            case Listen(kind):
                self._kind = kind
                self._session.listen(SPELLING if kind in _SLOW_ANSWERS else TurnRules())
            case StartRecording():
                self._record(f"{self.leg.id}.wav", "stayed on the line after the notice")
            case StopRecording():
                self._forget_recording()
            case Transfer():
                self._mouth.then(lambda: self._start(self._transfer(action)))
            case Voicemail():
                self._mouth.sound(TONE)
                self._mouth.then(lambda: self._start(self._take_message(action)))
            case HangUp():
                self.transcript.ended = "hang-up"
                self._mouth.then(lambda: self._start(self.leg.hang_up()))
            case Act():
                self._see_through(self._act(action))
            case Note(event, facts):
                self._note(event, **facts)

    async def _act(self, act: Act) -> None:
        began = time.perf_counter()
        try:
            event: Event = Done(act.id, await self._threaded(self.desk.perform, act.id, act.request))
        except Exception as error:  # whatever a part does, the call goes on and ends with a person
            level = logging.WARNING if isinstance(error, BedsideError) else logging.ERROR
            log.log(level, "call %s: %s failed: %r", self.leg.id, type(act.request).__name__, error)
            event = Fault(act.part, act.id)
        self._took("understanding" if isinstance(act.request, Understand) else "action", began)
        self._events.put_nowait(event)

    def _took(self, stage: Stage, began: float) -> None:
        self._entry.ms[stage] = round(self._entry.ms.get(stage, 0.0) + (time.perf_counter() - began) * 1000, 1)

    # Writing down

    def _note(self, event: str, **facts: Any) -> None:
        self.transcript.entries.append(Entry("note", event, facts_in_words(facts)))
        self._notes.put_nowait((event, facts))

    async def _write_down(self) -> None:
        """Every note goes to the audit log, in order. A call that cannot be logged goes to a person."""
        while (note := await self._notes.get()) is not None:
            event, facts = note
            try:
                await self._threaded(partial(self.parts.audit.append, event, call=self.leg.id, **facts))
            except AuditError as error:
                log.error("call %s: %s", self.leg.id, error)
                self._events.put_nowait(Fault("diary"))

    # Hearing

    async def _listen(self) -> None:
        async for event in self._session.events():
            match event:
                case SpeechStarted(barge_in):
                    self._turns += 1
                    self._turn.clear()
                    self._next_part, self._early = _PART_BYTES, None
                    if barge_in or self._mouth.busy:
                        self._mouth.interrupted()
                case Speech(pcm):
                    self._turn += pcm
                    if len(self._turn) >= self._next_part and (self._part is None or self._part.done()):
                        self._next_part = len(self._turn) + _PART_BYTES
                        self._part = self._start(self._recognise(bytes(self._turn[-_PART_READ:])))
                case TurnEnded():
                    self._hearing += 1
                    self._start(self._hear_turn(event, self._early if event.why == "silence" else None))
                    self._turns += 1
                case Quiet(ms):
                    self._quiet(ms)
                case Digit(key):
                    self._mouth.interrupted()
                    if key == "#":
                        self._message_over.set()
                    self._events.put_nowait(Pressed(key))
                case Played(_, _, complete):
                    self._mouth.played(complete)
                case Ending():
                    self._events.put_nowait(Pressed("0"))
                case legs.HungUp():
                    self._events.put_nowait(HungUp())

    def _quiet(self, ms: int) -> None:
        """Silence counts where the line neither speaks nor is about to, and nothing that the caller said is still being read."""
        if not self._mouth.busy and not self._hearing:
            self._message_over.set()
            self._events.put_nowait(Silence(ms / 1000))

    async def _recognise(self, pcm: bytes) -> Heard | None:
        """The words so far; the call is told of them at once, unless the turn has ended meanwhile. None where the recogniser failed."""
        turn = self._turns
        try:
            async with asyncio.timeout(_HEARING_S):
                recognised = await self.parts.recogniser.recognise(pcm, expected(self._kind))
        except (SpeechError, TimeoutError) as error:
            log.error("call %s: %s", self.leg.id, str(error) or f"the recogniser has not answered for {_HEARING_S:.0f} s")
            self._events.put_nowait(Fault("hearing"))
            return None
        heard = Heard(recognised.text, False, recognised.confidence, recognised.seconds)
        if turn == self._turns:
            self._events.put_nowait(heard)
        return heard

    async def _paused(self, _: bytes) -> float:
        """The caller fell silent: read the turn so far. Returns how likely it is over, by its words."""
        self._spoke_until, self._early = time.perf_counter(), None
        await asyncio.sleep(_PAUSE_S)
        self._early = self._start(self._recognise(bytes(self._turn)))
        heard = await asyncio.shield(self._early)
        return finished(heard.text if heard else "", self._kind)

    async def _hear_turn(self, turn: TurnEnded, early: asyncio.Task[Heard | None] | None) -> None:
        began = time.perf_counter()
        try:
            heard = await (early or self._recognise(turn.pcm))
        finally:
            self._hearing -= 1
        if heard is None:
            return
        ms = round((time.perf_counter() - began) * 1000, 1)
        self._entry = Entry("note", "hearing", "", {"hearing": ms})
        self._final_turns += 1
        facts = {"letters": len(heard.text), "confidence": round(heard.confidence, 3), "ms": ms}
        self._note("turn.heard", turn=self._final_turns, **facts)
        self._events.put_nowait(Heard(heard.text, True, heard.confidence, heard.seconds) if heard.text else Noise())

    def _first_audio(self, sentence: Say) -> None:
        if self._spoke_until:
            ms = round((time.perf_counter() - self._spoke_until) * 1000)
            self._spoke_until = 0.0
            self._entry.ms["first_audio"] = ms
            self._note("turn.spoken", turn=self._final_turns, prompts=[sentence.prompt], first_audio_ms=ms)

    # Recording

    def _record(self, name: str, how: str) -> Recording:
        self._recording = Recording(self.parts.recordings / name, Consent(self.setting.now, how))
        self.leg.record(self._recording)
        return self._recording

    def _forget_recording(self) -> None:
        if self._recording is not None:
            self._recording.discard()
            self.leg.record(None)
            self._recording = None

    # Leaving

    async def _transfer(self, action: Transfer) -> None:
        """By consultation where the transport can call a person, else by asking the far end to."""
        began = time.monotonic()
        human = await self.leg.consult(action.to) if action.warm else None
        if human is None:
            took = await self.leg.transfer(action.to)
        else:
            accept = say(self.setting.practice, self.setting.today, "whisper.accept", {}).text
            took = await accepts(human, action.summary, accept, self.parts.prompts)
        self._note("handoff.ended", to=action.to, accepted=took, seconds=round(time.monotonic() - began))
        self._events.put_nowait(Transferred() if took else TransferFailed())
        if took:
            self.transcript.ended = "person"
        if took and human is not None:
            await self._stop_listening()
            await join(self.leg, human)
            self._events.put_nowait(HungUp())

    async def _stop_listening(self) -> None:
        """Two people talk now: nothing more is heard or recorded."""
        self.leg.record(None)
        if self._ear is not None:
            self._ear.cancel()
            await asyncio.wait([self._ear])

    async def _take_message(self, action: Voicemail) -> None:
        """Record what the caller leaves, until the hash key, silence, the longest time or the caller's hanging up, and leave it for staff."""
        self._message_over.clear()
        recording = self._record(f"{self.leg.id}-message.wav", "left a message after the tone")
        try:
            async with asyncio.timeout(_MESSAGE_S):
                await self._message_over.wait()
        except TimeoutError:
            log.info("call %s: the message was as long as one may be", self.leg.id)
        finally:
            self.leg.record(None)
            self._see_through(self._leave_message(action, recording))

    async def _leave_message(self, action: Voicemail, recording: Recording) -> None:
        if self._call.state not in (State.MESSAGE, State.ENDED):
            return  # an emergency was told: it takes its own way
        slots = {"summary": action.summary, "recording": recording.path.name}
        try:
            if recording.failed:
                raise SpeechError(recording.failed, "Free some space on the disk")
            leave = Leave("voicemail", None, slots, "today" if action.urgent else "routine")
            request = await self._threaded(self.desk.perform, 0, leave)
        except BedsideError as error:
            log.error("call %s: the message could not be left: %s", self.leg.id, error)
            self._events.put_nowait(Fault("diary"))
            return
        self.transcript.ended = "message"
        self._note("request.left", request=request.id, kind=request.kind, priority=request.priority, owner=request.owner)
        await self.leg.hang_up()
