"""What a recipe may say, and how it is read."""

from bedside.recipe.load import load_recipe, recipe_schema
from bedside.recipe.models import (
    Adapter,
    BaseModelSpec,
    Corpus,
    Endpoint,
    Evaluation,
    Recipe,
    ReleaseSpec,
    Source,
    Stage,
    Synthesis,
    Training,
)

__all__ = [
    "Adapter",
    "BaseModelSpec",
    "Corpus",
    "Endpoint",
    "Evaluation",
    "Recipe",
    "ReleaseSpec",
    "Source",
    "Stage",
    "Synthesis",
    "Training",
    "load_recipe",
    "recipe_schema",
]
