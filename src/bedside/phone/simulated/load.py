"""How many calls one machine holds: callers from another process, more at each step, against the wait for the first sound and the processor."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bedside.errors import BedsideError
from bedside.phone.call.dialogue import Setting
from bedside.phone.call.events import Connected, Say
from bedside.phone.call.machine import Call
from bedside.phone.call.text import Stage, Transcript
from bedside.phone.leg import RATE
from bedside.phone.line import Line
from bedside.phone.simulated.people import personas
from bedside.phone.simulated.scoring import percentile
from bedside.phone.simulated.voices import Voices
from bedside.phone.speech.recognise import as_wav
from bedside.phone.transports.sip import SipLine
from bedside.phone.transports.sip_settings import SipSettings
from bedside.workspace.files import written_whole

_SAID = ("I'd like to book an appointment please.", "I'm not sure yet.")
"""What each caller says; the line's answers to both are cached questions."""
_ANSWER_S = 8.0
_AFTER_GREETING_S = 1.5
_GOOD_WAIT_S = 1.5
_STAGES: tuple[Stage, ...] = ("hearing", "safety", "understanding", "action")


@dataclass(frozen=True)
class Step:
    """What so many calls at once cost and gave.

    Attributes:
        calls: at once.
        made, answered: calls in all, and those that the line took.
        waits: answers that were timed.
        wait_p50_s, wait_p95_s: from the end of the caller's words to the line's first sound, timed by the callers.
        unanswered: times that the caller spoke and heard nothing.
        stages_p95_ms: of the line's own work on a turn, by stage.
        cpu: percent of one core, by part of the line.
        media_late_ms: the longest delay of the audio clock.
    """

    calls: int
    made: int
    answered: int
    waits: int
    wait_p50_s: float
    wait_p95_s: float
    unanswered: int
    stages_p95_ms: dict[str, float]
    cpu: dict[str, float]
    media_late_ms: float


async def measure_load(
    line: Line, steps: Sequence[int], seconds: float, folder: Path, progress: Callable[[Step], None], voices: Voices
) -> list[Step]:
    """Measure each step in turn.

    Args:
        line: not brought up yet.
        steps: calls at once.
        seconds: for each step.
        folder: gets what the callers say, as a WAV.
        progress: told of each step when it is over.

    Raises:
        BedsideError: the callers' process failed.
    """
    ended: list[Transcript] = []
    line.ended = ended.append
    settings = SipSettings(host="127.0.0.1", port=0, rtp_ports=(0, 0))
    found = []
    async with line, SipLine(settings, line.switchboard) as sip:
        await line.render()
        said = folder / "callers.wav"
        with written_whole(said) as part:
            part.write_bytes(as_wav(await _talk(line, voices)))
        for calls in steps:
            ended.clear()
            step = await _step(line, sip.address, calls, seconds, said, ended)
            progress(step)
            found.append(step)
    return found


async def _step(line: Line, address: tuple[str, int], calls: int, seconds: float, said: Path, ended: list[Transcript]) -> Step:
    command = [sys.executable, "-m", "bedside.phone.simulated.load_callers", *map(str, (*address, calls, seconds, said))]
    line.switchboard.pacer.worst_ms = 0.0
    before, began = _cpu_seconds(line), time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
    output, fault = await process.communicate()
    if process.returncode:
        raise BedsideError(f"the callers' process ended with {process.returncode}: {fault.decode()[-300:]}", "Run it with fewer calls")
    took, after = time.perf_counter() - began, _cpu_seconds(line)
    tallies = json.loads(output)
    answered = [tally for tally in tallies if tally["answered"]]
    waits = sorted(wait for tally in answered for wait in tally["waits_s"])
    return Step(
        calls,
        len(tallies),
        len(answered),
        len(waits),
        percentile(waits, 50),
        percentile(waits, 95),
        len(_SAID) * len(answered) - len(waits),
        {stage: _p95(ended, stage) for stage in _STAGES},
        {part: round(100 * (after[part] - before[part]) / took, 1) for part in after},
        round(line.switchboard.pacer.worst_ms, 1),
    )


async def _talk(line: Line, voices: Voices) -> bytes:
    """What a caller says, with the pauses in which the line greets and answers."""
    call = Call(Setting(line.practice, line.now))
    greeting = sum([len(await line.parts.prompts.sound(one.text)) for one in call.receive(Connected()) if isinstance(one, Say)])
    pcm = bytes(greeting + 2 * int(_AFTER_GREETING_S * RATE))
    for words in _SAID:
        pcm += await voices.sound(personas()[0], words) + bytes(2 * int(_ANSWER_S * RATE))
    await voices.close()
    return pcm


def _p95(ended: Sequence[Transcript], stage: Stage) -> float:
    return percentile(sorted(entry.ms[stage] for one in ended for entry in one.entries if stage in entry.ms), 95)


def _cpu_seconds(line: Line) -> dict[str, float]:
    """Processor seconds so far of the line's processes."""
    parts = {
        "media, calls and understanding": [os.getpid()],
        "speech recognition": line.recogniser.pids,
        "voice": line.parts.prompts.voice.pids,
    }
    return {part: sum(map(_seconds_of, pids)) for part, pids in parts.items()}


def _seconds_of(pid: int) -> float:
    """User and system time of a process (proc(5), fields 14 and 15); 0 for one that has gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def write_load(folder: Path, steps: Sequence[Step]) -> None:
    """Write `load.json` and `load.svg`.

    Raises:
        BedsideError: the folder cannot be written, or matplotlib is not installed.
    """
    for name, text in (("load.json", json.dumps([asdict(step) for step in steps], indent=1)), ("load.svg", plot(steps))):
        with written_whole(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def plot(steps: Sequence[Step]) -> str:
    """An SVG: the wait for the first sound and the processor's share by part, against calls at once.

    Raises:
        BedsideError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BedsideError("the plot needs the package matplotlib", 'pip install "bedside[evaluate]"') from error
    figure = Figure(figsize=(7, 6), layout="constrained")
    wait, cpu = figure.subplots(2, 1, sharex=True)
    calls = [step.calls for step in steps]
    wait.plot(calls, [step.wait_p95_s for step in steps], marker="o", label="95th percentile")
    wait.plot(calls, [step.wait_p50_s for step in steps], marker="s", linestyle="--", label="median")
    wait.axhline(_GOOD_WAIT_S, color="grey", linewidth=1, linestyle=":", label="goal of the 95th percentile")
    wait.set(ylabel="from the end of words\nto the first sound, s", ylim=(0, None))
    bottom = [0.0] * len(steps)
    for part in steps[0].cpu if steps else ():
        share = [step.cpu[part] for step in steps]
        cpu.bar(calls, share, 1.5, bottom, label=part)
        bottom = [low + high for low, high in zip(bottom, share, strict=True)]
    cpu.set(xlabel="calls at once", ylabel="processor, % of one core")
    for axes in (wait, cpu):
        axes.grid(axis="y", alpha=0.3)
        axes.legend()
    stream = io.StringIO()
    figure.savefig(stream, format="svg")
    return stream.getvalue()
