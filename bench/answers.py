"""Answers with sources: whether the right passage is quoted, whether what the documents do not say is left unanswered, and whether sentences that
they do not bear out are found.

    made with    invented documents on which the thresholds were set       tests/answers/library/made_with
    held out     others, on which nothing was set                          tests/answers/library/held_out
    PubMedQA     where $BEDSIDE_DATA has it: 120 abstracts: every second one is in the index, all 120 questions are asked

Only the second and third say how well it works. The sentences are invented too, by the author of the check.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

from rich.console import Console
from rich.table import Table

from bedside.answers import Answers, index_folder
from bedside.answers.groundedness import support
from bedside.answers.index import Embedder, sentence_embedder
from bedside.answers.passages import sentence_spans
from bedside.answers.retrieval import Hit, Retrieval

# Not as `tests.answers…`: a package of the environment ships a module `tests` of its own.
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from answers.papers import asked, lay_out, statements

PRACTICES = ("made_with", "held_out")
_WAYS = (("words", False), ("words and meaning", True))
_ABSTRACTS = 120
_EVERYTHING = 50  # more than the passages of either practice, and as deep as a search goes


def measure(console: Console) -> None:
    """Print accuracy on answerable and unanswerable questions, and recall and precision of the groundedness check."""
    with TemporaryDirectory() as scratch:
        for practice in PRACTICES:
            index = Path(scratch, f"{practice}.sqlite")
            index_folder(lay_out(practice, Path(scratch, practice)), index)
            console.print(_questions(practice, index))
            console.print(_statements(practice, index))
        abstracts = Path(os.environ.get("BEDSIDE_DATA", ""), "pubmedqa", "ori_pqal.json")
        if abstracts.is_file():
            console.print(_pubmedqa(abstracts, Path(scratch)))
        else:
            console.print("PubMedQA is not at $BEDSIDE_DATA/pubmedqa: its part is left out", highlight=False)


def _questions(practice: str, index: Path) -> Table:
    questions = asked(practice)
    table = Table("", "right passage quoted", "left unanswered", "withheld by the guard", "p95 ms", title=f"{practice}: questions")
    for name, by_meaning in _WAYS:
        answers = Answers.open(index, by_meaning=by_meaning)
        answers.ask("Hello there")
        right, withheld, silent, seconds = 0, 0, 0, []
        for one in questions["answered"]:
            start = perf_counter()
            citations = answers.ask(one["asks"]).citations
            seconds.append(perf_counter() - start)
            withheld += any(cited.withheld for cited in citations)
            right += any(" ".join(one["says"].split()) in " ".join(cited.quote.split()) for cited in citations)
        silent = sum(not answers.ask(question).supported for question in questions["unanswered"])
        answered, unanswered = len(questions["answered"]), len(questions["unanswered"])
        table.add_row(
            name,
            _share(right, answered),
            _share(silent, unanswered),
            _share(withheld, answered),
            f"{sorted(seconds)[int(len(seconds) * 0.95)] * 1000:.0f}",
        )
        answers.close()
    return table


def _statements(practice: str, index: Path) -> Table:
    """Planted sentences: recall of those that do not hold, by kind, and precision over them and those that do, quoted and reworded."""
    given = statements(practice)
    hits = list(_all_hits(index))
    kinds = {
        **given["fails"],
        "quoted": [hit.text[start:end] for hit in hits for start, end in sentence_spans(hit.text)],
        "reworded": given["holds"],
    }
    ways = (None, sentence_embedder()[0])
    removed = [{kind: _not_borne_out(sentences, hits, embedder) for kind, sentences in kinds.items()} for embedder in ways]
    table = Table("removed", *(name for name, _ in _WAYS), title=f"{practice}: sentences by what is wrong with them")
    for kind, sentences in kinds.items():
        table.add_row(kind, *(_share(counts[kind], len(sentences)) for counts in removed))
    planted = sum(map(len, given["fails"].values()))
    caught = [sum(counts[kind] for kind in given["fails"]) for counts in removed]
    table.add_row("recall", *(_share(found, planted) for found in caught))
    table.add_row("precision", *(_share(found, sum(counts.values())) for found, counts in zip(caught, removed, strict=True)))
    return table


def _not_borne_out(sentences: Iterable[str], hits: Sequence[Hit], embedder: Embedder | None) -> int:
    return sum(support(sentence, hits, embedder) is None for sentence in sentences)


def _all_hits(index: Path) -> Iterator[Hit]:
    """Every passage of a small index."""
    retrieval = Retrieval(index)
    yield from retrieval.search("practice", _EVERYTHING)
    retrieval.close()


def _pubmedqa(path: Path, scratch: Path) -> Table:
    """Whether a question leads to its own abstract, and whether one whose abstract is not there is left unanswered."""
    everything = json.loads(path.read_text(encoding="utf-8"))
    rows = {pmid: everything[pmid] for pmid in sorted(everything)[:_ABSTRACTS]}
    folder, index = scratch / "abstracts", scratch / "abstracts.sqlite"
    folder.mkdir()
    held = set(list(rows)[::2])
    for pmid in held:
        (folder / f"{pmid}.txt").write_text("\n\n".join(rows[pmid]["CONTEXTS"]), encoding="utf-8")
    start = perf_counter()
    done = index_folder(folder, index)
    seconds = perf_counter() - start
    title = f"PubMedQA: {len(held)} abstracts, {done.passages:,} passages indexed in {seconds:.0f} s"
    table = Table("", "own abstract first", "among five", "answered of those there", "left unanswered of the others", title=title)
    for name, by_meaning in _WAYS:
        answers = Answers.open(index, by_meaning=by_meaning)
        first = among = answered = silent = 0
        for pmid, row in rows.items():
            supported = answers.ask(row["QUESTION"]).supported
            if pmid not in held:
                silent += not supported
                continue
            found = [hit.source for hit in answers.retrieval.search(row["QUESTION"], 5)]
            first += found[:1] == [f"{pmid}.txt"]
            among += f"{pmid}.txt" in found
            answered += supported
        table.add_row(
            name, _share(first, len(held)), _share(among, len(held)), _share(answered, len(held)), _share(silent, len(rows) - len(held))
        )
        answers.close()
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.0%} ({part}/{whole})" if whole else "–"
