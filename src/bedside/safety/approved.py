"""Approved texts, filled from tables only."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from itertools import product
from string import Formatter
from typing import Literal, cast

from bedside.errors import KnowledgeError
from bedside.knowledge.protocol import Protocol
from bedside.knowledge.sayings import ApprovedText, Helpline
from bedside.knowledge.store import facts
from bedside.safety.numbers import aloud

Channel = Literal["text", "speech"]


def say(text_id: str, *, day: date, protocol: Protocol | None = None, channel: Channel = "text", **slots: str) -> str:
    """An approved text with its slots filled.

    Args:
        text_id: its id.
        day: the day on which it is said; nothing is taken from facts that do not hold on it.
        protocol: the practice's protocol, for its name, its fees, and its own texts and helplines.
        channel: `speech` writes 000 as "triple zero" and other telephone numbers digit by digit.
        slots: for each slot of the text, the id of a helpline or the name of a fee.

    Raises:
        KnowledgeError: no such text, a slot too many or too few, or a slot that asks for something that is in no table or not confirmed.
    """
    return tables(day, protocol).say(text_id, channel, **slots)


@lru_cache(maxsize=32)
def tables(day: date, protocol: Protocol | None = None) -> Tables:
    """The tables of `day`, kept."""
    return Tables(day, protocol)


class Tables:
    """Texts, helplines and fees that may be used on one day."""

    def __init__(self, day: date, protocol: Protocol | None = None) -> None:
        added = protocol.added if protocol else {}
        self.day = day
        self.practice = protocol.practice if protocol else None
        self.texts = {
            fact.id: cast(ApprovedText, fact) for fact in (*facts("approved_texts"), *added.get("approved_texts", ())) if fact.holds_on(day)
        }
        self.helplines = {
            fact.id: cast(Helpline, fact) for fact in (*facts("helplines"), *added.get("helplines", ())) if fact.holds_on(day)
        }

    def say(self, text_id: str, channel: Channel = "text", **slots: str) -> str:
        """See `bedside.safety.approved.say`."""
        text = self.texts.get(text_id)
        if text is None:
            raise KnowledgeError(f"no approved text {text_id!r} holds on {self.day}", f"Use one of {', '.join(self.texts)}")
        if set(slots) != set(text.slots):
            raise KnowledgeError(f"the text {text_id} was given the slots {sorted(slots)}", f"It takes {sorted(text.slots)}")
        parts = []
        for words, name, _, _ in Formatter().parse(text.text):
            parts.append(words)
            if name is not None:
                root, _, part = name.partition(".")
                parts.append(self._fill(text, root, part, slots, channel))
        return "".join(parts)

    def every(self, text_id: str) -> Iterator[str]:
        """The text in every way in which it can be said."""
        slots = self.texts[text_id].slots
        choices = [self._choices(kind) for kind in slots.values()]
        for values in product(*choices):
            for channel in ("text", "speech"):
                try:
                    yield self.say(text_id, channel, **dict(zip(slots, values, strict=True)))
                except KnowledgeError:  # names a helpline without a confirmed number: it cannot be said today
                    continue

    def _choices(self, kind: str) -> list[str]:
        return list(self.helplines) if kind == "helpline" else list(self.practice.fees if self.practice else ())

    def _fill(self, text: ApprovedText, root: str, part: str, slots: dict[str, str], channel: Channel) -> str:
        if root == "practice":
            return self.practice.name if self.practice else "this practice"
        if text.slots.get(root) == "fee":
            return self._fee(slots[root], channel)
        helpline = self.helplines.get(slots.get(root, root))
        if helpline is None:
            raise KnowledgeError(
                f"the text {text.id} needs the helpline {slots.get(root, root)!r}, which does not hold on {self.day}", "Choose another"
            )
        if part == "name":
            return helpline.name
        if helpline.number is None:
            raise KnowledgeError(f"the number of {helpline.name} is not confirmed", "Verify it and put it into the practice's protocol")
        return helpline.number if channel == "text" else helpline.spoken or aloud(helpline.number)

    def _fee(self, name: str, channel: Channel) -> str:
        fees = self.practice.fees if self.practice else {}
        if name not in fees:
            raise KnowledgeError(f"the practice has no fee {name!r}", f"It has {', '.join(fees) or 'none'}: say fee unknown")
        if channel == "text":
            return f"${fees[name]:.2f}"
        dollars, cents = divmod(int(fees[name] * 100), 100)
        return f"{dollars} dollars" + (f" {cents}" if cents else "")
