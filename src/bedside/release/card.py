"""The model card: what a release is, what it was made from, what was measured and what it must not be used for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from typing import Any

import jinja2
from pydantic import BaseModel, ConfigDict, ValidationError

from bedside.engine.contract import ChatContract
from bedside.errors import ReleaseError
from bedside.release.gates import GateResult
from bedside.release.quantise import Fallback

NOTICE = "Not a medical device. Not for clinical use without validation."


class Source(BaseModel):
    """Where training data came from: name, number of records used, licence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    records: int
    licence: str


class CardFacts(BaseModel):
    """What a card says that only the caller knows.

    Attributes:
        base_model: its public name.
        base_licence, licence: SPDX names, of the base and of the release.
        sources: the training data.
        training: setting → value, in the order shown.
        scores: measure → column (such as `base`, `tuned`, `95 % interval`) → value.
        limits: sentences, besides the notice that every card carries.
        summary: one paragraph at the top.
        usage: the command that tries it, in the folder of the card.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    base_model: str
    base_licence: str
    licence: str
    sources: tuple[Source, ...]
    training: dict[str, str | int | float | bool]
    scores: dict[str, dict[str, str | int | float]] = {}
    limits: tuple[str, ...] = ()
    summary: str = ""
    usage: str = 'bedside ask --release . "your question"'

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> CardFacts:
        """Check the facts of a card.

        Raises:
            ReleaseError: names every fact that is missing, unknown or of another type.
        """
        try:
            return cls.model_validate(dict(facts))
        except ValidationError as error:
            faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise ReleaseError(
                f"the facts of the model card are not whole ({faults})", "Mend them in the recipe's `release` section"
            ) from error


@dataclass(frozen=True)
class Built:
    """What a card says that the build knows.

    Attributes:
        kind: quantisation.
        bytes: size of the model file.
        types: how many tensors have which type.
        fallbacks: tensors with another type than the kind asks for.
        gates: those passed.
        hashes: file name → SHA-256, of the files beside the card.
        date: day of the build.
        version: of bedside.
    """

    kind: str
    bytes: int
    types: Mapping[str, int]
    fallbacks: Sequence[Fallback]
    gates: Sequence[GateResult]
    hashes: Mapping[str, str]
    date: date
    version: str


def card_text(name: str, contract: ChatContract, facts: CardFacts, built: Built) -> str:
    """The card as Markdown with the front matter that model hubs read."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    environment.filters |= {"cell": _cell, "groups": _groups}
    template = environment.from_string(files("bedside.release").joinpath("templates", "card.md.j2").read_text(encoding="utf-8"))
    columns = list(dict.fromkeys(column for row in facts.scores.values() for column in row))
    return template.render(name=name, notice=NOTICE, contract=contract, facts=facts, columns=columns, **vars(built))


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _groups(fallbacks: Sequence[Fallback]) -> list[tuple[tuple[str, str], list[str]]]:
    groups: dict[tuple[str, str], list[str]] = {}
    for fallback in fallbacks:
        groups.setdefault((fallback.wanted, fallback.got), []).append(fallback.name)
    return list(groups.items())
