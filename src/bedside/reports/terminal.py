"""An assessment in the terminal."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from bedside.reports.assistant import DISCLAIMER, Assessment, as_json, missing_text
from bedside.reports.rules import Note

_STYLES = {"immediate": "bold white on red", "same_day": "bold red", "soon": "yellow", "routine": "cyan", "information": "dim"}


def render(found: Assessment) -> RenderableType:
    """An assessment for `Console.print`: quality first, then notes, findings and what is not known."""
    parts: list[RenderableType] = [Panel(Text(found.summary.text), title="Summary")]
    if found.quality:
        parts.append(_notes("How far this can be trusted", found.quality))
    told = [note for note in found.notes if note.kind != "abnormal"]
    if told:
        parts.append(_notes("Notes", told))
    parts.append(_findings(found))
    if found.missing:
        parts += [Text("Not known", style="bold"), *(Text(f"  {missing_text(one)['text']}", style="dim") for one in found.missing)]
    parts.append(Text(DISCLAIMER, style="italic"))
    return Group(*parts)


def show(found: Assessment, console: Console | None = None) -> None:
    """Print an assessment."""
    (console or Console()).print(render(found))


def _notes(title: str, notes: tuple[Note, ...] | list[Note]) -> Table:
    table = Table(title=title, title_justify="left", show_lines=True)
    for heading in ("Urgency", "Note", "Because", "Rule and source"):
        table.add_column(heading, overflow="fold")
    for note in notes:
        because = "\n".join(f"{reason.text} [{reason.source}]" for reason in note.because)
        urgency = Text(note.urgency.replace("_", " "), style=_STYLES[note.urgency])
        table.add_row(urgency, Text(note.text), Text(because), Text(f"{note.rule}\n{note.source} ({note.certainty})", style="dim"))
    return table


def _findings(found: Assessment) -> Table:
    table = Table(title="Findings, as reported", title_justify="left")
    for heading in ("Finding", "Range", "Flag", "Source"):
        table.add_column(heading, overflow="fold")
    for one in as_json(found)["findings"]:
        table.add_row(
            Text(one["text"]),
            Text(one["range"]),
            Text(one["flag"], style="bold red" if one["flag"] else ""),
            Text(one["source"], style="dim"),
        )
    return table
