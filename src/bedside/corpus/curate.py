"""Curation: sources and synthesis to one corpus that may be trained on, with every loss in the ledger.

    licence gate → read → clean (standardise, de-identify, unsafe) → duplicates → decontaminate → split → synthesis → audit → datasheet

Writes into the stage's folder:

    conversations.jsonl     curated conversations of the sources, each with its split
    turns.jsonl             synthetic caller turns, each with its split and the stage that uses it
    review.jsonl            conversations that are held back until a clinician has seen them, with what was found in them
    ledger.jsonl            every record dropped, masked, changed or sent to review, with its reason
    synthesis.json          audit of the synthetic turns
    README.md, croissant.json, plots/      the datasheet

While it runs, batches lie in `work/` (see `shards`); a killed run takes up the batches that are done and gives the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from datetime import date
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

import bedside
from bedside.corpus.cleaning import Cleaning
from bedside.corpus.cluster import batches, map_batches
from bedside.corpus.conversation import Conversation, Provenance
from bedside.corpus.datasheet import DatasheetFacts, write_datasheet
from bedside.corpus.decontaminate import Contaminant, Decontaminator, confirmed, file_contaminant
from bedside.corpus.duplicates import Twins, add_semantic, best_first, drop_twins, find_twins, parts
from bedside.corpus.licences import licence_gate
from bedside.corpus.progress import Progress
from bedside.corpus.shards import SIZE, Batches, Records
from bedside.corpus.sources import read_source
from bedside.corpus.split import Sides
from bedside.corpus.synthesis.audit import Audit, audit
from bedside.corpus.synthesis.grammar import Turn
from bedside.corpus.synthesis.making import Row, asked_turns, made_turns
from bedside.knowledge.intents import catalogue
from bedside.recipe.models import Recipe, Source
from bedside.workspace.files import read_jsonl, write_json, write_jsonl
from bedside.workspace.ledger import DropLedger, Entry, Tally

if TYPE_CHECKING:
    from bedside.engine.embedding import SentenceEmbedder

CONVERSATIONS, TURNS, REVIEW, LEDGER, AUDIT = "conversations.jsonl", "turns.jsonl", "review.jsonl", "ledger.jsonl", "synthesis.json"
_DIMENSIONS = 384  # of MiniLM


def source_path(source: Source, recipe_folder: Path) -> Path:
    """Where a source lies: absolute, or from the recipe's folder, with `$NAME` and `~` expanded."""
    return (recipe_folder / Path(os.path.expandvars(source.path)).expanduser()).resolve()


def curate(
    recipe: Recipe, recipe_folder: Path, suites: Mapping[str, Collection[str]], out: Path, console: Console, *, day: date
) -> dict[str, Any]:
    """Run the corpus stage.

    Args:
        suites: name → texts of every evaluation suite; nothing that holds one of them, or means it, stays in the corpus.
        day: whose tables and rules hold, and which the datasheet bears.

    Returns:
        Counts by source, split and reason.

    Raises:
        SourceError: a source's licence forbids the release; a required source is missing or unreadable, or loses more than its allowed share.
    """
    stage = _Stage(recipe, recipe_folder, suites, out, console, day)
    licence_gate(recipe.corpus.sources, recipe.release.commercial)
    read = stage.read()
    records = stage.clean(read["batches"], read["records"])
    twins = stage.find_twins(records)
    stage.sift(records, twins)
    kept, ledger = stage.split(records, twins)
    made = stage.synthesise(ledger)
    report = stage.audit(made)
    tally, for_review = stage.account(records, ledger)
    facts = {
        "records": dict(sorted((kept + Counter(f"synthesis/{row['use']}/{row['split']}" for row in made)).items())),
        "seen": {**read["seen"], **ledger.seen},
        "for_review": for_review,
        "dropped": tally.counts(),
        "missing_sources": read["missing_sources"],
        "licences": {source.name: source.licence for source in recipe.corpus.sources if source.name not in read["missing_sources"]},
    }
    write_datasheet(out, DatasheetFacts.of(recipe, facts, out, made_on=day, version=bedside.__version__), tally.reasons(), report)
    shutil.rmtree(stage.work)
    return facts


class _Stage:
    """The steps of the corpus stage over batches in `work`; each takes up what a killed run has done."""

    def __init__(self, recipe: Recipe, folder: Path, suites: Mapping[str, Collection[str]], out: Path, console: Console, day: date) -> None:
        self.recipe, self.folder, self.out, self.console, self.day = recipe, folder, out, console, day
        self.suites = suites
        self.work = out / "work"
        self._read, self._clean, self._sift = (Batches(self.work / name) for name in ("read", "clean", "sift"))

    def read(self) -> dict[str, Any]:
        """Every source into batches of JSON; returns how many records and batches, what was seen, and which sources are missing."""
        done, corpus = self.work / "read.json", self.recipe.corpus
        if done.exists():
            facts: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
            return facts
        ledger, missing, progress = DropLedger(), list[str](), Progress(self.console, "read", None)
        records = number = 0
        for number, batch in enumerate(batches(self._conversations(ledger, missing), SIZE), 1):
            self._read.write(number - 1, [conversation.model_dump_json() for conversation in batch], ())
            records += len(batch)
            progress.add(len(batch))
        own = {source.name: source.max_dropped_share for source in corpus.sources if source.max_dropped_share is not None}
        ledger.check_share(corpus.max_dropped_share, own)
        ledger.write(self.work / "read.ledger.jsonl")
        facts = {"records": records, "batches": number, "seen": dict(ledger.seen), "missing_sources": missing}
        write_json(done, facts)
        return facts

    def _conversations(self, ledger: DropLedger, missing: list[str]) -> Iterator[Conversation]:
        for source in self.recipe.corpus.sources:
            path = source_path(source, self.folder)
            if path.exists() or source.required:
                yield from read_source(
                    source.reader, path, source=source.name, licence=source.licence, locale=source.locale, ledger=ledger, limit=source.limit
                )
            else:
                self.console.print(f"[yellow]source {source.name!r} is not at {source.path!r}: skipped (it is optional)")
                missing.append(source.name)

    def clean(self, count: int, records: int) -> Records:
        """Each record standardised, de-identified, looked through for what must not be taught, and sketched, in several processes."""
        corpus, missing = self.recipe.corpus, self._clean.missing(count)
        cleaning = Cleaning(corpus.standardise, corpus.deidentify, self.recipe.seed, self.day)
        progress = Progress(self.console, "cleaned", records, (count - len(missing)) * SIZE)
        # All batches but the last hold as many records, so that the lines fall into the same batches again.
        lines = (line for number in missing for line in self._read.lines(number))
        processes = min(corpus.processes or os.cpu_count() or 1, len(missing))
        for number, cleaned in zip(missing, map_batches(cleaning, lines, processes=processes, size=SIZE), strict=True):
            self._clean.write(number, cleaned.review, cleaned.entries, cleaned.table)
            progress.add(SIZE)
        return Records(self._clean, count)

    def find_twins(self, records: Records) -> Twins:
        """Exact, near and, where the recipe asks for it, semantic duplicates, across and within sources."""
        corpus = self.recipe.corpus
        sketches = records.sketches()
        order = best_first(records.sources({source.name: place for place, source in enumerate(corpus.sources)}), sketches.length)
        twins = find_twins(sketches, order, corpus.near_duplicate)
        if corpus.semantic_duplicate is not None:
            vectors = records.mapped("vectors", np.float32, (2, _DIMENSIONS))
            for number in records.batches:
                held = [parts(conversation) for conversation in records.batch(number)]
                rows = slice(records.first(number), records.first(number) + len(held))
                for part in (0, 1):
                    vectors[rows, part] = self.embedder.embed([record[part] for record in held])
            add_semantic(twins, sketches, order, vectors, corpus.semantic_duplicate)
        return twins

    def sift(self, records: Records, twins: Twins) -> None:
        """Batches without twins, each record with what it may hold of the suites."""
        missing = self._sift.missing(len(records.batches))
        progress = Progress(self.console, "sifted", len(records), (len(records.batches) - len(missing)) * SIZE)

        def place(record: int) -> str:
            return f"{records.value('source', record)} {records.value('where', record)}"

        for number in missing:
            ledger, batch = DropLedger(), records.batch(number)
            unique = list(drop_twins(batch, place, twins, ledger, records.first(number)))
            rows = (
                {"conversation": conversation.model_dump(mode="json"), "contaminant": found and asdict(found)}
                for conversation, found in zip(unique, self.decontaminator.judge(unique), strict=True)
            )
            self._sift.write(number, (json.dumps(row, ensure_ascii=False) for row in rows), ledger.entries)
            progress.add(len(batch))

    def split(self, records: Records, twins: Twins) -> tuple[Counter[str], DropLedger]:
        """`conversations.jsonl`, without what the suites hold; returns records by source and side, and the ledger of what was dropped."""
        ledger, counts = DropLedger(), Counter[str]()
        suspects = (
            (row["conversation"]["provenance"]["source"], number, Contaminant(**row["contaminant"]))
            for number, row in self._sifted(records)
            if row["contaminant"]
        )
        dropped = confirmed(suspects)
        kin = ((records.value("family", one), records.value("family", other)) for one, other in twins.kin)
        sides = Sides(self.recipe.corpus.held_out_share, kin)

        def rows() -> Iterator[dict[str, Any]]:
            for number, row in self._sifted(records):
                conversation = row["conversation"]
                origin = Provenance(**conversation["provenance"])
                if number in dropped:
                    file_contaminant(dropped[number], origin, ledger)
                    continue
                split = sides.of(origin.family)
                counts[f"{origin.source}/{split}"] += 1
                yield {**conversation, "split": split}

        write_jsonl(self.out / CONVERSATIONS, rows())
        return counts, ledger

    def _sifted(self, records: Records) -> Iterator[tuple[int, dict[str, Any]]]:
        return enumerate(json.loads(line) for number in records.batches for line in self._sift.lines(number))

    def synthesise(self, ledger: DropLedger) -> list[Row]:
        """`turns.jsonl`; returns its rows."""
        endpoint = self.recipe.corpus.endpoint
        made = made_turns(self.recipe, self.folder, self.decontaminator, ledger, self.console)
        if endpoint:
            existing = [*(row["text"] for row in made), *(text for texts in self.suites.values() for text in sorted(texts))]
            file = self.out / "endpoint.jsonl"
            made += asked_turns(endpoint, self.recipe.seed, existing, file, self.decontaminator, ledger, self.console)
        write_jsonl(self.out / TURNS, made)
        return made

    def audit(self, made: list[Row]) -> Audit | None:
        """`synthesis.json`; None where nothing was made."""
        if not made:
            return None
        turns = [Turn(row["text"], tuple(row["intents"]), tuple(map(tuple, row["slots"])), tuple(row["families"])) for row in made]
        report = audit(turns, catalogue(), day=self.day, embedder=self.embedder if self._by_meaning else None)
        write_json(self.out / AUDIT, report.model_dump(mode="json"))
        return report

    def account(self, records: Records, ledger: DropLedger) -> tuple[Tally, int]:
        """`ledger.jsonl` and `review.jsonl`; returns how often each thing happened, and how many records wait for review."""
        count, tally = len(records.batches), Tally()
        entries = chain(
            (Entry(**row) for row in read_jsonl(self.work / "read.ledger.jsonl")),
            self._clean.entries(count),
            self._sift.entries(count),
            ledger.entries,
        )
        write_jsonl(self.out / LEDGER, (asdict(entry) for entry in tally.counted(entries)))
        review = (json.loads(line) for number in records.batches for line in self._clean.lines(number))
        return tally, write_jsonl(self.out / REVIEW, review)

    @property
    def _by_meaning(self) -> bool:
        return bool(self.suites) and self.recipe.corpus.decontaminate_meaning is not None

    @cached_property
    def embedder(self) -> SentenceEmbedder:
        """MiniLM, loaded when it is first needed."""
        import torch

        from bedside.engine.embedding import SentenceEmbedder

        return SentenceEmbedder(torch.bfloat16)

    @cached_property
    def decontaminator(self) -> Decontaminator:
        """Looks for what the suites hold, by words, and by meaning where the recipe asks for it."""
        meaning = self.recipe.corpus.decontaminate_meaning
        if meaning is None or not self.suites:
            return Decontaminator(self.suites)
        return Decontaminator(self.suites, embedder=self.embedder, meaning=meaning)
