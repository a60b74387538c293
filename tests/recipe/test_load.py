"""Recipes: all faults at once with their lines, overrides, schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bedside.errors import RecipeError
from bedside.recipe import load_recipe, recipe_schema

RECIPES = Path(__file__).parents[2] / "recipes"
GOOD = (RECIPES / "clinic-line.yaml").read_text(encoding="utf-8")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_of_the_repository_loads(path: Path) -> None:
    assert load_recipe(path).name == path.stem


def test_all_faults_are_reported_at_once_with_the_line_they_stand_on(tmp_path: Path) -> None:
    text = (
        GOOD.replace("seed: 7", "seed: seven").replace("tokens_per_step", "tokens_per_stp").replace("name: foundation", "name: Foundation!")
    )
    with pytest.raises(RecipeError) as caught:
        load_recipe(written(tmp_path, text))
    message = str(caught.value)
    lines = text.splitlines()
    for word, said in (("seed: seven", "valid integer"), ("tokens_per_stp", "did you mean 'tokens_per_step'"), ("Foundation!", "pattern")):
        number = next(i for i, line in enumerate(lines, 1) if word in line)
        assert any(line.strip().startswith(f"line {number}:") and said in line for line in message.splitlines()), message
    assert "3 faults" in message


def test_a_key_that_stands_twice_is_a_fault_and_not_silently_the_last_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"seed stands twice \(first on line"):
        load_recipe(written(tmp_path, GOOD + "\nseed: 8\n"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [unclosed", "is no YAML"),
        ("- a list", "not a mapping"),
        ("", "holds NoneType"),
        (GOOD.replace("  sha256: bcc8", "  # sha256: bcc8"), "needs a version"),
        (GOOD.replace("name: mts-dialog", "name: chatdoctor"), "two sources are named 'chatdoctor'"),
        (re.sub(r"synthesis: \{.*\}", "", GOOD), "corpus.synthesis is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(written(tmp_path, text))


def test_a_missing_recipe_lists_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    with pytest.raises(RecipeError, match=r"in that folder: recipe\.yaml"):
        load_recipe(tmp_path / "recpe.yaml")


def test_settings_are_changed_by_path_with_yaml_values() -> None:
    changes = ["training.max_length=128", "training.stages.1.epochs=3", "base.licence=MIT"]
    recipe = load_recipe(RECIPES / "clinic-line.yaml", changes)
    assert (recipe.training.max_length, recipe.training.stages[1].epochs, recipe.base.licence) == (128, 3, "MIT")


@pytest.mark.parametrize("change", ["training.max_length", "=3", "training.stages.9.epochs=3", "seed.a=1", "training.max_lenth=128"])
def test_a_change_that_cannot_be_made_is_refused(change: str) -> None:
    with pytest.raises(RecipeError):
        load_recipe(RECIPES / "clinic-line.yaml", [change])


def test_recipes_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_recipe(RECIPES / "clinic-line.yaml").seed = 8  # type: ignore[misc]


def test_the_schema_explains_every_key() -> None:
    schema = recipe_schema()
    for part in [schema, *schema["$defs"].values()]:
        for key, field in part["properties"].items():
            assert field.get("description"), key


@given(st.text(max_size=300))
def test_no_text_breaks_the_loader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("r") / "r.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(RecipeError):
        load_recipe(path)
