"""The safety core and de-identification, asked without a model. Answers are the lines that the commands write with `--jsonl`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field, model_validator

from bedside.corpus.deidentify.files import Mode, Settings, deidentify_text
from bedside.corpus.deidentify.surrogates import Surrogates
from bedside.safety.interactions import check
from bedside.safety.rows import interaction_row, triage_row
from bedside.safety.urgency import most_urgent
from bedside.server.api.audited import Asked, AuditedRoute, asking
from bedside.server.api.fields import ID, Strict, TextsRequest, Words, refuse_too_much
from bedside.server.gateway import Gateway, gateway_of
from bedside.server.problems import responses
from bedside.server.rails import by_rules

router = APIRouter(route_class=AuditedRoute, tags=["rules, without a model"])
_REFUSALS = responses(400, 401, 403, 408, 413, 429, 503)


class DeidentifyRequest(TextsRequest):
    """One text or several, and what to put in place of what is found: `[NAME]` and the like, or invented values."""

    mode: Mode = "redact"
    seed: int = Field(default=0, ge=0, lt=2**32, description="Of the invented values.")


class Pair(Strict):
    """Two medicines: brands, generics, classes, in any spelling."""

    a: Words
    b: Words


class InteractionsRequest(Strict):
    """Two medicines (`a`, `b`), or several pairs in one request."""

    a: Words | None = None
    b: Words | None = None
    pairs: list[Pair] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_of_both(self) -> InteractionsRequest:
        if (self.a is None) != (self.b is None) or (self.a is None) == (self.pairs is None):
            raise ValueError("give either a and b, or pairs")
        return self

    @property
    def all(self) -> list[tuple[str, str]]:
        """Every pair."""
        return [(self.a or "", self.b or "")] if self.pairs is None else [(pair.a, pair.b) for pair in self.pairs]


class Flag(BaseModel):
    """A red flag that fired, and the words that fired it."""

    id: str
    evidence: list[str]


class Triaged(BaseModel):
    """Where the practice's protocol sends a caller."""

    id: str = Field(description=ID)
    disposition: str
    red_flags: list[Flag]
    ask: list[str] = Field(description="What would have to be asked; no answer may lower the disposition.")


class Reason(BaseModel):
    """Why two medicines should be checked by a doctor or pharmacist."""

    id: str
    severity: str
    mechanism: str
    effect: str
    wording: str = Field(description="Id of the approved text that may be said.")
    source: str


class Interacting(BaseModel):
    """What is known of two medicines taken together; `unknown` is never safe."""

    id: str = Field(description=ID)
    severity: Literal["contraindicated", "major", "moderate", "minor", "none", "unknown"]
    rules: list[Reason]


class Span(BaseModel):
    """A piece of the text as it came in, in characters, and what it is."""

    start: int
    end: int
    type: str


class Deidentified(BaseModel):
    """A text without what may tell who it is about. A person has to check it."""

    id: str = Field(description=ID)
    text: str
    spans: list[Span]


class TriagedTexts(BaseModel):
    """Several, in their order."""

    results: list[Triaged]


class InteractingPairs(BaseModel):
    """Several, in their order."""

    results: list[Interacting]


class DeidentifiedTexts(BaseModel):
    """Several, in their order."""

    results: list[Deidentified]


@router.post("/v1/triage", response_model=None, responses={**_REFUSALS, 200: {"model": Triaged | TriagedTexts}})
async def triage(body: TextsRequest, request: Request, asked: Annotated[Asked, asking("triage")]) -> Response:
    """Where the practice's protocol sends a caller, and the words that decided it. It carries out a protocol and assesses nobody."""
    gateway = gateway_of(request)
    refuse_too_much(body.all, gateway.settings.limits, body.where)
    day = date.today()
    rows = [await by_rules(len(text), _triaged, gateway, text, day) for text in body.all]
    asked.text, asked.disposition = "\n".join(body.all), most_urgent(*(row["disposition"] for row in rows))
    asked.rules = tuple(flag["id"] for row in rows for flag in row["red_flags"])
    for row in rows:
        gateway.metrics.disposed(row["disposition"])
    return _answer(rows, body.texts is not None)


@router.post("/v1/interactions", response_model=None, responses={**_REFUSALS, 200: {"model": Interacting | InteractingPairs}})
async def interactions(body: InteractionsRequest, request: Request, asked: Annotated[Asked, asking("interactions")]) -> Response:
    """What is known of two medicines taken together, for a doctor or pharmacist to check. An unknown medicine is never called safe."""
    refuse_too_much([a + b for a, b in body.all], gateway_of(request).settings.limits, "/pairs" if body.pairs is not None else "")
    rows = [await by_rules(len(a) + len(b), _interacting, a, b) for a, b in body.all]
    asked.text = "\n".join(name for pair in body.all for name in pair)
    asked.rules = tuple(rule["id"] for row in rows for rule in row["rules"])
    return _answer(rows, body.pairs is not None)


@router.post("/v1/deidentify", response_model=None, responses={**_REFUSALS, 200: {"model": Deidentified | DeidentifiedTexts}})
async def deidentify(body: DeidentifyRequest, request: Request, asked: Annotated[Asked, asking("deidentify")]) -> Response:
    """Texts without names, addresses, dates, numbers and other identifiers, and where those were. A person has to check the result."""
    refuse_too_much(body.all, gateway_of(request).settings.limits, body.where)
    settings = Settings(body.mode, body.seed)
    rows = [await by_rules(len(text), _deidentified, str(number), text, settings) for number, text in enumerate(body.all, 1)]
    asked.text = "\n".join(body.all)
    return _answer(rows, body.texts is not None)


def _triaged(gateway: Gateway, text: str, day: date) -> dict[str, Any]:
    return triage_row(*gateway.rails.triage(text, day))


def _interacting(a: str, b: str) -> dict[str, Any]:
    return interaction_row(check(a, b))


def _deidentified(id: str, text: str, settings: Settings) -> dict[str, Any]:
    # One id gives one record, so that a text has the same invented people each time.
    done, spans = deidentify_text(text, settings, Surrogates(settings.seed, id))
    return {"text": done, "spans": [{"start": span.start, "end": span.end, "type": span.type} for span in spans]}


def _answer(rows: Sequence[dict[str, Any]], many: bool) -> Response:
    numbered = [{"id": str(number), **row} for number, row in enumerate(rows, 1)]
    return JSONResponse({"results": numbered} if many else numbered[0])
