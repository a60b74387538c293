"""From sources to a release: fetch, run, look into what was made, evaluate, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from bedside.cli.shared import RecipeFile, ReleaseDir, Runs, Set, app, err, escape, open_release, out, recipe_at

PANEL = "Make a release"

recipes = typer.Typer(no_args_is_help=True, help="Check a recipe, or export its JSON Schema for editors.")
app.add_typer(recipes, name="recipe", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def fetch(
    recipe: Annotated[Path | None, typer.Argument(help="Recipe (YAML) whose base model to fetch.", show_default=False)] = None,
    changes: Set = None,
    phone: Annotated[bool, typer.Option("--phone", help="Fetch the weights of the phone line: voice activity, speech, voices.")] = False,
) -> None:
    """Fetch weights: the only command that uses the network."""
    import os

    for switch in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.pop(switch, None)
    if recipe is None and not phone:
        raise typer.BadParameter("give a recipe, --phone, or both")
    if phone:
        from bedside.phone.speech.weights import PHONE
        from bedside.workspace.fetch import fetch_asset

        for asset in PHONE:
            out.print(f"{asset.name} lies at {fetch_asset(asset)}", highlight=False)
    if recipe is not None:
        from bedside.workspace.fetch import fetch as fetch_base

        spec = recipe_at(recipe, changes).base
        out.print(f"base model {spec.source} lies at {fetch_base(spec)}", highlight=False)
        out.print(f"Next: bedside run {recipe}", highlight=False)


@app.command(rich_help_panel=PANEL)
def run(recipe: RecipeFile, changes: Set = None, runs: Runs = Path("runs")) -> None:
    """Run a recipe from its sources to a verified release; finished stages are kept."""
    from bedside.pipeline import Pipeline
    from bedside.releasing import USAGE
    from bedside.workspace.run import Run

    loaded = recipe_at(recipe, changes)
    folder = Pipeline(loaded, recipe.parent, Run(runs / loaded.name), out).all()
    out.print(f"\nrelease: {folder}", highlight=False)
    if (folder / "evaluation.html").is_file():
        out.print(f"report:  {folder / 'evaluation.html'}", highlight=False)
    out.print(f"Next: {USAGE[loaded.purpose].format(release=folder)}", highlight=False)
    if loaded.purpose == "reports":
        out.print(f"      bedside reports evaluate --release {folder}", highlight=False)


@app.command(rich_help_panel=PANEL)
def curate(recipe: RecipeFile, changes: Set = None, runs: Runs = Path("runs")) -> None:
    """Run only the corpus stage of a recipe."""
    from bedside.pipeline import Pipeline
    from bedside.workspace.run import Run

    loaded = recipe_at(recipe, changes)
    result = Pipeline(loaded, recipe.parent, Run(runs / loaded.name), out).curate()
    table = Table("source / split", "records", title="corpus")
    for name, number in result.facts["records"].items():
        table.add_row(name, str(number))
    for reason, number in result.facts["dropped"].items():
        table.add_row(f"[dim]ledger: {reason}", str(number))
    out.print(table)
    out.print(f"Next: bedside data show {runs / loaded.name}, then bedside run {recipe}", highlight=False)


@app.command(rich_help_panel=PANEL)
def show(run_folder: Annotated[Path, typer.Argument(help="Run folder, such as runs/clinic-line.", show_default=False)]) -> None:
    """Print a run's lineage: each stage, what it read and wrote, and how long it took."""
    from bedside.workspace.run import Run

    for manifest in Run(run_folder).lineage():
        out.print(f"[bold]{manifest['stage']}[/]  {manifest['finished']}  {manifest['seconds']:.1f} s", highlight=False)
        for verb, files in (("read", manifest["reads"]), ("wrote", manifest["wrote"])):
            for name, digest in files.items():
                out.print(f"  {verb:5} {digest[:12]}  {escape(name)}", highlight=False)


@app.command(rich_help_panel=PANEL)
def readers() -> None:
    """List the readers of sources, installed plug-ins included."""
    from bedside.corpus.sources import known_readers

    for name in known_readers():
        out.print(name, highlight=False)


@recipes.command("check")
def recipe_check(recipe: RecipeFile, changes: Set = None) -> None:
    """Check a recipe; all faults are shown at once with their lines."""
    loaded = recipe_at(recipe, changes)
    out.print(
        f"{recipe}: {loaded.name}, {len(loaded.corpus.sources)} sources, {len(loaded.training.stages)} training stages, release as {loaded.release.quantisation}",
        highlight=False,
    )


@recipes.command("schema")
def recipe_schema_command() -> None:
    """Print the JSON Schema of recipes, for editors."""
    from bedside.recipe import recipe_schema

    print(json.dumps(recipe_schema(), indent=2))


@app.command(rich_help_panel=PANEL)
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
    answers = ask_engine(open_release(release), turns, label="asking", console=err)
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


@app.command(rich_help_panel=PANEL)
def verify(
    release: Annotated[Path, typer.Argument(help="Release folder.", show_default=False)],
    public_key: Annotated[
        Path | None, typer.Option("--public-key", help="The owner's public key; yours by default, if you have one.", show_default=False)
    ] = None,
) -> None:
    """Check every byte of a release: against the owner's signature where there is a key, against its manifest in any case."""
    from bedside.release import check_release, key_pair, signed_by
    from bedside.release.bom import BOM

    own = key_pair().public
    key = public_key or (own if own.is_file() and signed_by(release) else None)
    with err.status("checking every byte"):
        checked = check_release(release, key)
    manifest, signer = checked.release.manifest, signed_by(release)
    out.print(f"{release}: whole; {len(manifest.files)} files, contract {manifest.contract[:12]}", highlight=False)
    if checked.signer:
        out.print(f"signature: valid, by key {checked.signer[:16]} ({key})", highlight=False)
    elif signer:
        out.print(f"[yellow]signature: not checked[/]; it names key {escape(signer[:16])}. Next: give --public-key", highlight=False)
    else:
        out.print(
            "[yellow]signature: none[/]; whoever can write the folder can change it unseen. Next: bedside release sign", highlight=False
        )
    if BOM not in manifest.files:
        out.print("[yellow]bill of materials: none[/]; the release was built by an older bedside", highlight=False)


@app.command(rich_help_panel=PANEL)
def demo(
    recipe: Annotated[Path, typer.Argument(help="Recipe.")] = Path("recipes/clinic-line.yaml"),
    calls: Annotated[Path, typer.Option(help="Caller turns to try, one a line.")] = Path("data/demo-calls.txt"),
    changes: Set = None,
    runs: Runs = Path("runs"),
) -> None:
    """The whole way on this machine: fetch, curate, train, evaluate, release, and show the release at work."""
    from bedside.demo import run_demo

    fetch(recipe, changes)
    run_demo(recipe_at(recipe, changes), recipe.parent, calls, runs, out)
