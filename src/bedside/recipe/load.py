"""Reading a recipe: YAML and overrides to frozen models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bedside.errors import RecipeError
from bedside.recipe.models import Recipe
from bedside.recipe.yaml_model import read_model


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `a.b=value` overrides (values are YAML).

    Raises:
        RecipeError: the file is missing, no YAML or no valid recipe; the message lists every fault with its line.
    """

    def override(data: dict[str, Any]) -> None:
        for given in overrides:
            _apply(data, given)

    return read_model(
        path,
        Recipe,
        RecipeError,
        kind="recipe",
        example="recipes/clinic-line.yaml",
        explained="`bedside recipe schema` explains every key",
        change=override,
    )


def recipe_schema() -> dict[str, Any]:
    """JSON Schema of a recipe, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Recipe.model_json_schema()}


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
