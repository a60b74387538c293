"""Write the pages that are read off the code: `python docs/generate.py`.

    docs/reference/cli.md          the help text of every command
    docs/reference/recipe.md       every key of a recipe, from its JSON Schema
    recipes/recipe.schema.json     the JSON Schema itself, for editors
    docs/gateway.schema.json       the JSON Schema of the gateway's settings

`tests/test_docs.py` fails where a page is not what this would write.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from bedside.cli import app
from bedside.recipe import recipe_schema
from bedside.server.settings import settings_schema

ROOT = Path(__file__).resolve().parents[1]
WIDTH = 100
_MADE = "<!-- Written by docs/generate.py; do not edit. -->"


def pages() -> dict[Path, str]:
    """Each generated file and what it has to hold."""
    schema = recipe_schema()
    return {
        ROOT / "docs" / "reference" / "cli.md": cli_page(),
        ROOT / "docs" / "reference" / "recipe.md": recipe_page(schema),
        ROOT / "recipes" / "recipe.schema.json": _json(schema),
        ROOT / "docs" / "gateway.schema.json": _json(settings_schema()),
    }


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def cli_page() -> str:
    """The help text of every command, as plain text of a fixed width."""
    parts = [
        _MADE,
        "# Commands",
        "A fault that you can mend ends in one sentence and exit code 2. An internal fault ends in a traceback and exit code 1.",
    ]
    for name, text in _helps(typer.main.get_command(app), "bedside", None):
        parts += [f"## {name}", f"```text\n{text}\n```"]
    return "\n\n".join(parts) + "\n"


def _helps(command: Any, name: str, parent: Any) -> Iterator[tuple[str, str]]:
    command.rich_markup_mode = None
    context = command.context_class(command, info_name=name.split()[-1], parent=parent, terminal_width=WIDTH, max_content_width=WIDTH)
    formatter = context.make_formatter()
    command.format_help(context, formatter)
    yield name, "\n".join(line.rstrip() for line in formatter.getvalue().strip().splitlines())
    for below, sub in getattr(command, "commands", {}).items():
        yield from _helps(sub, f"{name} {below}", context)


def recipe_page(schema: dict[str, Any]) -> str:
    """A table a part of the recipe: key, type, default, meaning."""
    parts = [
        _MADE,
        "# Recipe keys",
        "A recipe is one YAML file. Unknown keys are refused. `bedside recipe check` shows every fault at once with its line, "
        "and `--set a.b=value` changes one key for one run. Paths to sources start at the recipe's folder.",
        "The same facts as a JSON Schema: [recipe.schema.json](../../recipes/recipe.schema.json).",
    ]
    for path, model in _parts(schema):
        many = "; one item a list entry" if path.endswith("[]") else ""
        title = "The recipe" if not path else f"`{path.removesuffix('[]')}`"
        parts += [f"## {title}", f"{model['description'].rstrip('.')}{many}.", _table(model)]
    return "\n\n".join(parts) + "\n"


def _parts(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The recipe and every part below it, in the order in which they stand in the models."""
    waiting = [("", schema)]
    while waiting:
        path, model = waiting.pop(0)
        yield path, model
        below = []
        for key, field in model["properties"].items():
            if found := re.search(r'"#/\$defs/(\w+)"', json.dumps({k: v for k, v in field.items() if k != "default"})):
                many = "[]" if field.get("type") == "array" else ""
                below.append((".".join(filter(None, [path.removesuffix("[]"), key])) + many, schema["$defs"][found.group(1)]))
        waiting = below + waiting


def _table(model: dict[str, Any]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, field in model["properties"].items():
        default = "required" if key in model.get("required", []) else _default(field)
        rows.append(f"| `{key}` | {_type(field)} | {default} | {_cell(_meaning(field))} |")
    return "\n".join(rows)


def _meaning(field: dict[str, Any]) -> str:
    return str(field.get("description", "")).replace("\n", " ")


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    return "see below" if isinstance(value, dict) else f"`{json.dumps(value)}`"


def _type(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_type(kind) for kind in field["anyOf"] if kind.get("type") != "null")
    if "$ref" in field:
        return "group"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    if field["type"] == "array":
        return f"list of {_type(field['items'])}s" + (f", at least {field['minItems']}" if "minItems" in field else "")
    names = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    return names[field["type"]] + "".join(_limits(field))


def _limits(field: dict[str, Any]) -> Iterator[str]:
    for key, words in {"minimum": "at least", "exclusiveMinimum": "over", "maximum": "at most", "exclusiveMaximum": "below"}.items():
        if key in field:
            yield f", {words} {field[key]:g}"
    if "pattern" in field:
        yield f", `{field['pattern']}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write every generated file."""
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
