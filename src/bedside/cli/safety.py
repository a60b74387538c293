"""The safety core, asked one input at a time or as a stream of JSON lines. No model is loaded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from bedside.cli.shared import NOTICE, app, either, err, escape, existing, out, write_jsonl
from bedside.errors import KnowledgeError

if TYPE_CHECKING:
    from bedside.knowledge.protocol import Protocol
    from bedside.safety.medicare import Tables

PANEL = "Safety, without a model"

knowledge = typer.Typer(no_args_is_help=True, help="Check, show and date the facts that decide safety.")
app.add_typer(knowledge, name="knowledge", rich_help_panel=PANEL)

Day = Annotated[
    datetime | None,
    typer.Option("--on", formats=["%Y-%m-%d"], help="Day that counts, such as 2027-01-01; today by default.", show_default=False),
]
ProtocolFile = Annotated[Path | None, typer.Option("--protocol", help="The practice's own protocol file.", show_default=False)]
Jsonl = Annotated[bool, typer.Option("--jsonl", help="Read lines of JSON from standard input and write one line for each.")]


def _day(given: datetime | None) -> date:
    return given.date() if given else date.today()


def _overlay(path: Path | None) -> Protocol | None:
    from bedside.knowledge.protocol import load_protocol

    return load_protocol(existing(path)) if path else None


@app.command(rich_help_panel=PANEL)
def triage(
    text: Annotated[str | None, typer.Argument(help="A caller's turn.", show_default=False)] = None,
    jsonl: Jsonl = False,
    protocol: ProtocolFile = None,
    on: Day = None,
) -> None:
    """Where the practice's protocol sends a caller, and the words that decided it."""
    from bedside.knowledge.dispositions import disposition
    from bedside.safety.rows import decided, triage_row
    from bedside.safety.triage import triage as ask_protocol

    either(text is not None, jsonl, "a caller's turn")
    overlay, day = _overlay(protocol), _day(on)

    def answer(row: Mapping[str, Any]) -> dict[str, Any]:
        found = ask_protocol(row["text"], day=day, protocol=overlay)
        return triage_row(found, decided(found, overlay, day).disposition)

    if jsonl:
        write_jsonl(answer, "text")
        return
    found = ask_protocol(text or "", day=day, protocol=overlay)
    decision = decided(found, overlay, day)
    place = disposition(decision.disposition)
    out.print(f"[bold]{place.id}[/]  {place.action}", highlight=False)
    for flag in found.red_flags:
        out.print(f"  {flag.id} → {flag.disposition}: {escape(' … '.join(flag.evidence))}", highlight=False)
    for reason in decision.because:
        if reason.note:
            out.print(f"  [yellow]{reason.who} → {reason.disposition}: {escape(reason.note)}", highlight=False)
    for question in found.ask:
        out.print(f"  ask: {question}", highlight=False)
    for change in overlay.lowered if overlay else ():
        out.print(f"  [yellow]lowered by the practice: {escape(change.describe(day))}", highlight=False)
    err.print(f"[dim]{NOTICE}")


@app.command(rich_help_panel=PANEL)
def medicines(
    text: Annotated[str | None, typer.Argument(help="What somebody said.", show_default=False)] = None, jsonl: Jsonl = False
) -> None:
    """The medicines somebody names: brand, generic, slang, misspelt or misheard."""
    from bedside.safety.medicines import as_rows, recognise

    either(text is not None, jsonl, "what somebody said")
    if jsonl:
        write_jsonl(lambda row: {"medicines": as_rows(recognise(row["text"]))}, "text")
        return
    table = Table("said", "medicine", "known by", "confidence", "confirm with the caller")
    for mention in recognise(text or ""):
        means = " + ".join(mention.generics) or f"a {mention.class_id}"
        table.add_row(escape(mention.text), means, mention.by, f"{mention.confidence:.2f}", "yes" if mention.confirm else "no")
    out.print(table if table.row_count else "no medicine recognised")


@app.command(rich_help_panel=PANEL)
def interactions(
    first: Annotated[str | None, typer.Argument(help="A medicine: brand, generic or class.", show_default=False)] = None,
    second: Annotated[str | None, typer.Argument(help="The other one.", show_default=False)] = None,
    jsonl: Jsonl = False,
    tables: Annotated[list[Path] | None, typer.Option("--table", help="Table that `bedside knowledge import-interactions` wrote.")] = None,
) -> None:
    """What is known of two medicines taken together. An unknown medicine is never called safe."""
    from bedside.safety.importers import load_table
    from bedside.safety.interactions import check
    from bedside.safety.rows import interaction_row

    either(first is not None and second is not None, jsonl, "two medicines")
    imported = [load_table(existing(path)) for path in tables or ()]
    if jsonl:
        write_jsonl(lambda row: interaction_row(check(row["a"], row["b"], tables=imported)), "a", "b")
        return
    found = check(first or "", second or "", tables=imported)
    out.print(f"[bold]{found.severity}[/]", highlight=False)
    for reason in found.rules:
        out.print(f"  {reason.rule} ({reason.severity}): {reason.mechanism}; {reason.effect}", highlight=False)
        out.print(f"    [dim]{escape(reason.source)}, certainty {reason.certainty}", highlight=False)
    err.print(f"[dim]For the doctor or pharmacist to check; it advises nobody. {NOTICE}")


@app.command(rich_help_panel=PANEL)
def medicare(
    check: Annotated[
        str | None, typer.Argument(help="Check, such as telehealth_ok; without one they are listed.", show_default=False)
    ] = None,
    facts: Annotated[list[str] | None, typer.Argument(help="Facts as NAME=VALUE.", show_default=False)] = None,
    jsonl: Jsonl = False,
    mbs: Annotated[Path | None, typer.Option(help="Table that `bedside knowledge import-mbs` wrote.", show_default=False)] = None,
    pbs: Annotated[
        Path | None,
        typer.Option(help="items.csv of the PBS API, its name beginning with its month, as 2026-03-01-.", show_default=False),
    ] = None,
) -> None:
    """Medicare and PBS rules by date of service: yes, no or unknown, with the rule and its source."""
    from bedside.safety.medicare import CHECKS, Tables, run_check

    tables = Tables(mbs=existing(mbs) if mbs else None, pbs=existing(pbs) if pbs else None)
    if jsonl:
        write_jsonl(lambda row: _checked(row["check"], row.get("facts") or {}, tables), "check")
        return
    if check is None:
        table = Table("check", "facts")
        for name, one in CHECKS.items():
            table.add_row(name, ", ".join(one.facts.model_fields))
        out.print(table)
        out.print("Next: bedside medicare telehealth_ok date=2026-11-22 mode=phone level=B last_face_to_face=2026-03-01", highlight=False)
        return
    answer = run_check(check, dict(_fact(part) for part in facts or ()), tables)
    out.print(f"[bold]{answer.answer}[/]" + (f"  {answer.value}" if answer.value is not None else ""), highlight=False)
    out.print(f"  {escape(answer.because)}\n  [dim]{answer.rule}: {escape(answer.source)}", highlight=False)
    if answer.missing:
        out.print(f"  it depends on {', '.join(answer.missing)}", highlight=False)


def _checked(name: str, facts: Any, tables: Tables) -> dict[str, Any]:
    """The answer for one line; what cannot be read is unknown, says why, and does not stop the lines after it."""
    from bedside.safety.medicare import run_check

    try:
        return run_check(name, facts, tables).model_dump(mode="json")
    except KnowledgeError as error:
        return {"answer": "unknown", "rule": None, "source": None, "because": str(error)}


def _fact(part: str) -> tuple[str, Any]:
    name, equals, value = part.partition("=")
    if not equals:
        raise typer.BadParameter(f"{part!r} is no NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@knowledge.command("check")
def knowledge_check(protocol: ProtocolFile = None, on: Day = None) -> None:
    """Expired, unreviewed or contradicting facts, dead references, faulty files. Exit code 2 where a fact cannot be used."""
    from bedside.knowledge.store import check

    findings = check(_day(on), _overlay(protocol))
    for finding in findings:
        if finding.kind != "unreviewed":
            out.print(
                f"{'[red]' if finding.is_error else '[yellow]'}{finding.kind}[/]  {finding.id}: {escape(finding.problem)}", highlight=False
            )
    counts = Counter(finding.kind for finding in findings)
    out.print(", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "nothing to mend", highlight=False)
    if any(finding.is_error for finding in findings):
        raise KnowledgeError("some facts cannot be used", "Mend the red lines above")


@knowledge.command("show")
def knowledge_show(
    fact: Annotated[str, typer.Argument(help="Id of a fact, such as RF01.", show_default=False)], protocol: ProtocolFile = None
) -> None:
    """A fact in all its values, with its source, certainty and review."""
    from bedside.knowledge.store import show

    for found in show(fact, _overlay(protocol)):
        for name, value in found.model_dump(mode="json", exclude_defaults=True).items():
            out.print(
                f"[bold]{name}[/]: {escape(json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value)}",
                highlight=False,
            )
        out.print("not reviewed by a clinician yet" if found.reviewed_by is None else f"reviewed by {found.reviewed_by}", highlight=False)


@knowledge.command("changes")
def knowledge_changes(
    first: Annotated[datetime, typer.Argument(formats=["%Y-%m-%d"], help="Day, such as 2027-01-01.", show_default=False)],
    last: Annotated[datetime | None, typer.Argument(formats=["%Y-%m-%d"], help="Last day of a stretch.", show_default=False)] = None,
    protocol: ProtocolFile = None,
) -> None:
    """What begins and what ends to hold on a day, or from one day to another."""
    from bedside.knowledge.store import changes_between

    changes = changes_between(first.date(), (last or first).date(), _overlay(protocol))
    for change in changes:
        out.print(f"{change.day}  {change.kind}  [bold]{change.fact.id}[/]  [dim]{escape(change.fact.source)}", highlight=False)
    if not changes:
        out.print("nothing changes", highlight=False)


@knowledge.command("import-mbs")
def knowledge_import_mbs(
    source: Annotated[Path, typer.Argument(help="MBS schedule as downloaded, XML or CSV.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Your own folder for imported tables.", show_default=False)],
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day of the schedule.", show_default=False)] = None,
) -> None:
    """Import the official MBS schedule into a folder of your own; item dates and fees are then answered from it."""
    from bedside.knowledge.mbs_import import import_schedule

    report = import_schedule(existing(source), folder, day.date() if day else None)
    _print_refused(report.refused, report.named)
    out.print(f"{report.items} items of the schedule of {report.schedule} are in {report.table}", highlight=False)
    out.print(f"Next: bedside medicare item_active item=23 date={report.schedule} --mbs {report.table}", highlight=False)


@knowledge.command("import-interactions")
def knowledge_import_interactions(
    source: Annotated[Path, typer.Argument(help="Interaction table.", show_default=False)],
    table: Annotated[Path, typer.Argument(help="JSONL file to write, in a folder of your own.", show_default=False)],
    licence: Annotated[str, typer.Option(help="The terms under which you hold it; kept beside the table.", show_default=False)],
) -> None:
    """Import an interaction table that you have a licence for: ANSM thesaurus, DDInter or CRESCENDDI."""
    from bedside.safety.importers import import_table

    report = import_table(existing(source), table, licence=licence)
    _print_refused(len(report.bad), report.bad[:10])
    for name, number in list(report.unmatched.items())[:10]:
        out.print(f"  [yellow]no medicine of ours:[/] {escape(name)} ({number} rows)", highlight=False)
    if len(report.unmatched) > 10:
        out.print(f"  and {len(report.unmatched) - 10} more names", highlight=False)
    out.print(f"{report.rows} rows ({report.layout}) gave {report.pairs} pairs in {table}", highlight=False)
    out.print(f"Next: bedside interactions warfarin ibuprofen --table {table}", highlight=False)


def _print_refused(number: int, named: Sequence[str]) -> None:
    for line in named:
        out.print(f"  [yellow]refused:[/] {escape(line)}", highlight=False)
    if number > len(named):
        out.print(f"  and {number - len(named)} more rows", highlight=False)
