"""What can be done with an organisation's data before anything is trained on it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bedside.cli.shared import app, err, escape, out

if TYPE_CHECKING:
    from bedside.workspace.ledger import DropLedger

PANEL = "Prepare data"


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


def _show(ledger: DropLedger) -> None:
    for entry in ledger.entries:
        if entry.action == "dropped":
            err.print(f"[yellow]left out:[/] {escape(entry.where)}: {entry.reason} {escape(entry.detail)}", highlight=False)
    for reason, number in ledger.counts().items():
        err.print(f"[dim]{reason}: {number}", highlight=False)
