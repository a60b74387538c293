"""What the line may say: helplines and approved texts, as `helplines.yaml` and `approved_texts.yaml` hold them."""

from __future__ import annotations

from functools import cached_property
from string import Formatter
from typing import Literal

from pydantic import Field, model_validator

from bedside.knowledge.facts import Fact

SlotKind = Literal["helpline", "fee"]


class Helpline(Fact):
    """One service that a caller may be given.

    Attributes:
        name: as callers know it.
        number: its telephone number, grouped as Australians write it; None: the digits are not confirmed and must not be given.
        called: other names that people use for it.
        spoken: how the number is read aloud where that is not digit by digit.
        use: what it is for.
        states: the states and territories it serves; empty: all.
        hours: when it answers; None: not known.
        note: what staff must know about it.
    """

    name: str
    number: str | None = Field(pattern=r"^\d[\d ]*\d$")
    called: tuple[str, ...] = ()
    spoken: str | None = None
    use: str
    states: tuple[str, ...] = ()
    hours: str | None = None
    note: str | None = None

    @property
    def digits(self) -> str | None:
        """The number without spaces."""
        return self.number and self.number.replace(" ", "")


class ApprovedText(Fact):
    """One text that the line may say as it stands.

    Attributes:
        text: the words. `{practice}` is the practice's name, `{ID.number}` and `{ID.name}` a helpline's, `{SLOT…}` a slot's.
        slots: slots that the caller of `say` fills, with their kind: the id of a helpline, or of a fee of the practice.
    """

    text: str
    slots: dict[str, SlotKind] = Field(default_factory=dict)

    @cached_property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """Each place to fill: the name before the dot and the part after it (empty where there is no dot)."""
        names = [name for _, name, _, _ in Formatter().parse(self.text) if name is not None]
        return tuple((root, part) for root, _, part in (name.partition(".") for name in names))

    @property
    def helplines(self) -> tuple[str, ...]:
        """Ids of the helplines that the text itself names."""
        return tuple(root for root, _ in self.fields if root != "practice" and root not in self.slots)

    @model_validator(mode="after")
    def _places_exist(self) -> ApprovedText:
        for root, part in self.fields:
            wanted = ("",) if root == "practice" or self.slots.get(root) == "fee" else ("number", "name")
            if part not in wanted:
                raise ValueError(f"the place {{{root}{'.' if part else ''}{part}}} must be one of {', '.join(wanted) or 'without a dot'}")
        unused = set(self.slots) - {root for root, _ in self.fields}
        if unused:
            raise ValueError(f"slot {sorted(unused)[0]} is not in the text")
        return self
