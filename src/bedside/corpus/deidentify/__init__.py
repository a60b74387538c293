"""De-identification: find who a text tells of, and put a label or an invented person in their place.

    find(text)                    spans, over clinic notes and lower-case transcripts alike
    redact(text, spans)           "[NAME] rang on [DATE]"
    Surrogates(seed, record)      the same person is the same invented person throughout a record, and intervals between dates stay
    audit(records)                a second look, by other means, at what came out; `plant` plants canaries for it
    files.deidentify_file         files and folders; `files.deidentify_lines` JSON Lines

Sources: source book 4.5; HIPAA Safe Harbor, 45 CFR 164.514(b)(2); OAIC, De-identification and the Privacy Act (2018).
"""

from __future__ import annotations

from collections.abc import Iterable

from bedside.corpus.deidentify.audit import Audit, Canary, Leak, audit, plant
from bedside.corpus.deidentify.contacts import find_contacts
from bedside.corpus.deidentify.dates import find_dates
from bedside.corpus.deidentify.identifiers import find_identifiers
from bedside.corpus.deidentify.names import find_names
from bedside.corpus.deidentify.places import find_addresses, find_facilities, find_localities
from bedside.corpus.deidentify.reading import read
from bedside.corpus.deidentify.spans import Kind, Recogniser, Span, joined, kinds
from bedside.corpus.deidentify.surrogates import Surrogates

__all__ = ["Audit", "Canary", "Kind", "Leak", "Recogniser", "Span", "Surrogates", "audit", "find", "kinds", "plant", "redact"]

_OWN = (find_contacts, find_identifiers, find_dates, find_addresses, find_facilities, find_localities, find_names)


def find(text: str, recognisers: Iterable[Recogniser] = ()) -> tuple[Span, ...]:
    """Everything in `text` that may tell who somebody is, in order, without overlaps.

    Args:
        text: clinic note, letter, message or transcript, in any case.
        recognisers: more of them (`presidio.PresidioRecogniser`); what they find is joined with our own.
    """
    reading = read(text)
    own = [reading.original_span(span) for recognise in _OWN for span in recognise(reading)]
    others = [span for recognise in recognisers for span in recognise(text)]
    return joined(text, own + others)


def redact(text: str, spans: Iterable[Span]) -> str:
    """`text` with the name of its type in brackets in place of each span (`[NAME]`)."""
    parts: list[str] = []
    done = 0
    for span in sorted(spans, key=lambda one: one.start):
        parts += (text[done : span.start], f"[{span.type}]")
        done = span.end
    return "".join((*parts, text[done:]))
