"""The corpus' datasheet: what is in it, under which licences, what was dropped and why; for people (Markdown) and machines (Croissant).

Sections follow Gebru et al. 2021, "Datasheets for Datasets" (CACM 64:12). The front matter is what the Hugging Face Hub reads of a dataset
card, the JSON-LD follows the Croissant Format Specification 1.0 (MLCommons, http://mlcommons.org/croissant/1.0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jinja2
from pydantic import BaseModel, ConfigDict, Field

from bedside.corpus.licences import check_licences, licence
from bedside.corpus.synthesis.audit import Audit, draw
from bedside.recipe.models import Recipe
from bedside.workspace.files import sha256_file, write_json, written_whole

CARD, CROISSANT, PLOTS = "README.md", "croissant.json", "plots"
SYNTHESIS = "synthesis"
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
_HUB_LICENCES = frozenset(
    {"apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "odbl", "bsd-3-clause"}
)
_REASONS_SHOWN = 14


class SourceFacts(BaseModel):
    """One source.

    Attributes:
        seen: records that were looked at.
        records: split → records kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    licence: str
    locale: str
    seen: int = Field(ge=0)
    records: dict[str, int]

    @property
    def kept(self) -> int:
        """Records kept, over all splits."""
        return sum(self.records.values())


class DataFile(BaseModel):
    """One file of the corpus: its name in the folder, size, hash, and the fields of its rows as field → Croissant data type."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    bytes: int
    sha256: str
    fields: dict[str, str]


class DatasheetFacts(BaseModel):
    """What the corpus stage knows.

    Attributes:
        made_on: day on which the corpus was made.
        version: of bedside.
        commercial: whether the recipe's release is marked for commercial use.
        missing: optional sources that were not there.
        for_review: records that are held back until a clinician has seen them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    description: str
    made_on: date
    version: str
    commercial: bool = False
    sources: tuple[SourceFacts, ...]
    files: tuple[DataFile, ...]
    missing: tuple[str, ...] = ()
    for_review: int = 0

    @property
    def records(self) -> int:
        """Records kept, over all sources."""
        return sum(source.kept for source in self.sources)

    @classmethod
    def of(cls, recipe: Recipe, curated: Mapping[str, Any], folder: Path, *, made_on: date, version: str) -> DatasheetFacts:
        """Facts of a corpus from its recipe, from what `curate` returned, and from the files that it wrote into `folder`."""
        named = {source.name: (source.licence, source.locale) for source in recipe.corpus.sources} | {SYNTHESIS: ("own", "en-AU")}
        kept: dict[str, Counter[str]] = {name: Counter() for name in named}
        for place, count in curated["records"].items():
            source, _, rest = place.partition("/")
            kept[source][rest.rpartition("/")[2]] += count
        return cls(
            name=recipe.name,
            description=recipe.description,
            made_on=made_on,
            version=version,
            commercial=recipe.release.commercial,
            sources=tuple(
                SourceFacts(name=name, licence=terms, locale=locale, seen=curated["seen"].get(name, 0), records=dict(kept[name]))
                for name, (terms, locale) in named.items()
                if kept[name] or curated["seen"].get(name)
            ),
            files=tuple(
                DataFile(name=path.name, bytes=path.stat().st_size, sha256=sha256_file(path), fields=_FIELDS[path.name])
                for path in sorted(folder.glob("*.jsonl"))
                if path.name in _FIELDS
            ),
            missing=tuple(curated["missing_sources"]),
            for_review=curated["for_review"],
        )


_FIELDS = {
    "conversations.jsonl": {"messages": "sc:Text", "provenance": "sc:Text", "labels": "sc:Text", "split": "sc:Text"},
    "turns.jsonl": {
        "text": "sc:Text",
        "intents": "sc:Text",
        "slots": "sc:Text",
        "families": "sc:Text",
        "use": "sc:Text",
        "split": "sc:Text",
    },
    "review.jsonl": {"source": "sc:Text", "where": "sc:Text", "found": "sc:Text", "messages": "sc:Text"},
    "ledger.jsonl": {
        "stage": "sc:Text",
        "action": "sc:Text",
        "reason": "sc:Text",
        "source": "sc:Text",
        "where": "sc:Text",
        "detail": "sc:Text",
    },
}


def write_datasheet(
    out: Path, facts: DatasheetFacts, counts: Counter[tuple[str, str, str]], synthesis: Audit | None = None
) -> tuple[Path, ...]:
    """Write the card, the Croissant description and the plots into the folder that holds the corpus.

    Args:
        counts: how often each stage, action and reason stands in the ledger.
        synthesis: audit of the synthetic turns.

    Returns:
        the files written, the card first.

    Raises:
        WorkspaceError: the disk is full or not writable.
    """
    reasons = counts.most_common()
    plots = _plots(out / PLOTS, facts, reasons, synthesis)
    card = out / CARD
    with written_whole(card) as partial:
        partial.write_text(_card(facts, reasons, plots, synthesis), encoding="utf-8")
    write_json(out / CROISSANT, croissant(facts))
    return (card, out / CROISSANT, *(out / plot.file for plot in plots))


def croissant(facts: DatasheetFacts) -> dict[str, Any]:
    """The corpus as Croissant 1.0 JSON-LD: its files, and a record set for each with the fields of a row."""
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "description": facts.description,
        "license": sorted({source.licence for source in facts.sources}),
        "datePublished": facts.made_on.isoformat(),
        "version": "1.0.0",
        "url": CARD,
        "citeAs": f"{facts.name}, made by bedside {facts.version} on {facts.made_on}",
        "inLanguage": _languages(facts),
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": file.name,
                "contentUrl": file.name,
                "contentSize": f"{file.bytes} B",
                "encodingFormat": "application/jsonlines",
                "sha256": file.sha256,
            }
            for file in facts.files
        ],
        "recordSet": [_record_set(file) for file in facts.files],
    }


def _record_set(file: DataFile) -> dict[str, Any]:
    name = file.name.rpartition(".")[0]
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{name}/{field}",
            "name": field,
            "dataType": kind,
            "source": {"fileObject": {"@id": file.name}, "extract": {"column": field}},
        }
        for field, kind in file.fields.items()
    ]
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "field": fields}


_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification gives for all descriptions (appendix 1)."""


@dataclass(frozen=True, slots=True)
class _Plot:
    file: str
    words: str


Reasons = Sequence[tuple[tuple[str, str, str], int]]


def _card(facts: DatasheetFacts, reasons: Reasons, plots: list[_Plot], synthesis: Audit | None) -> str:
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    template = environment.from_string(files("bedside.corpus").joinpath("templates", "datasheet.md.j2").read_text(encoding="utf-8"))
    return template.render(
        facts=facts,
        reasons=reasons,
        plots=plots,
        synthesis=synthesis,
        licences=check_licences(facts.sources, facts.commercial),
        languages=_languages(facts),
        splits=sorted({split for source in facts.sources for split in source.records}),
        by_split=_sums((split, count) for source in facts.sources for split, count in source.records.items()),
        by_locale=_sums((source.locale, source.kept) for source in facts.sources),
        by_licence=_sums((source.licence, source.kept) for source in facts.sources),
        size=next((name for limit, name in _SIZES if facts.records < limit), "n>10M"),
        hub_licence=_hub_licence(facts),
    )


def _languages(facts: DatasheetFacts) -> list[str]:
    return sorted({source.locale.partition("-")[0] for source in facts.sources})


def _hub_licence(facts: DatasheetFacts) -> str:
    """What the Hub reads: the licence where all sources share one that it knows, else `other`."""
    named = {licence(source.licence).id.lower() for source in facts.sources}
    return named.pop() if len(named) == 1 and named <= _HUB_LICENCES else "other"


def _sums(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for name, count in pairs:
        sums[name] += count
    return dict(sums.most_common())


def _plots(folder: Path, facts: DatasheetFacts, reasons: Reasons, synthesis: Audit | None) -> list[_Plot]:
    """Bars of the records kept by source, of the commonest reasons, and of synthetic intents; none where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return []
    sources = {source.name: source.kept for source in sorted(facts.sources, key=lambda source: source.kept)}
    shown = {f"{stage}: {reason} ({action})": count for (stage, action, reason), count in reversed(reasons[:_REASONS_SHOWN])}
    drawn = []
    for name, title, bars in (("sources", "Records kept, by source", sources), ("reasons", "Records dropped or changed, by reason", shown)):
        if bars:
            _bars(folder / f"{name}.svg", title, bars)
            drawn.append(
                _Plot(f"{PLOTS}/{name}.svg", f"{title}: " + ", ".join(f"{label} {count}" for label, count in reversed(bars.items())))
            )
    if synthesis:
        with _same_bytes(folder / "intents.svg") as partial:
            draw(synthesis, partial)
        drawn.append(_Plot(f"{PLOTS}/intents.svg", "Share of each intent among the synthetic turns, beside its prior"))
    return drawn


@contextmanager
def _same_bytes(path: Path) -> Iterator[Path]:
    """Text stays text, and no random ids go into the file: the same corpus gives the same bytes."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bedside", "text.parse_math": False}), written_whole(path) as partial:
        yield partial


def _bars(path: Path, title: str, bars: Mapping[str, int]) -> None:
    from matplotlib.figure import Figure

    with _same_bytes(path) as partial:
        figure = Figure(figsize=(7, 1 + 0.3 * len(bars)), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.barh(list(bars), list(bars.values()), color="#35618f")
        axes.bar_label(drawn, padding=3)
        axes.set_title(title, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.12)
        figure.savefig(partial, format="svg", metadata={"Date": None})
