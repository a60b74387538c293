"""The command line: each command is a thin wrapper over a library function."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from bedside import __version__
from bedside.errors import BedsideError
from bedside.offline import stay_offline

if TYPE_CHECKING:
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.recipe import Recipe

NOTICE = "Not a medical device. Not for clinical use without validation."

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=f"Turn your organisation's own medical conversations into a small language model that you own.\n\n{NOTICE}",
)
recipes = typer.Typer(no_args_is_help=True, help="Check a recipe, or export its JSON Schema for editors.")
app.add_typer(recipes, name="recipe")

out = Console(stderr=False, soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

RecipeFile = Annotated[Path, typer.Argument(help="Recipe, such as recipes/clinic-line.yaml.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=VALUE", help="Change one setting of the recipe; may be repeated.")]
Runs = Annotated[Path, typer.Option(help="Folder that holds the run folders.")]
ReleaseDir = Annotated[Path, typer.Option("--release", help="Release folder, such as runs/clinic-line/release.", show_default=False)]
Threads = Annotated[int | None, typer.Option(help="Processor threads; all cores by default.")]


def main() -> None:
    """Run the command line; faults that a user can mend end in one sentence and exit code 2, internal ones in a traceback and 1."""
    stay_offline()
    try:
        app(standalone_mode=True)
    except BedsideError as error:
        err.print(f"[bold red]error:[/] {_escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped; run the same command again to go on where it was")
        sys.exit(130)


def _escape(text: str) -> str:
    return text.replace("[", r"\[")


def _version(wanted: bool) -> None:
    if wanted:
        out.print(f"bedside {__version__}", highlight=False)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")] = False,
) -> None:
    pass


def _recipe(path: Path, changes: list[str] | None) -> Recipe:
    from bedside.recipe import load_recipe

    return load_recipe(path, changes or ())


@app.command()
def fetch(recipe: RecipeFile, changes: Set = None) -> None:
    """Fetch a recipe's base model: the only command that uses the network."""
    import os

    from bedside.workspace.fetch import fetch as fetch_base

    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(switch, None)
    spec = _recipe(recipe, changes).base
    out.print(f"base model {spec.source} lies at {fetch_base(spec)}", highlight=False)
    out.print(f"Next: bedside run {recipe}", highlight=False)


@app.command()
def run(recipe: RecipeFile, changes: Set = None, runs: Runs = Path("runs")) -> None:
    """Run a recipe from its sources to a verified release; finished stages are kept."""
    from bedside.pipeline import Pipeline
    from bedside.workspace.run import Run

    loaded = _recipe(recipe, changes)
    folder = Pipeline(loaded, recipe.parent, Run(runs / loaded.name), out).all()
    out.print(f"\nrelease: {folder}\nreport:  {folder / 'evaluation.html'}", highlight=False)
    verb = "understand" if loaded.task == "understand" else "ask"
    out.print(f'Next: bedside {verb} --release {folder} "can I get in with Dr Nguyen this arvo"', highlight=False)


@app.command()
def curate(recipe: RecipeFile, changes: Set = None, runs: Runs = Path("runs")) -> None:
    """Run only the corpus stage of a recipe."""
    from bedside.pipeline import Pipeline
    from bedside.workspace.run import Run

    loaded = _recipe(recipe, changes)
    result = Pipeline(loaded, recipe.parent, Run(runs / loaded.name), out).curate()
    table = Table("source / split", "records", title="corpus")
    for name, number in result.facts["records"].items():
        table.add_row(name, str(number))
    for reason, number in result.facts["dropped"].items():
        table.add_row(f"[dim]ledger: {reason}", str(number))
    out.print(table)
    out.print(f"Next: bedside run {recipe}", highlight=False)


@app.command()
def show(run_folder: Annotated[Path, typer.Argument(help="Run folder, such as runs/clinic-line.", show_default=False)]) -> None:
    """Print a run's lineage: each stage, what it read and wrote, and how long it took."""
    from bedside.workspace.run import Run

    for manifest in Run(run_folder).lineage():
        out.print(f"[bold]{manifest['stage']}[/]  {manifest['finished']}  {manifest['seconds']:.1f} s", highlight=False)
        for verb, files in (("read", manifest["reads"]), ("wrote", manifest["wrote"])):
            for name, digest in files.items():
                out.print(f"  {verb:5} {digest[:12]}  {_escape(name)}", highlight=False)


@app.command()
def readers() -> None:
    """List the readers of sources, installed plug-ins included."""
    from bedside.corpus.sources import known_readers

    for name in known_readers():
        out.print(name, highlight=False)


@app.command()
def intents() -> None:
    """List every intent with its meaning and border."""
    from bedside.knowledge.intents import catalogue

    table = Table("intent", "when", "not")
    for kind in catalogue().intents:
        table.add_row(kind.id, kind.meaning, kind.border)
    out.print(table)


@recipes.command("check")
def recipe_check(recipe: RecipeFile, changes: Set = None) -> None:
    """Check a recipe; all faults are shown at once with their lines."""
    loaded = _recipe(recipe, changes)
    out.print(
        f"{recipe}: {loaded.name}, {len(loaded.corpus.sources)} sources, {len(loaded.training.stages)} training stages, release as {loaded.release.quantisation}",
        highlight=False,
    )


@recipes.command("schema")
def recipe_schema_command() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from bedside.recipe import recipe_schema

    print(json.dumps(recipe_schema(), indent=2))


def _open(release: Path, threads: int | None = None) -> LlamaCppEngine:
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.release import load_release

    loaded = load_release(release)
    return LlamaCppEngine(loaded.model, loaded.contract, threads=threads)


def _jsonl(needed: str) -> Iterator[dict[str, Any]]:
    from bedside.errors import SourceError

    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceError(
                f"standard input line {number} is no JSON ({error})", f'Give lines such as {{"id": "1", "{needed}": "…"}}'
            ) from error
        if not isinstance(row, dict) or not isinstance(row.get(needed), str) or "id" not in row:
            raise SourceError(
                f"standard input line {number} lacks `id` or the text field `{needed}`",
                f'Give lines such as {{"id": "1", "{needed}": "…"}}',
            )
        yield row


@app.command()
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

    if (text is None) is not jsonl:
        raise typer.BadParameter("give a caller's turn, or --jsonl and lines on standard input")
    engine = _open(release, threads)
    if jsonl:
        for row in _jsonl("text"):
            print(json.dumps(as_json(row["id"], classify(engine, row["text"])), ensure_ascii=False), flush=True)
        return
    understanding = classify(engine, text or "")
    for intent in understanding.intents:
        out.print(f"[bold]{intent.name}[/]  {intent.p:.2f}", highlight=False)
    if not understanding.intents:
        out.print("[bold]no intent[/]: asks for nothing that a clinic does")
    for name, value in understanding.slots.items():
        out.print(f"  {name}: {_escape(value)}", highlight=False)
    out.print(f"  entropy {understanding.entropy:.2f} nats, {understanding.seconds * 1000:.0f} ms", highlight=False)
    for note in understanding.dropped:
        out.print(f"  [yellow]dropped:[/] {_escape(note)}", highlight=False)
    if understanding.truncated:
        out.print(f"  [yellow]not read:[/] the last {understanding.truncated} words", highlight=False)


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="The question.", show_default=False)],
    *,
    release: ReleaseDir,
    max_tokens: Annotated[int, typer.Option(help="Length of the answer.")] = 200,
    temperature: Annotated[float, typer.Option(help="0 gives the likeliest answer every time.")] = 0.0,
) -> None:
    """Ask a release a question; the answer is printed as it is made."""
    engine = _open(release)
    err.print(f"[dim]{NOTICE}")
    for piece in engine.stream(engine.contract.messages("answer", text), max_tokens=max_tokens, temperature=temperature):
        print(piece, end="", flush=True)
    print()


@app.command()
def evaluate(
    *,
    release: ReleaseDir,
    suite: Annotated[str, typer.Option(help="Built-in suite or a JSONL path.")] = "caller-turns",
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
    folder: Annotated[Path | None, typer.Option("--out", help="Folder for scores, samples and report.", show_default=False)] = None,
) -> None:
    """Measure a release on a suite, through the engine that serves it."""
    from bedside.evaluation.evaluate import SHIPPED, ask_engine, write_evaluation
    from bedside.evaluation.suites import load_suite
    from bedside.release import load_release

    loaded = load_release(release)
    turns = load_suite(suite)
    target = folder or Path("evaluations") / f"{loaded.manifest.name}-{Path(suite).stem}"
    answers = ask_engine(_open(release), turns, label="asking", console=err)
    hashes = {"model.gguf": loaded.manifest.files["model.gguf"].sha256, "contract": loaded.contract.hash}
    report = write_evaluation(
        target,
        f"{loaded.manifest.name} on {Path(suite).stem}",
        {SHIPPED: answers},
        turns,
        shipped=SHIPPED,
        extra={},
        hashes=hashes,
        resamples=2000,
        seed=0,
    )
    if as_json:
        print(json.dumps(report["systems"][SHIPPED] | {"counts": report["counts"], "wrong": None}, ensure_ascii=False))
        return
    for name, interval in report["systems"][SHIPPED]["metrics"].items():
        if interval["value"] is not None:
            out.print(f"{name:24} {interval['value']:.3f}  ({interval['low']:.3f} to {interval['high']:.3f})", highlight=False)
    out.print(f"report: {target / 'report.html'}", highlight=False)


@app.command()
def verify(release: Annotated[Path, typer.Argument(help="Release folder.", show_default=False)]) -> None:
    """Check every byte of a release against its manifest."""
    from bedside.release import verify_release

    checked = verify_release(release)
    out.print(f"{release}: whole; {len(checked.manifest.files)} files, contract {checked.contract.hash[:12]}", highlight=False)


@app.command()
def serve(
    *,
    release: ReleaseDir,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
) -> None:
    """Serve a release with an OpenAI-compatible API."""
    from bedside.server.app import serve as serve_engine

    serve_engine(_open(release), name=release.resolve().parent.name, host=host, port=port)


@app.command()
def demo(
    recipe: Annotated[Path, typer.Argument(help="Recipe.")] = Path("recipes/clinic-line.yaml"),
    calls: Annotated[Path, typer.Option(help="Caller turns to try, one a line.")] = Path("data/demo-calls.txt"),
    changes: Set = None,
    runs: Runs = Path("runs"),
) -> None:
    """The whole way on this machine: fetch, curate, train, evaluate, release, and show the release at work."""
    from bedside.demo import run_demo

    fetch(recipe, changes)
    run_demo(_recipe(recipe, changes), recipe.parent, calls, runs, out)


if __name__ == "__main__":
    main()
