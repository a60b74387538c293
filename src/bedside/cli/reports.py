"""Read what a device or laboratory reported, beside the patient's record: one file, a watched folder, or a feed by MLLP."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bedside.cli.shared import NOTICE, Threads, app, err, escape, existing, open_release, out

if TYPE_CHECKING:
    from bedside.engine.base import Engine
    from bedside.reports.feed.mllp import Door
    from bedside.reports.feed.records import Records
    from bedside.reports.feed.store import Store
    from bedside.reports.feed.worker import Work

PANEL = "Diagnostic reports"

reports = typer.Typer(no_args_is_help=True, help="Take reports from a feed, and measure a release that words their summaries.")
app.add_typer(reports, name="reports", rich_help_panel=PANEL)

Patients = Annotated[
    Path | None,
    typer.Option("--patients", help="Folder of the patients' records, found by IHI, or by name and birth date.", show_default=False),
]
Summaries = Annotated[
    Path | None, typer.Option("--release", help="Release whose model words the summary; a template does without.", show_default=False)
]
Data = Annotated[Path, typer.Option("--data", help="Folder of the queue. It holds patients' data: keep it on an encrypted disk.")]
_DATA, _OUT = Path("report-feed"), Path("report-results")


@app.command(rich_help_panel=PANEL)
def report(
    file: Annotated[
        Path | None,
        typer.Argument(help="Report: HL7 v2, FHIR, GDT, DICOM, SCP-ECG, aECG, WFDB, CSV, XLSX, text, PDF.", show_default=False),
    ] = None,
    patient: Annotated[
        Path | None, typer.Option("--patient", help="The patient's record: a FHIR bundle or YAML.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write findings, notes, quality, missing facts and summary as JSON.")] = False,
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained page with plots here.", show_default=False)] = None,
    fhir: Annotated[
        Path | None,
        typer.Option("--fhir", help="Write each note as a preliminary FHIR Observation with its Provenance here.", show_default=False),
    ] = None,
    ask: Annotated[str | None, typer.Option("--ask", help="Answer a question about the report, with pointers.", show_default=False)] = None,
    release: Summaries = None,
    watch: Annotated[
        Path | None, typer.Option("--watch", help="Note every report that comes into this folder, until Ctrl-C.", show_default=False)
    ] = None,
    results: Annotated[
        Path | None, typer.Option("--out", help="With --watch: folder of the results; beside the reports without it.", show_default=False)
    ] = None,
    patients: Patients = None,
    threads: Threads = None,
) -> None:
    """Keep what a device states, and add what the patient's record changes about it, each line with its source. For clinicians."""
    if (file is None) is (watch is None):
        raise typer.BadParameter("give the file of a report, or --watch FOLDER")
    engine = open_release(release, threads) if release else None
    if watch is not None:
        if patient or html or fhir or ask or as_json:
            raise typer.BadParameter("--watch goes with --out, --patients and --release alone; each report gets a JSON file and a page")
        _watch(watch, results or watch, patients, engine)
    elif file is not None:
        if results or patients:
            raise typer.BadParameter("--out and --patients go with --watch; give one report's record with --patient")
        _one(file, patient, engine, as_json=as_json, html=html, fhir=fhir, ask=ask)


def _one(
    file: Path, patient: Path | None, engine: Engine | None, *, as_json: bool, html: Path | None, fhir: Path | None, ask: str | None
) -> None:
    from bedside.reports import assistant
    from bedside.workspace.files import written_whole

    found = assistant.report(existing(file), existing(patient) if patient else None, engine=engine)
    if html:
        from bedside.reports.page import page
        from bedside.reports.plots import plots

        drawn = [plot for one in found.context.reports for plot in plots(one)]
        with written_whole(html) as partial:
            partial.write_text(page(found, drawn), encoding="utf-8")
    if fhir:
        from bedside.reports.fhir_out import bundle

        with written_whole(fhir) as partial:
            partial.write_text(json.dumps(bundle(found), ensure_ascii=False, indent=1), encoding="utf-8")
    if ask is not None:
        from bedside.reports.questions import answer

        out.print(answer(ask, found).text, highlight=False, markup=False)
    elif as_json:
        print(json.dumps(assistant.as_json(found), ensure_ascii=False))
    else:
        from bedside.reports.terminal import show

        show(found)
    for written in (html, fhir):
        if written:
            err.print(f"written: {written}", highlight=False)


def _watch(folder: Path, results: Path, patients: Path | None, engine: Engine | None) -> None:
    from bedside.reports.feed.desk import PAGE, REFUSED, Desk
    from bedside.reports.feed.folder import QUEUE, Folder
    from bedside.reports.feed.records import Records
    from bedside.reports.feed.store import Store

    store, records = Store(results / QUEUE), Records(patients)
    watched = Folder(folder, store, Desk(store, results, records, engine=engine, pages=True))
    err.print(f"[dim]{NOTICE}")
    _show_records(records, patients)
    err.print(f"watching {escape(str(folder))}; results go to {escape(str(results))}; Ctrl-C stops", highlight=False)
    stop = threading.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wanted, lambda *_: stop.set())
    for outcome in watched.watch(stop):
        name = escape(outcome.name)
        if outcome.refused:
            out.print(f"[red]refused[/] {name}: see {escape(str(folder / REFUSED))}", highlight=False)
        else:
            urgency = f", the most urgent {outcome.urgency.replace('_', ' ')}" if outcome.urgency else ""
            out.print(f"{name}: {outcome.notes} notes{urgency}; {name}{PAGE}", highlight=False)


@reports.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port for MLLP.")] = 2575,
    allow: Annotated[
        list[str] | None, typer.Option("--allow", help="Address or network that may send; may be repeated.", show_default=False)
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM).", show_default=False)] = None,
    key: Annotated[Path | None, typer.Option(help="Its key (PEM).", show_default=False)] = None,
    data: Data = _DATA,
    results: Annotated[Path, typer.Option("--out", help="Folder of the results: one JSON file a message, refused/ with reasons.")] = _OUT,
    patients: Patients = None,
    pages: Annotated[bool, typer.Option("--html", help="Write an HTML page beside each result.")] = False,
    release: Summaries = None,
    keep_days: Annotated[int, typer.Option(min=1, help="Days for which the content of noted messages is kept.")] = 90,
) -> None:
    """Take HL7 v2 results by MLLP until Ctrl-C; each is acknowledged once it is on the disk, and noted exactly once."""
    from bedside.reports.feed.mllp import make_door
    from bedside.reports.feed.records import Records
    from bedside.reports.feed.worker import Work

    door = make_door(host, port, allow or [], certificate, key)
    err.print(f"[dim]{NOTICE}")
    _show_records(Records(patients), patients)
    asyncio.run(_serve(door, Work(data, results, patients, release, pages, keep_days)))


async def _serve(door: Door, work: Work) -> None:
    from bedside.reports.feed.serving import serve as serve_feed

    stop = asyncio.Event()
    for wanted in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(wanted, stop.set)
    counts = await serve_feed(door, work, stop, lambda line: out.print(escape(line), highlight=False))
    out.print(f"stopped: {counts}", highlight=False)
    if counts.refused:
        err.print(f"next: bedside reports status --data {escape(str(work.data))}", highlight=False)


def _show_records(records: Records, folder: Path | None) -> None:
    if folder is None:
        err.print("no --patients: what a patient's record would decide is listed as missing", highlight=False)
        return
    err.print(f"{len(records):,} records in {escape(str(folder))}", highlight=False)
    for path, problem in list(records.unreadable.items())[:10]:
        err.print(f"[yellow]not read:[/] {escape(path.name)}: {escape(problem)}", highlight=False)
    if len(records.unreadable) > 10:
        err.print(f"[yellow]not read:[/] {len(records.unreadable) - 10} more", highlight=False)


@reports.command()
def status(data: Data = _DATA) -> None:
    """What a feed's queue holds, and why messages were refused."""
    store = _queue(data)
    out.print(str(store.counts()), highlight=False)
    for name, reason in store.refused():
        out.print(f"[red]refused[/] {escape(name)}: {escape(reason)}", highlight=False)
    if store.counts().refused:
        err.print("next: mend what the reason names, then bedside reports retry", highlight=False)


@reports.command()
def retry(data: Data = _DATA) -> None:
    """Let refused messages wait again; a running feed notes them at once."""
    number = _queue(data).retry()
    out.print(f"{number:,} messages wait again", highlight=False)
    err.print("next: bedside reports status", highlight=False)


def _queue(data: Path) -> Store:
    from bedside.errors import SourceError
    from bedside.reports.feed.store import Store
    from bedside.reports.feed.worker import QUEUE

    if not (data / QUEUE).is_file():
        raise SourceError(f"there is no queue in {str(data)!r}", "Give the --data folder of bedside reports serve")
    return Store(data / QUEUE, durable=False)


@reports.command()
def evaluate(
    release: Annotated[
        Path | None, typer.Option("--release", help="Release to measure; rules and template alone without one.", show_default=False)
    ] = None,
    suite: Annotated[
        Path | None, typer.Option("--suite", help="A suite of your own (YAML); the built-in one without.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for scores and every text that was judged.", show_default=False)
    ] = None,
    threads: Threads = None,
) -> None:
    """Measure notes and summaries on a suite: statements covered, unsupported sentences, context-note F1, numbers preserved."""
    from dataclasses import asdict

    from rich.progress import Progress
    from rich.table import Table

    from bedside.evaluation.scores import to_json
    from bedside.reports.evaluate import MEASURES, ask, load_suite, score
    from bedside.workspace.files import write_json, write_jsonl

    cases = load_suite(suite)
    engine = open_release(release, threads) if release else None
    with Progress(console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("reports", total=len(cases))
        judged = ask(cases, engine, lambda done: progress.update(task, completed=done))
    scores = {system: score(samples) for system, samples in judged.items()}
    if folder:
        write_json(folder / "scores.json", to_json(scores))
        for system, samples in judged.items():
            write_jsonl(folder / f"samples-{system}.jsonl", [asdict(sample) for sample in samples])
    if as_json:
        print(json.dumps(to_json(scores)))
        return
    table = Table(f"{len(cases)} reports", *scores)
    for measure in MEASURES:
        shown = [found[measure] for found in scores.values()]
        table.add_row(measure.replace("_", " "), *(f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})" for one in shown))
    out.print(table)
    if folder:
        err.print(f"written: {escape(str(folder))}", highlight=False)
    elif release is None:
        err.print("next: bedside run recipes/diagnostics.yaml, then --release runs/diagnostics/release", highlight=False)
