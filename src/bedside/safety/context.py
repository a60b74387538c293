"""What a mention is about: present or denied, now or long ago, this patient or a dog, a person or a form.

Each answer errs towards "present, now, this patient": a wrong denial costs a life, a missed one a question.
"""

from __future__ import annotations

from dataclasses import dataclass

from bedside.knowledge.red_flags import Lexicon
from bedside.safety.concepts import Mention, Reading
from bedside.safety.frames import Frames
from bedside.safety.negation import denied


@dataclass(frozen=True, slots=True)
class Scene:
    """The mentions of a turn, sorted by whether they hold for the patient now.

    Attributes:
        live: what holds, or may hold.
        parked: what a marker other than a negation sets aside ("in 2019", "my dog"): worth the question whether it is happening now.
    """

    live: tuple[Mention, ...]
    parked: tuple[Mention, ...]


def scene(reading: Reading, mentions: list[Mention], lexicon: Lexicon) -> Scene:
    """Sort `mentions` by their context.

    Args:
        reading: the tokens they point to.
        mentions: what was found, in the order of the text.
        lexicon: its markers' names are concepts of `mentions` too.
    """
    markers = lexicon.markers
    mentions = [m for m in mentions if not ((m.concept == "benign" or m.concept in markers) and _broken(m, reading))]
    benign = [m for m in mentions if m.concept == "benign"]
    if benign:
        mentions = [m for m in mentions if m.concept == "benign" or not _swallowed(m, benign)]
    absent = denied(reading, mentions, markers)
    frames = Frames(reading, mentions, markers)
    live: list[Mention] = []
    parked: list[Mention] = []
    for mention in mentions:
        if mention.first in absent and mention.concept != "barrier":
            continue
        stands = mention.concept in markers or mention.concept in lexicon.never_aside
        (parked if not stands and frames.set_aside(mention) else live).append(mention)
    return Scene(tuple(live), tuple(parked))


def _broken(mention: Mention, reading: Reading) -> bool:
    """Whether speech breaks off inside the mention."""
    return any(token.after_break for token in reading.tokens[mention.first + 1 : mention.last])


def _swallowed(mention: Mention, benign: list[Mention]) -> bool:
    """Whether a harmless saying shares words with the mention; a mention that contains the whole saying and more stands."""
    width = mention.last - mention.first
    return any(
        b.first < mention.last
        and mention.first < b.last
        and not (mention.first <= b.first and b.last <= mention.last and width > b.last - b.first)
        for b in benign
    )
