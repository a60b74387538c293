"""Answers from the organisation's own documents, with citations, and "not in my sources" where nothing supports one."""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from anyio import to_thread
from fastapi import APIRouter
from pydantic import BaseModel, Field

from bedside.errors import EngineError
from bedside.server.api.audited import Asked, AuditedRoute, asking
from bedside.server.api.fields import Strict, Words
from bedside.server.api.serving import Serving
from bedside.server.engines import Lane
from bedside.server.gateway import Gateway
from bedside.server.problems import ProblemError, responses

if TYPE_CHECKING:
    from bedside.answers import Answer

_log = logging.getLogger(__name__)
router = APIRouter(route_class=AuditedRoute, tags=["answers with sources"])
_MAX_QUESTION = 2000


class Question(Strict):
    """A question in plain words."""

    question: Words = Field(max_length=_MAX_QUESTION)
    model: str | None = Field(default=None, description="Words the answer; without one, sentences of the sources are quoted.")


class Citation(BaseModel):
    """Where a statement stands: a place in a document, in characters. An empty quote says in `withheld` which rule forbids to repeat it."""

    source: str
    title: str
    heading: str
    page: int | None
    start: int
    end: int
    quote: str
    withheld: str


class Answered(BaseModel):
    """An answer and what it rests on."""

    text: str
    citations: list[Citation]
    supported: bool = Field(description="Whether the sources answer the question.")
    groundedness: float = Field(description="Share of the proposed sentences that the sources bear out.")
    removed: int = Field(description="Sentences of a model that were not borne out and were left out.")
    by: str = Field(description="`quotation`, `model` or `nothing`.")
    disposition: str
    red_flags: list[str]
    search: str
    note: str
    disclaimer: str


@router.post("/v1/answers", responses={**responses(400, 401, 403, 404, 408, 413, 429, 503), 200: {"model": Answered}})
async def answers(body: Question, asked: Annotated[Asked, asking("answers")], gateway: Serving) -> Any:
    """What the organisation's own documents say, sentence by sentence with its place; an emergency gets its approved text first."""
    found = await _found(body, asked, gateway)
    asked.text, asked.disposition, asked.rules = body.question, found.disposition, found.red_flags
    gateway.metrics.disposed(found.disposition)
    return {**asdict(found), "disclaimer": gateway.rails.scope.disclaimer}


async def _found(body: Question, asked: Asked, gateway: Gateway) -> Answer:
    # Retrieval loads torch, which a gateway without documents does not need.
    from bedside.answers import AnswersError, QuestionError

    if gateway.answers is None:
        raise ProblemError(
            404, "no_answers", "this gateway has no documents; make an index with `bedside answers index` and set answers.index"
        )
    day = date.today()
    ask = partial(gateway.answers.ask, body.question, day=day, protocol=gateway.rails.protocol(day))
    try:
        if body.model is None:
            return await to_thread.run_sync(ask)
        return await _worded(ask, gateway.engines.serving(body.model), asked, gateway)
    except QuestionError as error:
        raise ProblemError(400, "question", str(error)) from error
    except AnswersError as error:
        _log.error("%s", error)
        raise ProblemError(503, "answers", "the index of the documents cannot be used; its log says why") from error


async def _worded(ask: partial[Answer], lanes: list[Lane], asked: Asked, gateway: Gateway) -> Answer:
    async def ask_lane(lane: Lane) -> Answer:
        async with lane.queue.place():
            answer = await lane.queue.call(ask, lane.engine)
        asked.engine = lane.name
        return answer

    try:
        return await gateway.engines.first(lanes, ask_lane)
    except EngineError:
        # The sources can be quoted without a model; the answer says by whom it was worded.
        return await to_thread.run_sync(ask)
