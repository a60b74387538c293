"""The style sheet: contrast in light and dark (WCAG 2.2, 1.4.3 and 1.4.11), and nothing from elsewhere."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

CSS = files("bedside.server.console").joinpath("static/console.css").read_text(encoding="utf-8")
TEXT = [
    *((ink, ground) for ink in ("ink", "ink-soft", "accent") for ground in ("paper", "surface", "sunk")),
    *((tone, ground) for tone in ("stop", "warn", "good", "note") for ground in (f"{tone}-tint", "surface", "paper")),
    ("accent-ink", "accent"),
    ("accent", "accent-tint"),
    ("ink", "accent-tint"),
    ("ink-soft", "accent-tint"),
    ("mark-ink", "mark"),
]
BORDERS = [("field", "surface"), ("field", "paper"), ("accent", "surface"), ("stop", "surface"), ("note", "surface"), ("warn", "surface")]


def _colours(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+):\s*(#[0-9a-f]{6});", block))


LIGHT = _colours(CSS.split("@media")[0])
DARK = LIGHT | _colours(CSS.split("@media (prefers-color-scheme: dark)")[1].split("\n}\n")[0])


def _luminance(colour: str) -> float:
    """Relative luminance, WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("theme", "colours"), [("light", LIGHT), ("dark", DARK)])
def test_text_and_controls_stand_out(theme: str, colours: dict[str, str]) -> None:
    weak = [f"{ink} on {ground}: {ratio:.2f}" for ink, ground in TEXT if (ratio := _contrast(colours[ink], colours[ground])) < 4.5]
    weak += [f"{edge} by {ground}: {ratio:.2f}" for edge, ground in BORDERS if (ratio := _contrast(colours[edge], colours[ground])) < 3]
    assert not weak, f"{theme}: {weak}"


def test_both_themes_set_the_same_colours() -> None:
    assert _colours(CSS.split("@media (prefers-color-scheme: dark)")[1].split("\n}\n")[0]).keys() == LIGHT.keys()


def test_the_sheet_loads_nothing() -> None:
    assert not re.search(r"@import|url\(|https?:", CSS)
