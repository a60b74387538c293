"""The pages are true: generated ones are fresh, commands and links exist, recipes load, Python runs."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import sys
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from rich.console import Console

from bedside.cli import app
from bedside.corpus.sources import registry
from bedside.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
_BLOCK = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, its text and its line."""

    language: str
    marks: tuple[str, ...]
    text: str
    line: int

    @property
    def file(self) -> str | None:
        return next((mark.removeprefix("file=") for mark in self.marks if mark.startswith("file=")), None)


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [Block(m[2], tuple(m[3].split()), m[4], text[: m.start()].count("\n") + 2) for m in _BLOCK.finditer(text)]


def name_of(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


def commands(block: Block) -> Iterator[list[str]]:
    """Words of each simple command of a shell block, without `VAR=value` before it."""
    for line in block.text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();<>|&"):
                while words and re.fullmatch(r"\w+=.*", words[0]):
                    words.pop(0)
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def shell_commands() -> list[Any]:
    found = []
    for page in PAGES:
        for block in blocks(page):
            if block.language in {"bash", "sh", "shell", "console"}:
                for words in commands(block):
                    if Path(words[0]).name in {"bedside", "make"}:
                        found.append(pytest.param(words, id=f"{name_of(page)}:{block.line}:{' '.join(words)[:60]}"))
    return found


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_what_the_code_says() -> None:
    for path, text in generator().pages().items():
        assert path.read_text(encoding="utf-8") == text, f"{name_of(path)} is stale: run `python docs/generate.py`"


def test_the_command_page_shows_every_command_without_colours() -> None:
    page = generator().cli_page()
    assert "\x1b" not in page
    assert all(len(line) <= 120 for line in page.splitlines())
    assert {f"## bedside {name}" for name in typer.main.get_command(app).commands} <= set(page.splitlines())  # type: ignore[attr-defined]


@pytest.mark.parametrize("words", shell_commands())
def test_every_command_of_the_pages_exists_and_takes_its_options(words: list[str]) -> None:
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        for word in words[1:]:
            pattern = rf"^(export )?{re.escape(word.split('=')[0])} *\??=" if "=" in word else rf"^{re.escape(word)}:"
            assert re.search(pattern, makefile, re.MULTILINE), f"the Makefile has no {word!r}"
        return
    command: Any = typer.main.get_command(app)
    context, rest, path = None, words[1:], "bedside"
    while rest and rest[0] in getattr(command, "commands", {}):
        context = command.context_class(command, info_name=path, parent=context)
        command, path, rest = command.commands[rest[0]], rest[0], rest[1:]
    if hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        pytest.fail(f"{shlex.join(words)}: there is no command {rest[0]!r}")
    try:
        command.make_context(path, rest, parent=context)
    except typer.Exit:  # --help and --version
        pass
    except Exception as error:
        pytest.fail(f"{shlex.join(words)}: {getattr(error, 'message', error)}")
    for word in words:
        if word.startswith(("recipes/", "data/demo")):
            assert (ROOT / word).is_file(), f"{word} does not exist"


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(pytest.fail.Exception, match="--nope"):
        test_every_command_of_the_pages_exists_and_takes_its_options(["bedside", "run", "x.yaml", "--nope"])
    with pytest.raises(pytest.fail.Exception, match="trian"):
        test_every_command_of_the_pages_exists_and_takes_its_options(["bedside", "trian"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_yaml_and_json_block_is_well_formed_and_every_recipe_loads(page: Path, tmp_path: Path) -> None:
    for block in blocks(page):
        if block.language == "yaml":
            yaml.safe_load(block.text)
        if block.language == "json":
            for line in block.text.splitlines() if (block.file or "").endswith(".jsonl") else [block.text]:
                json.loads(line)
        if block.language == "yaml" and "recipe" in block.marks:
            path = tmp_path / "recipe.yaml"
            path.write_text(block.text, encoding="utf-8")
            load_recipe(path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8"))):
        place, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        path = (page.parent / place).resolve() if place else page
        assert path.exists(), f"{name_of(page)} links to {target!r}, which is not there"
        if anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, f"{target!r}: no such heading"


def test_every_page_of_the_documentation_is_on_the_map() -> None:
    linked = {(ROOT / "docs" / target).resolve() for target in _LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8"))}
    assert [name_of(page) for page in PAGES if page.parent != ROOT and page.name != "index.md" and page not in linked] == []


class _Endpoint(BaseHTTPRequestHandler):
    """Answers every chat request with the same three caller turns, one of which says something else than its slot."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        items = [
            {
                "text": "Could I see Dr Example on Thursday, please?",
                "intents": ["appt_new"],
                "slots": [{"name": "practitioner", "value": "Dr Example"}, {"name": "date", "value": "Thursday"}],
            },
            {"text": "are my bloods back yet", "intents": ["results"], "slots": [{"name": "test", "value": "bloods"}]},
            {"text": "what did the scan show", "intents": ["results"], "slots": [{"name": "test", "value": "x-ray"}]},
        ]
        message = {"role": "assistant", "content": json.dumps({"items": items})}
        answer = {
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("BEDSIDE_ENDPOINT", f"http://127.0.0.1:{server.server_port}/v1")
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def laid_out(page: Path, folder: Path) -> None:
    """Write the blocks marked `file=PATH` of a page, and what `pip install` would write about a package among them."""
    for block in blocks(page):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
    project = folder / "pyproject.toml"
    if project.is_file():
        described = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
        info = folder / "src" / f"{described['name'].replace('-', '_')}-{described['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {described['name']}\nVersion: {described['version']}\n")
        groups = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
            for group, points in described["entry-points"].items()
        )
        (info / "entry_points.txt").write_text("".join(groups))


@pytest.mark.parametrize("page", [p for p in PAGES if any(b.language == "python" and not b.file for b in blocks(p))], ids=name_of)
def test_every_python_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: None) -> None:
    laid_out(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    for known in ("_readers", "_layouts"):  # a page's own reader goes away with its page
        monkeypatch.setattr(registry, known, dict(getattr(registry, known)))
    before = set(sys.modules)
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for block in blocks(page):
            if block.language == "python" and not block.file:
                exec(compile("\n" * (block.line - 1) + block.text, str(page), "exec"), names)
    finally:
        for module in set(sys.modules) - before:
            if str(getattr(sys.modules[module], "__file__", "") or "").startswith(str(tmp_path)):
                del sys.modules[module]


def test_turns_of_an_endpoint_become_templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: None) -> None:
    test_every_python_block_runs(ROOT / "docs" / "how-to" / "endpoint.md", tmp_path, monkeypatch, None)
    made = yaml.safe_load((tmp_path / "practice" / "callers" / "endpoint.yaml").read_text(encoding="utf-8"))
    assert {"intents": ["appt_new"], "turns": ["could i see {practitioner=dr example} on {date=thursday} please"]} in made
    assert any("slot_not_said" in line for line in (tmp_path / "endpoint-ledger.jsonl").read_text(encoding="utf-8").splitlines())


def test_a_practices_own_example_is_curated(tmp_path: Path) -> None:
    from bedside.corpus.curate import curate
    from bedside.evaluation.suites import load_suite

    laid_out(ROOT / "docs" / "how-to" / "own-data.md", tmp_path)
    assert load_suite(str(tmp_path / "data" / "suite.jsonl"))
    recipe = load_recipe(tmp_path / "our-line.yaml", ["corpus.synthesis.turns=9000", "corpus.synthesis.held_out_turns=20"])
    out = tmp_path / "corpus"
    out.mkdir()
    curate(recipe, tmp_path, {}, out, Console(quiet=True), day=date(2026, 11, 22))
    assert "example" in (out / "turns.jsonl").read_text(encoding="utf-8")
