"""The datasheet counts what the corpus holds, and the licence gate stops what may not be sold."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bedside.corpus.datasheet import DataFile, DatasheetFacts, SourceFacts, write_datasheet
from bedside.corpus.licences import check_licences, licence, licence_gate
from bedside.errors import SourceError

SECTIONS = ["Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling", "Uses", "Distribution", "Maintenance"]


def source(name: str, terms: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, licence=terms)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    counts = Counter({("sources", "dropped", "bad_json"): 3, ("standardise", "changed", "us.words"): 1})
    facts = DatasheetFacts(
        name="demo",
        description="Callers of a clinic.",
        made_on=date(2026, 11, 22),
        version="0.3.0",
        sources=(
            SourceFacts(name="clinic", licence="own", locale="en-AU", seen=12, records={"train": 8, "held_out": 1}),
            SourceFacts(name="open|set", licence="CC-BY-4.0", locale="en", seen=4, records={"train": 4}),
        ),
        files=(DataFile(name="turns.jsonl", bytes=5, sha256="0" * 64, fields={"text": "sc:Text", "split": "sc:Text"}),),
        missing=("absent-set",),
    )
    write_datasheet(out, facts, counts)
    return out


def test_the_card_has_front_matter_that_the_hub_reads_and_all_sections(written: Path) -> None:
    _, front, body = (written / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["license"], head["language"], head["size_categories"]) == ("other", ["en"], ["n<1K"])
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == SECTIONS


def test_the_card_counts_sources_licences_locales_splits_and_reasons(written: Path) -> None:
    card = (written / "README.md").read_text()
    for row in (
        "| clinic | own | en-AU | 12 | 9 | 1 | 8 |",
        "| open\\|set | CC-BY-4.0 | en | 4 | 4 | 0 | 4 |",
        "| sources | dropped | bad_json | 3 |",
    ):
        assert row in card
    assert "| **all** | | | 16 | 13 | 1 | 12 |" in card
    assert "absent-set" in card


def test_the_plots_are_svg_with_their_words_and_the_same_bytes_each_time(written: Path) -> None:
    svg = (written / "plots" / "sources.svg").read_text()
    assert "<svg" in svg and "clinic" in svg and "<dc:date>" not in svg


def test_croissant_names_every_file_by_hash_and_every_field_by_its_file(written: Path) -> None:
    described = json.loads((written / "croissant.json").read_text())
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert {"@context", "@type", "name", "description", "license", "datePublished", "url", "version", "citeAs"} <= described.keys()
    files = {entry["@id"]: entry for entry in described["distribution"]}
    assert files["turns.jsonl"]["sha256"] == "0" * 64
    fields = [field for records in described["recordSet"] for field in records["field"]]
    assert [field["name"] for field in fields] == ["text", "split"]
    assert all(field["source"]["fileObject"]["@id"] in files and field["@id"] == f"turns/{field['name']}" for field in fields)


@pytest.mark.parametrize(
    "terms", ["CC-BY-NC-4.0", "cc by-nc-sa 4.0", "free for research only", "non-commercial", "MIT AND CC-BY-NC-4.0", "AMH", "whatever", ""]
)
def test_a_source_that_may_not_or_may_perhaps_not_be_sold_stops_a_commercial_release(terms: str) -> None:
    with pytest.raises(SourceError, match=r"source 'theirs'.*set release\.commercial to false"):
        licence_gate([source("ours", "own"), source("theirs", terms)], commercial=True)
    assert not any(finding.blocks for finding in licence_gate([source("theirs", terms)], commercial=False))


@pytest.mark.parametrize(
    "terms", ["MIT", "mit license", "Apache 2.0", "CC BY 4.0", "CC0-1.0", "CC-BY-SA-4.0", "MIT OR CC-BY-NC-4.0", "own", "etalab-2.0"]
)
def test_a_source_that_may_be_sold_passes(terms: str) -> None:
    assert not any(finding.blocks for finding in licence_gate([source("theirs", terms)], commercial=True))


def test_duties_are_named_with_the_licence_that_asks_for_them() -> None:
    found = check_licences([source("a", "GPL-2.0-only")], commercial=True)
    assert {finding.kind for finding in found} == {"share-alike", "attribution"}
    assert "GPL-2.0-only" in next(finding.problem for finding in found if finding.kind == "share-alike")


@given(st.text(max_size=40))
def test_any_words_are_read_as_a_licence(words: str) -> None:
    assert licence(words).commercial in ("yes", "no", "unknown")
