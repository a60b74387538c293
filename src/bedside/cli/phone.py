"""The phone line: ring it in a terminal or with WAV files, bring it up, check a practice file and the audit log."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedside.cli.shared import NOTICE, app, err, escape, existing, out

if TYPE_CHECKING:
    from bedside.phone.call.text import Transcript
    from bedside.phone.line import Line
    from bedside.phone.serving import WaysIn

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
    """Ring the line without a telephone: by typing, or with recorded turns of 8 kHz."""
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
    write = (lambda said: None) if quiet else (lambda said: out.print(escape(said), highlight=False))
    desk = line.desk(uuid4().hex, caller)
    return text_call(Setting(line.practice, line.now, caller), desk, _typed_lines(), write, answered=answered, release=line.release)


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

    engine = open_release(release)
    return Line(read, settings, understanding_of(engine), engine.contract.hash)


def _progress(done: int, of: int) -> None:
    if done in (0, of) or done % 10 == 0:
        err.print(f"sentences ready: {done} of {of}", highlight=False)
