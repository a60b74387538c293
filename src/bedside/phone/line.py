"""A phone line: everything that a practice file needs to take calls, brought up together and shut down together."""

from __future__ import annotations

import asyncio
import datetime as dt
import gc
import json
import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from bedside import __version__
from bedside.engine.understanding import Understanding, classify
from bedside.errors import BedsideError, KnowledgeError
from bedside.phone.call.desk import Desk
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.menu import understand_by_words
from bedside.phone.call.speaking import say, sentences
from bedside.phone.call.text import Transcript
from bedside.phone.call.watch import prepare
from bedside.phone.database import Database
from bedside.phone.diary import SqlDiary
from bedside.phone.leg import CallLeg
from bedside.phone.media.switchboard import Switchboard
from bedside.phone.media.vad import VoiceActivity
from bedside.phone.outbox import HttpSender, Outbox
from bedside.phone.patients import Patients
from bedside.phone.practice import Practice
from bedside.phone.requests import Requests
from bedside.phone.speech.recognise import EmbeddedWhisper, Recogniser
from bedside.phone.speech.say import Espeak, Kokoro, Prompts
from bedside.phone.voice_call import Parts, VoiceCall
from bedside.safety.approved import tables
from bedside.workspace.audit import AuditLog
from bedside.workspace.database import utc_now
from bedside.workspace.files import disk_errors, written_whole

log = logging.getLogger(__name__)

SMS_TOKEN = "BEDSIDE_SMS_TOKEN"
"""Variable of the environment with the bearer token of the practice's message gateway."""
_DELIVER_S = 20
_THREADS = 16
_WELCOME = "practice.says"
_READY = "good morning"
"""Understood once before the first call, which then need not wait for the model to be read in."""

Understand = Callable[[str], Understanding]


@dataclass(frozen=True)
class LineSettings:
    """What a line needs beside its practice file.

    Attributes:
        folder: keeps the audit log, transcripts, recordings, prompts, and the database unless `database` says otherwise.
        database: a SQLAlchemy URL; "" for SQLite in the folder.
        voice: `kokoro` (natural; espeak-ng speaks where it falls) or `espeak`.
        workers: processes that recognise speech; None: one for each core.
        limit: calls at once; more go to the practice's overflow number.
    """

    folder: Path
    database: str = ""
    voice: Literal["kokoro", "espeak"] = "kokoro"
    workers: int | None = None
    limit: int = 32


@dataclass
class Line:
    """A practice's line. Use it as an async context, and inside it the transports over `switchboard`.

    Args:
        practice: whose line it is.
        settings: where it keeps things, how it speaks.
        understand: what a turn means: `understanding_of` an engine, or `understand_by_words`.
        release: hash of the model's release, for the audit log.
        now: the clock, in UTC.
        began: gets each call's leg, and the transcript that grows as it goes on.
        ended: gets the transcript of each call that is over.

    Raises:
        BedsideError: on entering: weights are missing, the database or the folder cannot be used, or an approved text cannot be said.
    """

    practice: Practice
    settings: LineSettings
    understand: Understand = understand_by_words
    release: str = ""
    now: Callable[[], dt.datetime] = utc_now
    began: Callable[[CallLeg, Transcript], None] = lambda leg, transcript: None
    ended: Callable[[Transcript], None] = lambda transcript: None

    def __post_init__(self) -> None:
        folder = self.settings.folder
        self.audit = AuditLog(folder / "audit")
        self.database = Database(self.settings.database or folder / "practice.sqlite")
        self.diary = SqlDiary(self.database, self.practice, self.now)
        self.patients = Patients(self.database, self.practice.identity, self.now)
        self.requests = Requests(self.database, self.practice, self.now)
        self.outbox = Outbox(self.database, self.practice, self.now)
        self.switchboard = Switchboard(self._answer, self.settings.limit, self.practice.numbers.overflow)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            executor = stack.enter_context(ThreadPoolExecutor(_THREADS, "desk"))
            stack.callback(self.database.close)
            recogniser = EmbeddedWhisper(self.settings.workers)
            stack.push_async_callback(recogniser.close)
            self.parts = await self._bring_up(stack, recogniser, executor)
            await stack.enter_async_context(self.switchboard)
            for loop in (self._every_day(), self._deliver()):
                task = asyncio.create_task(loop)
                stack.push_async_callback(_cancelled, task)
            self.audit.append("line.started", line=self.practice.numbers.main, version=__version__, models=[self.release])
            self._stack = stack.pop_all()
        # What was loaded stays to the end. Each full look of the garbage collector at it would hold up the audio of all calls for some 80 ms.
        gc.collect()
        gc.freeze()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._stack.aclose()
        self.audit.append("line.stopped", line=self.practice.numbers.main, reason="shut down", calls=self.switchboard.counts["admitted"])

    async def _bring_up(self, stack: AsyncExitStack, recogniser: EmbeddedWhisper, executor: ThreadPoolExecutor) -> Parts:
        spare = Espeak()
        folder = self.settings.folder
        if self.settings.voice == "kokoro":
            voice = Kokoro()
            stack.push_async_callback(voice.close)
            spoken = Prompts(voice, folder / "prompts", spare)
        else:
            spoken = Prompts(spare, folder / "prompts")
        await asyncio.to_thread(self.open_day)
        await asyncio.to_thread(self.understand, _READY)
        await recogniser.warm()
        return Parts(recogniser, spoken, VoiceActivity(), executor, self.audit, folder / "recordings", self.release)

    @property
    def recogniser(self) -> Recogniser:
        """Hears all calls."""
        return self.parts.recogniser

    async def render(self, progress: Callable[[int, int], None] = lambda done, of: None) -> int:
        """Make the sound of every sentence that is said unchanged, so that no caller waits for it; how many there are.

        Args:
            progress: told how many are made, and of how many.
        """
        texts = sorted(fixed_sentences(self.practice, self.now().astimezone(self.practice.zone).date()))
        for done, text in enumerate(texts):
            progress(done, len(texts))
            await self.parts.prompts.prepare([text])
        progress(len(texts), len(texts))
        return len(texts)

    def open_day(self) -> None:
        """Open the diary up to the practice's horizon, and load today's rules. Blocks."""
        seeded = self.diary.seed()
        log.info("the diary has %d new slots; %d were withdrawn", seeded.added, seeded.withdrawn)
        for clash in seeded.clashes:
            log.warning("appointment %s stands at a time when nobody works now: staff have to ring", clash.id)
        prepare(self.practice, self.now().astimezone(self.practice.zone).date())

    def desk(self, call: str, caller: str) -> Desk:
        """One call's desk."""
        return Desk(self.practice, self.understand, self.diary, self.patients, self.requests, self.outbox, call, caller)

    async def _answer(self, leg: CallLeg) -> None:
        setting = Setting(self.practice, self.now, leg.caller)
        call = VoiceCall(leg, setting, self.desk(leg.id, leg.caller), self.parts)
        self.began(leg, call.transcript)
        try:
            await call.run()
        finally:
            await _tried(f"the transcript of call {leg.id} could not be kept", partial(self._keep, leg.id, call.transcript))
            self.ended(call.transcript)

    def _keep(self, call: str, transcript: Transcript) -> None:
        """Write a call's transcript, for its owner's eyes only."""
        folder = self.settings.folder / "transcripts"
        with disk_errors(folder):
            folder.mkdir(mode=0o700, exist_ok=True)
        with written_whole(folder / f"{call}.json") as part:
            part.write_text(json.dumps(transcript.as_json(), ensure_ascii=False, indent=1), encoding="utf-8")

    async def _every_day(self) -> None:
        """Soon after each midnight by the practice's clock, open one more day."""
        while True:
            now = self.now().astimezone(self.practice.zone)
            midnight = self.practice.moment(now.date() + dt.timedelta(days=1), 1)
            await asyncio.sleep((midnight - now).total_seconds())
            await _tried("the diary could not be opened for another day", self.open_day)

    async def _deliver(self) -> None:
        """Hand over text messages as they come; without a gateway they wait for another program."""
        if self.practice.sms is None or self.practice.sms.gateway is None:
            return
        sender = HttpSender(self.practice.sms.gateway, os.environ.get(SMS_TOKEN))
        while True:
            await _tried("text messages could not be delivered", partial(self.outbox.deliver, sender))
            await asyncio.sleep(_DELIVER_S)


def understanding_of(engine: Any) -> Understand:
    """What turns mean, by a released model."""
    return partial(classify, engine)


def fixed_sentences(practice: Practice, day: dt.date) -> Iterator[str]:
    """Every sentence of the line that is the same in each call of a day: without slots, and the practice's own welcome."""
    approved = [text.id for text in tables(day, practice.protocol_on(day)).texts.values() if not text.slots]
    fixed = [prompt.id for prompt in sentences().values() if not prompt.slots and not prompt.personal]
    for name in (*approved, *fixed):
        with suppress(KnowledgeError):  # names a number that is not confirmed: it is never said
            yield say(practice, day, name, {}).text
    if practice.opening.welcome:
        yield say(practice, day, _WELCOME, {"words": practice.opening.welcome.rstrip(".")}).text


async def _tried(problem: str, work: Callable[[], object]) -> None:
    try:
        await asyncio.to_thread(work)
    except BedsideError as error:
        log.error("%s: %s", problem, error)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
