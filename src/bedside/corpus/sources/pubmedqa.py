"""PubMedQA's labelled part: a JSON object from PubMed id to

    {"QUESTION": "Do …?", "CONTEXTS": ["…", "…"], "LONG_ANSWER": "…", "final_decision": "yes" | "no" | "maybe", …}

The user gives the abstract without its conclusion and asks; the assistant decides and gives the conclusion. Labels: `answer` (the
decision) and `pmid`. One family an abstract.

Layout: https://github.com/pubmedqa/pubmedqa (data/ori_pqal.json).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bedside.corpus.sources.json_rows import keyed_rows
from bedside.corpus.sources.records import BadRecord, Record, Row, RowError, list_field, parsed, text_field, words
from bedside.corpus.sources.registry import reader


@reader("pubmedqa", layout="a JSON object from PubMed id to an object with QUESTION, CONTEXTS, LONG_ANSWER and final_decision")
def read(path: Path) -> Iterator[Record | BadRecord]:
    """One conversation an abstract.

    Raises:
        SourceError: the JSON is no object or cut off.
        OSError: the file cannot be opened or read.
    """
    return parsed(keyed_rows(path, depth=1), _record)


def _record(row: Row) -> Record:
    question, conclusion, decision = (text_field(row.value, name) for name in ("QUESTION", "LONG_ANSWER", "final_decision"))
    contexts = [words(context, "CONTEXTS") for context in list_field(row.value, "CONTEXTS")]
    if not contexts:
        raise RowError("empty_field", "'CONTEXTS' is an empty list")
    if decision not in ("yes", "no", "maybe"):
        raise RowError("bad_answer", "'final_decision' is none of yes, no, maybe")
    pmid = words(" ".join(row.keys), "PubMed id")
    asked = "\n\n".join([*contexts, f"Question: {question}\nAnswer yes, no or maybe, and say why."])
    answered = f"{decision.capitalize()}. {conclusion}"
    return Record((("user", asked), ("assistant", answered)), row.where, f"pmid:{pmid}", {"answer": decision, "pmid": pmid})
