"""Answers from the organisation's own documents, with the passage that supports each statement."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from bedside.cli.shared import NOTICE, app, err, escape, open_release, out

if TYPE_CHECKING:
    from bedside.answers import Answer, Entry

PANEL = "Answers with sources"
_SHOWN = 20

answers = typer.Typer(no_args_is_help=True, help="Index your own documents and answer from them, with citations.")
app.add_typer(answers, name="answers", rich_help_panel=PANEL)

IndexFile = Annotated[Path, typer.Option("--index", help="Index that `bedside answers index` wrote.")]
WordsOnly = Annotated[
    bool, typer.Option("--words-only", help="Search by words alone: quicker, and finds no other words of the same meaning.")
]
DEFAULT = Path("answers.sqlite")


@answers.command("index")
def answers_index(
    folder: Annotated[Path, typer.Argument(help="Folder of documents: txt, md, html, pdf, docx.", show_default=False)],
    path: Annotated[Path, typer.Option("--out", help="Index to make or bring up to date.")] = DEFAULT,
    words_only: WordsOnly = False,
) -> None:
    """Make an index of a folder, or bring it up to date: only what is new or changed is read. Stopped, it goes on where it was."""
    from bedside.answers import entries, index_folder

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, disable=not err.is_terminal) as progress:
        tasks = {name: progress.add_task(name, total=None, visible=False) for name in ("reading", "embedding")}
        done = index_folder(
            folder,
            path,
            by_meaning=not words_only,
            progress=lambda name, so_far, of: progress.update(tasks[name], completed=so_far, total=of, visible=True),
        )
    _problems(entries(path))
    out.print(f"{done.added} added, {done.changed} changed, {done.unchanged} unchanged, {done.removed} removed", highlight=False)
    out.print(f"{done.left_out} left out; {done.passages:,} passages, {done.embedded:,} of them found by meaning too", highlight=False)
    if done.without_vectors:
        err.print(f"[yellow]found by words alone:[/] {escape(done.without_vectors)}", highlight=False)
    out.print(f'Next: bedside answers ask "When is the practice open?" --index {path}', highlight=False)


@answers.command("ask")
def answers_ask(
    text: Annotated[str, typer.Argument(help="The question.", show_default=False)],
    index: IndexFile = DEFAULT,
    release: Annotated[
        Path | None,
        typer.Option("--release", help="Release whose model words the answer; sentences are quoted without.", show_default=False),
    ] = None,
    protocol: Annotated[Path | None, typer.Option("--protocol", help="The practice's own protocol file.", show_default=False)] = None,
    words_only: WordsOnly = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write the answer and its citations as JSON.")] = False,
) -> None:
    """Answer a question from an index, or say that it is not in the sources."""
    from bedside.answers import Answers
    from bedside.cli.shared import existing
    from bedside.knowledge.protocol import load_protocol

    overlay = load_protocol(existing(protocol)) if protocol else None
    opened = Answers.open(index, by_meaning=not words_only)
    answer = opened.ask(text, open_release(release) if release else None, protocol=overlay)
    if as_json:
        print(json.dumps(asdict(answer), ensure_ascii=False))
        return
    _show(answer)
    err.print(f"[dim]{NOTICE}")


@answers.command("show")
def answers_show(index: IndexFile = DEFAULT) -> None:
    """List the documents of an index, and what could not be read."""
    from bedside.answers import entries

    found = entries(index)
    table = Table("document", "title", Column("passages", justify="right"))
    for entry in found:
        if entry.passages:
            table.add_row(escape(entry.source), escape(entry.title), f"{entry.passages:,}")
    out.print(table)
    _problems(found)
    out.print(f'Next: bedside answers ask "When is the practice open?" --index {index}', highlight=False)


def _show(answer: Answer) -> None:
    out.print(escape(answer.text), highlight=False)
    for number, one in enumerate(answer.citations, 1):
        place = ", ".join(filter(None, (one.source, f"page {one.page}" if one.page else "", one.heading)))
        out.print(f"\n  [bold]\\[{number}][/] {escape(place)}, characters {one.start} to {one.end}", highlight=False)
        words = f"“{escape(' '.join(one.quote.split()))}”" if one.quote else f"[yellow]not quoted ({one.withheld}): read it there"
        out.print(f"      {words}", highlight=False)
    if answer.removed:
        err.print(f"[yellow]removed:[/] {answer.removed} sentences of the model that the sources do not bear out", highlight=False)
    for note in filter(None, (answer.note, f"found by {answer.search}")):
        err.print(f"[dim]{escape(note)}", highlight=False)


def _problems(found: list[Entry]) -> None:
    """What could not be read: the first ones by name, all of them by number."""
    problems = [(entry.source, problem) for entry in found for problem in entry.problems]
    for source, problem in problems[:_SHOWN]:
        err.print(f"[yellow]{problem.reason}:[/] {escape(source)}: {escape(problem.detail)}", highlight=False)
    for reason, number in Counter(problem.reason for _, problem in problems).items():
        err.print(f"[dim]{reason}: {number}", highlight=False)
