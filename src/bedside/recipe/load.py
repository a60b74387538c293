"""Reading a recipe: YAML to frozen models, with every fault at once and the line it stands on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bedside.errors import RecipeError
from bedside.recipe.models import Recipe

Place = tuple[str | int, ...]


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `a.b=value` overrides (values are YAML).

    Raises:
        RecipeError: the file is missing, no YAML or no valid recipe; the message lists every fault with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = ", ".join(sorted(p.name for p in path.parent.glob("*.yaml"))) if path.parent.is_dir() else ""
        raise RecipeError(
            f"there is no recipe {str(path)!r}" + (f" (in that folder: {near})" if near else ""),
            "Give a recipe file such as recipes/clinic-line.yaml",
        ) from None
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeError(f"{str(path)!r} is no UTF-8 text ({error})", "Save it as UTF-8") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[Place, int] = {}
        faults = _index(node, (), lines)
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{str(path)!r} is no YAML: {' '.join(str(error).split())}", "Correct that line") from error
    if not isinstance(data, dict):
        raise RecipeError(f"{str(path)!r} holds {type(data).__name__}, not a mapping of keys", "Start from recipes/clinic-line.yaml")
    for override in overrides:
        _apply(data, override)
    try:
        recipe = Recipe.model_validate(data)
    except ValidationError as error:
        faults += [_fault(dict(e), lines) for e in error.errors()]
        recipe = None
    if recipe is None or faults:
        listed = "\n".join(f"  {fault}" for fault in sorted(faults, key=_line_of))
        raise RecipeError(
            f"{str(path)!r} has {len(faults)} fault{'s' if len(faults) > 1 else ''}:\n{listed}\n",
            "Correct these lines; `bedside recipe schema` explains every key",
        )
    return recipe


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


def _index(node: yaml.Node | None, place: Place, lines: dict[Place, int]) -> list[str]:
    """Remember each key's line; return faults for keys that stand twice, which YAML would silently merge."""
    faults: list[str] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            where = (*place, str(key.value))
            if where in lines:
                faults.append(f"line {key.start_mark.line + 1}: {'.'.join(map(str, where))} stands twice (first on line {lines[where]})")
            lines[where] = key.start_mark.line + 1
            faults += _index(value, where, lines)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            lines[(*place, number)] = item.start_mark.line + 1
            faults += _index(item, (*place, number), lines)
    return faults


def _apply(data: dict[str, Any], override: str) -> None:
    key, found, value = override.partition("=")
    if not found or not key:
        raise RecipeError(f"--set {override!r} is not of the form a.b=value", "Write for example --set training.max_length=256")
    *parents, last = key.split(".")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: {value!r} is no YAML value ({' '.join(str(error).split())})", "Quote it") from error
    target: Any = data
    for number, parent in enumerate(parents):
        if isinstance(target, list) and parent.isdigit() and int(parent) < len(target):
            target = target[int(parent)]
        elif isinstance(target, dict):
            target = target.setdefault(parent, {})
        else:
            raise RecipeError(
                f"--set {override!r}: {'.'.join(parents[: number + 1])} is no group of keys", "Look at the recipe for the right place"
            )
    if isinstance(target, list) and last.isdigit() and int(last) < len(target):
        target[int(last)] = parsed
    elif isinstance(target, dict):
        target[last] = parsed
    else:
        raise RecipeError(f"--set {override!r}: {'.'.join(parents)} is no group of keys", "Look at the recipe for the right place")


def _fault(error: dict[str, Any], lines: dict[Place, int]) -> str:
    place: Place = tuple(error["loc"])
    known = place
    while known and known not in lines:
        known = known[:-1]
    where = ".".join(map(str, place)) or "recipe"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), _keys_at(place[:-1]), 1)
        message = "unknown key" + (f"; did you mean {near[0]!r}?" if near else "")
    elif error["type"] == "missing":
        message = "is missing"
    elif "input" in error and not isinstance(error["input"], (dict, list)):
        message += f" (found {error['input']!r})"
    return f"line {lines.get(known, 1)}: {where}: {message}"


def _keys_at(place: Place) -> list[str]:
    model: Any = Recipe
    for step in place:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = next(iter(_models(field.annotation)), None) if field else None
    return list(model.model_fields) if model else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _line_of(fault: str) -> int:
    return int(fault.split(":", 1)[0].removeprefix("line "))
