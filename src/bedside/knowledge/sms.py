"""Text messages that the line may send, as `sms_texts.yaml` holds them."""

from __future__ import annotations

from functools import cache
from string import Formatter
from typing import Literal

from pydantic import Field, model_validator

from bedside.knowledge.facts import Fact, built_in

Place = Literal["practice", "number", "when"]
PLACES: tuple[Place, ...] = ("practice", "number", "when")


class SmsText(Fact):
    """One text message.

    Attributes:
        text: the words; every one names the practice, and nothing else can be filled in than the three places at the top of the file.
    """

    text: str = Field(max_length=160)

    @property
    def places(self) -> frozenset[str]:
        """The places that are filled in."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.text) if name is not None)

    @model_validator(mode="after")
    def _neutral(self) -> SmsText:
        strange = self.places - set(PLACES)
        if strange or "practice" not in self.places:
            raise ValueError(f"a text message has the place {{practice}} and no others than {', '.join(PLACES)}")
        return self


@cache
def sms_texts() -> dict[str, SmsText]:
    """All text messages by id."""
    return {fact.id: fact for fact in built_in(SmsText, "sms_texts.yaml")}
