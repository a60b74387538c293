"""The bill of materials: valid CycloneDX 1.6 that names what the release was made of."""

from __future__ import annotations

import json
from datetime import date
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bedside.release.card import Built, CardFacts
from fixtures_release import CONTRACT

pytest.importorskip("cyclonedx", reason="pip install 'bedside[sign]'")

FACTS: dict[str, Any] = {
    "base_model": "example/tiny",
    "base_licence": "apache-2.0",
    "licence": "Apache-2.0",
    "sources": [{"name": "calls | synthetic", "records": 12345, "licence": "CC-BY-4.0"}, {"name": "ours", "records": 7, "licence": "own"}],
    "training": {"rank": 8},
    "scores": {"intent F1": {"base": 0.41, "tuned": 0.93}},
    "limits": ["English as spoken in Australia only."],
    "summary": "Reads what callers say.",
}
MODEL = "ab" * 32


def bom(facts: dict[str, Any] = FACTS, name: str = "tiny-line") -> dict[str, Any]:
    """The bill of a release, checked against the schema of CycloneDX 1.6."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    from bedside.release.bom import bom_text

    built = Built(
        kind="Q8_0",
        bytes=1000,
        types={},
        fallbacks=[],
        gates=[],
        hashes={"model.gguf": MODEL, "Modelfile": "cd" * 32},
        date=date(2026, 11, 23),
        version="0.1.0",
    )
    text = bom_text(name, CONTRACT, CardFacts.of(facts), built)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return dict(json.loads(text))


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return bom()


def test_the_model_is_named_with_hash_licence_base_and_limits(made: dict[str, Any]) -> None:
    model = made["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["hashes"] == [{"alg": "SHA-256", "content": MODEL}]
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    assert model["pedigree"]["ancestors"][0]["name"] == "example/tiny"
    assert model["pedigree"]["ancestors"][0]["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    limits = model["modelCard"]["considerations"]["technicalLimitations"]
    assert limits[0].startswith("Not a medical device") and FACTS["limits"][0] in limits
    assert {"type": "intent F1", "slice": "tuned", "value": "0.93"} in model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]


def test_data_is_listed_with_licences_and_is_what_the_model_refers_to(made: dict[str, Any]) -> None:
    data = {one["name"]: one for one in made["components"] if one["type"] == "data"}
    assert data["calls | synthetic"]["licenses"] == [{"license": {"id": "CC-BY-4.0"}}]
    assert data["ours"]["licenses"] == [{"license": {"name": "own"}}]
    assert data["ours"]["properties"] == [{"name": "bedside:records", "value": "7"}]
    referred = {one["ref"] for one in made["metadata"]["component"]["modelCard"]["modelParameters"]["datasets"]}
    assert referred == {one["bom-ref"] for one in data.values()}


def test_every_package_has_a_version_that_a_scanner_finds(made: dict[str, Any]) -> None:
    packages = {one["name"]: one for one in made["components"] if one["type"] == "library"}
    for name in ("numpy", "pydantic", "xllamacpp"):
        assert packages[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
    assert sum("licenses" in one for one in packages.values()) > 0.9 * len(packages)


def test_the_same_release_gives_the_same_bill(made: dict[str, Any]) -> None:
    assert bom() == made


@pytest.mark.slow
@settings(max_examples=10, deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=30))
def test_any_name_and_licence_give_a_valid_bill(name: str, licence: str) -> None:
    bom(FACTS | {"sources": [{"name": name, "records": 1, "licence": licence}], "licence": licence, "summary": name})
