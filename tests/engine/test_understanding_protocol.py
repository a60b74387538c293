"""Red flags that a practice adds count when a turn is understood, beside the built-in ones."""

from __future__ import annotations

from pathlib import Path

from bedside.engine.understanding import emergency_flags
from bedside.knowledge.protocol import load_protocol

LOCAL = "{id: LOCAL1, picture: x, source: practice, certainty: C, routes: [{to: E000, when: [contagious]}]}"


def test_an_added_red_flag_makes_an_emergency(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(f"add: {{red_flags: [{LOCAL}]}}", encoding="utf-8")
    text = "could it be measles"
    assert emergency_flags(text) == ()
    assert emergency_flags(text, load_protocol(path)) == ("LOCAL1",)


def test_no_protocol_loses_a_built_in_red_flag(tmp_path: Path) -> None:
    path = tmp_path / "protocol.yaml"
    path.write_text(f"add: {{red_flags: [{LOCAL}]}}", encoding="utf-8")
    assert "RF03" in emergency_flags("i can't breathe", load_protocol(path))
