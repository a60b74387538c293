"""What can be done with an organisation's data before anything is trained on it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from bedside.cli.shared import app, err, escape, out

if TYPE_CHECKING:
    from bedside.corpus.overview import ReasonLine
    from bedside.workspace.ledger import DropLedger

PANEL = "Prepare data"

data = typer.Typer(no_args_is_help=True, help="Look into the data that a run was made of.")
app.add_typer(data, name="data", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def deidentify(
    path: Annotated[Path | None, typer.Argument(help="File or folder: txt, md, csv, jsonl, docx, pdf.", show_default=False)] = None,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for the de-identified files.", show_default=False)] = None,
    jsonl: Annotated[
        bool,
        typer.Option("--jsonl", help='Read lines {"id","text"} and write lines {"id","text","spans"}, spans in the text as it came in.'),
    ] = False,
    surrogates: Annotated[bool, typer.Option("--surrogates", help="Invented values in place of [NAME] and the like.")] = False,
    seed: Annotated[int, typer.Option(help="Of the surrogates.")] = 0,
) -> None:
    """Take names, addresses, dates of birth, numbers and other identifiers out of texts. A person has to check the result."""
    from bedside.corpus.deidentify.files import Settings, deidentify_file, deidentify_lines
    from bedside.workspace.ledger import DropLedger

    settings, ledger = Settings("surrogates" if surrogates else "redact", seed), DropLedger()
    if jsonl:
        for line in deidentify_lines(sys.stdin, settings, ledger):
            print(line, end="", flush=True)
        _show(ledger)
        return
    if path is None or folder is None:
        raise typer.BadParameter("give a file or folder and --out FOLDER, or --jsonl and lines on standard input")
    columns = (TextColumn("de-identifying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        task = progress.add_task("files")
        counts = deidentify_file(path, folder, settings, ledger, lambda done, of: progress.update(task, completed=done, total=of))
    for kind, number in counts.items():
        out.print(f"{kind:20} {number}", highlight=False)
    _show(ledger)
    out.print(f"Next: read some of {folder}, and keep {folder / 'index.jsonl'} to yourself: it says which file is whose", highlight=False)


@data.command("show")
def data_show(
    run: Annotated[Path, typer.Argument(help="Run folder, such as runs/clinic-line.", show_default=False)],
    review: Annotated[int, typer.Option(help="Show so many of the records that wait for review.", min=0)] = 5,
) -> None:
    """Show what became of a run's data: read, kept, dropped and why, changed, and waiting for review."""
    from bedside.corpus.overview import overview

    found = overview(run)
    sources = Table("source", "licence", *(Column(name, justify="right") for name in ("read", "kept", "for review", "dropped")))
    for one in found.sources:
        numbers = (one.seen, one.kept, one.review, one.seen - one.kept - one.review)
        sources.add_row(escape(one.name), escape(one.licence), *(f"{number:,}" for number in numbers))
    out.print(sources)
    for name in found.missing:
        out.print(f"not there: {escape(name)} (optional)", highlight=False)
    shown = {
        "dropped": ("dropped", "truncated"),
        "for review": ("review",),
        "exempt from a rule": ("exempt",),
        "changed": ("changed", "masked"),
    }
    for title, actions in shown.items():
        lines = [line for line in found.reasons if line.action in actions]
        if lines:
            _reasons(f"{title}; a record may have several entries", lines)
    for row in found.review(review):
        words = "; ".join(f"{one['rule']}: {one['words']}" for one in row["found"])
        out.print(f"[yellow]for review:[/] {escape(row['source'])} {escape(row['where'])}  {escape(words)[:160]}", highlight=False)
    waiting = sum(one.review for one in found.sources)
    if waiting:
        out.print(f"Next: have a clinician read {found.folder / 'review.jsonl'} ({waiting:,} records); until then none of them is taught")
    else:
        out.print(f"Next: read {found.folder / 'README.md'}, then bedside run RECIPE", highlight=False)


def _reasons(title: str, lines: Sequence[ReasonLine]) -> None:
    table = Table("stage", "reason", Column("entries", justify="right"), "first", title=title, title_justify="left")
    for line in lines:
        table.add_row(line.stage, escape(line.reason), f"{line.entries:,}", escape(line.first))
    out.print(table)


def _show(ledger: DropLedger) -> None:
    for entry in ledger.entries:
        if entry.action == "dropped":
            err.print(f"[yellow]left out:[/] {escape(entry.where)}: {entry.reason} {escape(entry.detail)}", highlight=False)
    for reason, number in ledger.counts().items():
        err.print(f"[dim]{reason}: {number}", highlight=False)
