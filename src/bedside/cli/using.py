"""Ask a release: understand a caller, answer a question."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from bedside.cli.shared import NOTICE, ReleaseDir, Threads, app, either, err, escape, open_release, out, write_jsonl

PANEL = "Use a release"


@app.command(rich_help_panel=PANEL)
def intents() -> None:
    """List every intent with its meaning and border."""
    from bedside.knowledge.intents import catalogue

    table = Table("intent", "when", "not")
    for kind in catalogue().intents:
        table.add_row(kind.id, kind.meaning, kind.border)
    out.print(table)


@app.command(rich_help_panel=PANEL)
def understand(
    text: Annotated[str | None, typer.Argument(help="A caller's turn; read from standard input with --jsonl.", show_default=False)] = None,
    *,
    release: ReleaseDir,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help='Read lines {"id","text"} and write lines {"id","intents","slots","entropy"}.')
    ] = False,
    threads: Threads = None,
) -> None:
    """What a caller's turn means: intents with probabilities, slots, and how uncertain the model is."""
    from bedside.engine.understanding import as_json, classify

    either(text is not None, jsonl, "a caller's turn")
    engine = open_release(release, threads)
    if jsonl:
        write_jsonl(lambda row: as_json(classify(engine, row["text"])), "text")
        return
    understanding = classify(engine, text or "")
    for intent in understanding.intents:
        out.print(f"[bold]{intent.name}[/]  {intent.p:.2f}", highlight=False)
    if not understanding.intents:
        out.print("[bold]no intent[/]: asks for nothing that a clinic does")
    for name, value in understanding.slots.items():
        out.print(f"  {name}: {escape(value)}", highlight=False)
    for flag in understanding.red_flags:
        out.print(f"  [red]red flag[/] {flag}: emergency by the protocol, whatever the model says", highlight=False)
    out.print(f"  entropy {understanding.entropy:.2f} nats, {understanding.seconds * 1000:.0f} ms", highlight=False)
    for note in understanding.dropped:
        out.print(f"  [yellow]dropped:[/] {escape(note)}", highlight=False)
    if understanding.truncated:
        out.print(f"  [yellow]not read:[/] the last {understanding.truncated} words", highlight=False)


@app.command(rich_help_panel=PANEL)
def ask(
    text: Annotated[str, typer.Argument(help="The question.", show_default=False)],
    *,
    release: ReleaseDir,
    max_tokens: Annotated[int, typer.Option(help="Length of the answer.")] = 200,
    temperature: Annotated[float, typer.Option(help="0 gives the likeliest answer every time.")] = 0.0,
) -> None:
    """Ask a release a question; the answer is printed as it is made."""
    engine = open_release(release)
    err.print(f"[dim]{NOTICE}")
    for piece in engine.stream(engine.contract.messages("answer", text), max_tokens=max_tokens, temperature=temperature):
        print(piece, end="", flush=True)
    print()
