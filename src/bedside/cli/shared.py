"""What the commands share: the Typer app, its consoles, common options, and lines of JSON in and out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from bedside import __version__
from bedside.errors import BedsideError, SourceError
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
        err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        err.print("stopped; run the same command again to go on where it was")
        sys.exit(130)


def share_processor() -> None:
    """For a program that answers people beside others: let OpenMP's threads wait without spinning for long, unless the user chose otherwise.

    They spin for milliseconds by default, which a neighbour pays for (`bench/neighbours.py`); training alone on its machine gains by it. It has
    to be called before llama.cpp or torch is loaded. GOMP_SPINCOUNT is described in the manual of GCC's libgomp.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "100")


def escape(text: str) -> str:
    """Text as rich prints it unchanged."""
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


def recipe_at(path: Path, changes: list[str] | None) -> Recipe:
    """The recipe of a file with changes made to it."""
    from bedside.recipe import load_recipe

    return load_recipe(path, changes or ())


def open_release(release: Path, threads: int | None = None) -> LlamaCppEngine:
    """The engine over a release."""
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.release import load_release

    loaded = load_release(release)
    return LlamaCppEngine(loaded.model, loaded.contract, threads=threads)


def existing(path: Path) -> Path:
    """A file that a user named.

    Raises:
        SourceError: it is not there.
    """
    if not path.is_file():
        raise SourceError(f"there is no file {str(path)!r}", "Correct the path")
    return path


def either(given: bool, jsonl: bool, what: str) -> None:
    """Refuse a command that was given both an input and `--jsonl`, or neither."""
    if given is jsonl:
        raise typer.BadParameter(f"give {what}, or --jsonl and lines on standard input")


def read_jsonl(*texts: str) -> Iterator[dict[str, Any]]:
    """Lines of JSON on standard input, each with an `id` and the text fields `texts`.

    Raises:
        SourceError: a line is no JSON or lacks a field; its number is named.
    """
    example = json.dumps({"id": "1", **dict.fromkeys(texts, "…")}, ensure_ascii=False)
    for number, line in enumerate(sys.stdin, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SourceError(f"standard input line {number} is no JSON ({error})", f"Give lines such as {example}") from error
        lacking = [name for name in texts if not isinstance(row, dict) or not isinstance(row.get(name), str)]
        if lacking or "id" not in row:
            names = " and ".join(f"`{name}`" for name in lacking or ["id"])
            raise SourceError(f"standard input line {number} lacks {names}", f"Give lines such as {example}")
        yield row


def write_jsonl(answer: Callable[[dict[str, Any]], Mapping[str, Any]], *texts: str) -> None:
    """Answer each line of standard input with a line of JSON that begins with its id."""
    for row in read_jsonl(*texts):
        print(json.dumps({"id": row["id"], **answer(row)}, ensure_ascii=False), flush=True)
