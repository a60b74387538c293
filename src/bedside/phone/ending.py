"""Whether a caller's turn is over, from its words so far: a number that is whole is, and one that is not will go on."""

from __future__ import annotations

import re

from bedside.phone.call.events import ListenKind
from bedside.phone.words.answers import yes_no
from bedside.phone.words.digits import digit_runs, phone_number
from bedside.phone.words.plain import plain

_GOES_ON = {"a", "an", "and", "at", "because", "but", "for", "from", "in", "my", "of", "on", "or", "so", "that", "the", "to", "um", "with"}
"""A turn that pauses after one of these is not over."""
_FAREWELL = {"please", "thanks", "cheers"}
_SHORT = 4
_YEAR_LAST = re.compile(r"\b(?:19|20)\d\d$")
_NO, _UNDECIDED, _LIKELY, _YES = 0.0, 0.5, 0.9, 1.0


def finished(text: str, kind: ListenKind) -> float:
    """The probability that a turn is over; one half says nothing.

    Args:
        text: what was recognised of it so far.
        kind: what was asked for.
    """
    words = text.lower().rstrip(" .!?,").split()
    if kind == "number" and any(map(str.isdigit, "".join(digit_runs(text)))):
        return _YES if phone_number(text) else _NO
    if not words or words[-1] in _GOES_ON:
        return _NO if words else _UNDECIDED
    if kind == "yes_no" and yes_no(text) is not None:
        return _YES
    if kind == "birth" and _YEAR_LAST.search(plain(text)):
        return _LIKELY
    if words[-1] in _FAREWELL or text.rstrip().endswith("?") or (kind in ("yes_no", "choice") and len(words) <= _SHORT):
        return _LIKELY
    return _UNDECIDED
