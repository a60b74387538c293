"""The phone line: ring it in a terminal or with WAV files, bring it up, check a practice file and the audit log."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bedside.cli.shared import NOTICE, app, err, escape, existing, out, share_processor

if TYPE_CHECKING:
    from bedside.phone.call.text import Transcript
    from bedside.phone.line import Line
    from bedside.phone.serving import WaysIn
    from bedside.phone.simulated.load import Step
    from bedside.phone.simulated.people import Plan
    from bedside.phone.simulated.scoring import Result

PANEL = "The phone line"

phone = typer.Typer(no_args_is_help=True, help="Bring the phone line up.")
practice = typer.Typer(no_args_is_help=True, help="Check a practice file, and load the practice's patients.")
audit = typer.Typer(no_args_is_help=True, help="Check the audit log.")
app.add_typer(phone, name="phone", rich_help_panel=PANEL)
app.add_typer(practice, name="practice", rich_help_panel=PANEL)
app.add_typer(audit, name="audit", rich_help_panel=PANEL)


class VoiceName(StrEnum):
    """Voices of the line."""

    kokoro = "kokoro"
    espeak = "espeak"


PracticeFile = Annotated[Path, typer.Option("--practice", help="Practice file, such as practices/wattle-street.yaml.", show_default=False)]
Release = Annotated[
    Path | None, typer.Option("--release", help="Release that understands callers; the words of the menu without one.", show_default=False)
]
Data = Annotated[Path, typer.Option("--data", help="Folder for the database, the audit log, transcripts, recordings and prompts.")]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database", help="SQLAlchemy URL, such as postgresql+pg8000://user@host/bedside; SQLite in --data by default.", show_default=False
    ),
]
Voice = Annotated[VoiceName, typer.Option("--voice", help="kokoro sounds natural; espeak needs no weights.")]
_FOLDER = Path("phone-data")


@app.command(rich_help_panel=PANEL)
def call(
    practice_file: PracticeFile,
    text: Annotated[
        bool, typer.Option("--text", help="Type what the caller says; /5 is a key, an empty line silence, /hangup the end.")
    ] = False,
    wav: Annotated[
        list[Path] | None, typer.Option("--wav", help="What the caller says, a file for each turn; may be repeated.", show_default=False)
    ] = None,
    release: Release = None,
    data: Data = _FOLDER,
    database: DatabaseUrl = "",
    voice: Voice = VoiceName.kokoro,
    caller: Annotated[str, typer.Option(help="Calling number; withheld by default.")] = "",
    answered: Annotated[
        bool, typer.Option("--answered/--nobody-answers", help="Whether somebody takes a call that is typed and handed over.")
    ] = True,
    said: Annotated[Path | None, typer.Option("--said", help="Write what the line said here, as WAV.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write the transcript as JSON, with milliseconds for each stage.")] = False,
) -> None:
    """Ring the line without a telephone: by typing, or with recorded turns of 8 to 48 kHz, one channel, 16 bits."""
    if text is bool(wav):
        raise typer.BadParameter("give --text, or --wav once for each turn")
    line = _line(practice_file, release, data, database, voice)
    err.print(f"[dim]{NOTICE}")
    transcript = _typed(line, caller, answered, quiet=as_json) if text else asyncio.run(_played(line, wav or [], said))
    if as_json:
        print(json.dumps(transcript.as_json(), ensure_ascii=False))
    elif wav:
        _show(transcript)
    err.print(f"ended with: {transcript.ended}", highlight=False)


def _typed(line: Line, caller: str, answered: bool, quiet: bool) -> Transcript:
    from uuid import uuid4

    from bedside.phone.call.dialogue import Setting
    from bedside.phone.call.text import text_call

    line.open_day()
    call = uuid4().hex
    desk = line.desk(call, caller)
    setting = Setting(line.practice, line.now, caller)
    write = (lambda said: None) if quiet else (lambda said: out.print(escape(said), highlight=False))

    def audit(event: str, facts: Mapping[str, Any]) -> None:
        line.audit.append(event, call=call, **facts)

    return text_call(setting, desk, _typed_lines(), write, answered=answered, release=line.release, audit=audit)


def _typed_lines() -> Iterator[str]:
    while True:
        if sys.stdin.isatty():
            err.print("    caller: ", end="")
        read = sys.stdin.readline()
        if not read:
            return
        yield read.rstrip("\n")


async def _played(line: Line, files: list[Path], said: Path | None) -> Transcript:
    from bedside.phone.speech.recognise import as_wav
    from bedside.phone.transports.wav import WavLeg, read_wav
    from bedside.workspace.files import written_whole

    leg = WavLeg([read_wav(file) for file in files])
    over: asyncio.Future[Transcript] = asyncio.get_running_loop().create_future()
    line.ended = over.set_result
    async with line:
        await line.render(_progress)
        line.switchboard.connect(leg)
        transcript = await over
    if said:
        with written_whole(said) as part:
            part.write_bytes(as_wav(bytes(leg.said)))
    return transcript


def _show(transcript: Transcript) -> None:
    for entry in transcript.entries:
        took = "  ".join(f"{stage} {ms:.0f} ms" for stage, ms in entry.ms.items())
        shown = entry.text if entry.who == "line" else f"{entry.what}: {entry.text}"
        out.print(f"{entry.who:>7}  {escape(shown)}  [dim]{took}[/]", highlight=False)


@phone.command()
def serve(
    practice_file: PracticeFile,
    sip: Annotated[
        Path | None, typer.Option(help="YAML file with the SIP settings of an extension or a trunk.", show_default=False)
    ] = None,
    audiosocket: Annotated[int | None, typer.Option(help="TCP port for Asterisk's AudioSocket.", show_default=False)] = None,
    media_streams: Annotated[
        int | None, typer.Option(help="TCP port for Media Streams by WebSocket, at /phone.", show_default=False)
    ] = None,
    host: Annotated[str, typer.Option(help="Address on which these two ports listen.")] = "127.0.0.1",
    release: Release = None,
    data: Data = _FOLDER,
    database: DatabaseUrl = "",
    voice: Voice = VoiceName.kokoro,
    workers: Annotated[
        int | None, typer.Option(help="Processes that recognise speech; one for each core by default.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Calls at once; more go to the practice's overflow number.")] = 32,
) -> None:
    """Answer calls until Ctrl-C; calls under way are then ended and written down."""
    from bedside.phone.serving import WaysIn, read_sip

    ways = WaysIn(read_sip(sip) if sip else None, audiosocket, media_streams, host)
    line = _line(practice_file, release, data, database, voice, workers, limit)
    err.print(f"[dim]{NOTICE}")
    asyncio.run(_serve(line, ways))


async def _serve(line: Line, ways: WaysIn) -> None:
    from bedside.phone.serving import open_ways

    stop = asyncio.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    async with line:
        await line.render(_progress)
        async with open_ways(ways, line.switchboard) as opened:
            for way in opened:
                out.print(f"[bold]{escape(line.practice.name)}[/] answers {escape(way)}", highlight=False)
            await stop.wait()
    out.print(
        f"stopped after {line.switchboard.counts['admitted']} calls; {line.switchboard.counts['refused']} found no room", highlight=False
    )


@phone.command()
def simulate(
    practice_file: PracticeFile,
    release: Release = None,
    calls: Annotated[int, typer.Option(min=1, help="Calls; 128 are every caller with every errand.")] = 128,
    text: Annotated[bool, typer.Option("--text", help="The callers type: hundreds of calls in a minute, and no speech.")] = False,
    noise: Annotated[
        float | None, typer.Option(help="Background noise of every line, in dB below speech; quiet lines by default.", show_default=False)
    ] = None,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for the report and its recordings.")] = Path("simulated-calls"),
    voice: Voice = VoiceName.espeak,
    workers: Annotated[int | None, typer.Option(help="Processes that recognise speech; one for each core by default.")] = None,
) -> None:
    """Have invented callers ring a line of their own, and report who got what they rang for. The practice's diary is not touched."""
    import tempfile

    from bedside.phone.simulated.people import plans
    from bedside.phone.simulated.report import write_report
    from bedside.phone.simulated.scoring import summary

    with tempfile.TemporaryDirectory() as folder:
        line = _line(practice_file, release, Path(folder), "", voice, workers)
        err.print(f"[dim]{NOTICE}")
        rung = _simulated(line, plans(line.practice, calls), out_folder, text, noise)
    facts = {
        "Practice": line.practice.name,
        "Understanding": f"release {line.release[:12]}" if line.release else "the words of the menu",
        "Callers": "typed" if text else f"spoke over SIP, {'quiet lines' if noise is None else f'{noise:.0f} dB of noise'}",
    }
    write_report(out_folder / "report.html", rung, facts)
    figures = summary(rung)
    out.print(f"got what they rang for: {figures.done}", highlight=False)
    out.print(f"emergencies recognised: {figures.urgent}", highlight=False)
    for result in rung:
        if not result.done:
            out.print(f"  failed: {result.plan.number} {result.plan.persona.id}, {result.plan.errand.id}", highlight=False)
    err.print(f"next: open {escape(str(out_folder / 'report.html'))}, which lists every failure", highlight=False)


def _simulated(line: Line, wanted: list[Plan], folder: Path, text: bool, noise: float | None) -> list[Result]:
    from bedside.phone.simulated.run import by_text, by_voice

    (folder / "audio").mkdir(parents=True, exist_ok=True)
    return by_text(line, wanted, _calls_over) if text else asyncio.run(by_voice(line, wanted, folder, noise, _words_made, _calls_over))


@phone.command("load")
def measure_load(
    practice_file: PracticeFile,
    release: Release = None,
    calls: Annotated[str, typer.Option(help="Calls at once, step by step.")] = "1,4,8,16,32",
    seconds: Annotated[int, typer.Option(min=60, help="Length of each step; a call takes about 45 s.")] = 120,
    out_folder: Annotated[Path, typer.Option("--out", help="Folder for load.json and load.svg.")] = Path("phone-load"),
    voice: Voice = VoiceName.espeak,
    workers: Annotated[int | None, typer.Option(help="Processes that recognise speech; one for each core by default.")] = None,
) -> None:
    """Measure how many calls this machine holds: the wait for the first sound and the processor's share, by calls at once."""
    import tempfile

    from bedside.phone.simulated.load import write_load
    from bedside.phone.simulated.run import loaded

    steps = _steps(calls)
    with tempfile.TemporaryDirectory() as folder:
        line = _line(practice_file, release, Path(folder), "", voice, workers, max(steps))
        err.print(f"[dim]{NOTICE}")
        found = asyncio.run(loaded(line, steps, seconds, _step_over))
    write_load(out_folder, found)
    err.print(f"next: open {escape(str(out_folder / 'load.svg'))}", highlight=False)


def _steps(text: str) -> list[int]:
    try:
        steps = [int(part) for part in text.split(",")]
    except ValueError:
        steps = []
    if not steps or min(steps) < 1 or max(steps) > 500:
        raise typer.BadParameter(f"{text!r} is no list of calls at once, such as 1,8,32 (500 at most)", param_hint="--calls")
    return steps


def _calls_over(done: int, of: int) -> None:
    if done == of or done % 8 == 0:
        err.print(f"calls over: {done} of {of}", highlight=False)


def _words_made(done: int, of: int) -> None:
    if done == of or done % 20 == 0:
        err.print(f"callers' words ready: {done} of {of}", highlight=False)


def _step_over(step: Step) -> None:
    shares = ", ".join(f"{part} {share:.0f} %" for part, share in step.cpu.items())
    out.print(
        f"{step.calls} at once: {step.answered} of {step.made} calls answered; first sound after {step.wait_p50_s:.2f} s "
        f"(p95 {step.wait_p95_s:.2f} s), {step.unanswered} not answered; of one core: {shares}",
        highlight=False,
    )


@practice.command()
def check(file: Annotated[Path, typer.Argument(help="Practice file.", show_default=False)]) -> None:
    """Check a practice file, and that every sentence of the line can be said with it; faults come with their lines."""
    import datetime as dt

    from bedside.phone.line import fixed_sentences
    from bedside.phone.practice import read_practice

    read = read_practice(existing(file))
    sentences = list(fixed_sentences(read, dt.datetime.now(read.zone).date()))
    people, kinds = len(read.practitioners), len(read.appointment_types)
    out.print(
        f"{escape(read.name)}: {people} practitioners, {kinds} appointment types, {len(sentences)} sentences: no faults", highlight=False
    )
    err.print(f"next: bedside call --practice {escape(str(file))} --text", highlight=False)


@practice.command()
def load(
    practice_file: Annotated[Path, typer.Argument(metavar="FILE", help="Practice file.", show_default=False)],
    resources: Annotated[
        Path, typer.Argument(help="FHIR R4 bundle or NDJSON with Patient, Practitioner, Schedule and Slot.", show_default=False)
    ],
    data: Data = _FOLDER,
    database: DatabaseUrl = "",
) -> None:
    """Load patients and diaries from FHIR into the line's database."""
    from bedside.phone.fhir import import_resources, read_resources

    line = _line(practice_file, None, data, database, VoiceName.espeak)
    imported = import_resources(line.database, line.practice, read_resources(existing(resources)))
    out.print(f"loaded {escape(str(imported))}", highlight=False)


@audit.command()
def verify(folder: Annotated[Path, typer.Argument(help="Folder of the log, such as phone-data/audit.", show_default=False)]) -> None:
    """Check every entry, the chain of hashes and the seals of an audit log."""
    from bedside.workspace.audit import AuditError, AuditLog

    if not (folder / "key").is_file():
        raise AuditError(f"{str(folder)!r} is no audit log", "Give the folder audit under --data of the line")
    found = AuditLog(folder).verify()
    if found.broken is not None:
        raise AuditError(
            f"the log is whole up to entry {found.head.seq}: {found.broken}", "Keep the folder as it is, and compare it with a backup"
        )
    out.print(f"{found.entries} entries are whole and in order; the last is {found.head.seq} with hash {found.head.hash}", highlight=False)
    if found.unfinished:
        out.print(f"{found.unfinished} bytes at the end were never acknowledged", highlight=False)
    err.print("next: keep that hash in another place; only it shows whether the end was cut off", highlight=False)


def _line(
    practice_file: Path,
    release: Path | None,
    data: Path,
    database: str,
    voice: VoiceName,
    workers: int | None = None,
    limit: int = 32,
) -> Line:
    from bedside.phone.call.menu import understand_by_words
    from bedside.phone.line import Line, LineSettings, understanding_of
    from bedside.phone.practice import read_practice

    settings = LineSettings(data, database, voice.value, workers, limit)
    read = read_practice(existing(practice_file))
    if release is None:
        err.print("no --release: the line understands the words of the menu only", highlight=False)
        return Line(read, settings, understand_by_words)
    from bedside.cli.shared import open_release

    share_processor()
    engine = open_release(release)
    return Line(read, settings, understanding_of(engine), engine.contract.hash)


def _progress(done: int, of: int) -> None:
    if done in (0, of) or done % 10 == 0:
        err.print(f"sentences ready: {done} of {of}", highlight=False)
