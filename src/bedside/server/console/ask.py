"""Ask: a question, its answer, where the answer stands in the organisation's documents, and what the safety core made of both."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

from anyio import to_thread
from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from bedside.errors import BedsideError
from bedside.knowledge.guard_rules import GuardRule, guard_rules
from bedside.server.access import person
from bedside.server.api.answers import Answered, Citation, Question, answers
from bedside.server.api.audited import Asked
from bedside.server.api.chat import chat_completions
from bedside.server.api.chat_request import ChatRequest, ChatTurn
from bedside.server.console import document
from bedside.server.console.explain import Explanation, explain
from bedside.server.console.marks import Mark, Piece, pieces
from bedside.server.console.render import ConsoleRoute, login_of, page
from bedside.server.engines import Lane
from bedside.server.gateway import Gateway, gateway_of
from bedside.server.problems import ProblemError, problem_of

From = Literal["documents", "model"]

MAX_QUESTION = 2000
"""Letters of a question."""

router = APIRouter(route_class=ConsoleRoute, prefix="/console/ask", dependencies=[person("clinician")])


class Source(NamedTuple):
    """A citation with the passage that it is of, its words marked; without pieces where it may not be quoted or is no longer there."""

    citation: Citation
    pieces: list[Piece]

    @property
    def link(self) -> str:
        """The page of the document that shows the cited words; see `bedside.server.console.document`."""
        place = {"source": self.citation.source, "start": self.citation.start, "end": self.citation.end}
        return f"{document.PATH}?{urlencode(place)}#{document.QUOTED}"


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as the page shows it.

    Attributes:
        text: what may be read.
        engine: which model worded it; "" for none.
        broken: rules of the guard that the model's words broke; those sentences were replaced before anybody saw them.
        problem: why no model was asked; "" where one was.
        sources: citations, in the order of their numbers in the text.
        documents: the answer from documents; None for a model's own.
    """

    text: str
    engine: str
    broken: list[GuardRule]
    problem: str = ""
    sources: Sequence[Source] = ()
    documents: Answered | None = None


@router.get("")
def ask_page(request: Request) -> Response:
    """An empty page."""
    return _page(request, "", "documents")


@router.post("")
async def ask(
    request: Request, question: Annotated[str, Form(max_length=MAX_QUESTION)] = "", answer_from: Annotated[From, Form()] = "documents"
) -> Response:
    """The answer to a question."""
    gateway = gateway_of(request)
    question = question.strip()
    if not question:
        return _page(request, "", answer_from)
    day = date.today()
    protocol = gateway.rails.protocol(day)
    explained = await to_thread.run_sync(partial(explain, question, day=day, protocol=protocol))
    asked = Asked(request.url.path, login_of(request), text=question)
    asked.rules, asked.disposition = tuple(flag.id for flag in explained.found.red_flags), explained.decision.disposition
    shown, problem = None, None
    try:
        gateway.integrity.require()
        by_documents = gateway.answers is not None and answer_from == "documents"
        shown = await (_from_documents if by_documents else _from_model)(gateway, question, asked)
    except (BedsideError, ProblemError) as error:
        problem = problem_of(error)
    await asked.log(gateway.audit, problem.status if problem else 200)
    return _page(request, question, answer_from, explained, shown, problem)


def _page(
    request: Request,
    question: str,
    answer_from: From,
    explained: Explanation | None = None,
    shown: Shown | None = None,
    problem: ProblemError | None = None,
) -> Response:
    return page(
        request,
        "ask.html.j2",
        status=problem.status if problem else 200,
        question=question,
        answer_from=answer_from,
        has_documents=gateway_of(request).answers is not None,
        most=MAX_QUESTION,
        explained=explained,
        shown=shown,
        problem=problem,
    )


async def _from_model(gateway: Gateway, question: str, asked: Asked) -> Shown:
    """A model's own answer, by the way that every client's question takes."""
    lanes = _wording(gateway)
    if not lanes:
        raise ProblemError(404, "no_model", "no engine of this gateway words answers; one that understands callers does not")
    wanted = ChatRequest(model=lanes[0].model, messages=[ChatTurn(role="user", content=question)])
    response = await chat_completions(body=wanted, asked=asked, gateway=gateway)
    completion: dict[str, Any] = json.loads(bytes(response.body))
    made = completion["bedside"]
    return Shown(
        text=completion["choices"][0]["message"]["content"],
        engine=made.get("engine", ""),
        broken=_rules(made.get("violations", ())),
        problem=f"No model answered ({made['engine_problem']}); these are the approved words alone" if "engine_problem" in made else "",
    )


async def _from_documents(gateway: Gateway, question: str, asked: Asked) -> Shown:
    """An answer that the documents bear out, worded by a model where there is one, else in the documents' own words."""
    lanes = _wording(gateway)
    found = await answers(body=Question(question=question, model=lanes[0].model if lanes else None), asked=asked, gateway=gateway)
    answer = Answered.model_validate(found)
    return Shown(
        text=answer.text,
        engine=(asked.engine or "") if answer.by == "model" else "",
        broken=_rules(citation.withheld for citation in answer.citations),
        problem=answer.note,
        sources=await to_thread.run_sync(_sources, gateway, answer.citations),
        documents=answer,
    )


def _wording(gateway: Gateway) -> list[Lane]:
    """Engines that can word an answer; one that was taught to understand callers writes code words."""
    return gateway.engines.serving(None, lambda lane: not lane.understands)


def _rules(names: Iterable[str]) -> list[GuardRule]:
    known = {rule.id: rule for rule in guard_rules()}
    return [known[name] for name in dict.fromkeys(names) if name in known]


def _sources(gateway: Gateway, citations: Iterable[Citation]) -> list[Source]:
    return [Source(citation, _passage(gateway, citation)) for citation in citations]


def _passage(gateway: Gateway, citation: Citation) -> list[Piece]:
    """The passage around a quotation; empty where it may not be quoted, or the index has changed meanwhile."""
    if not citation.quote or gateway.answers is None:
        return []
    hits = gateway.answers.retrieval.around(citation.source, citation.start)
    hit = next((hit for hit in hits if hit.start <= citation.start and citation.end <= hit.end), None)
    return pieces(hit.text, [Mark(citation.start - hit.start, citation.end - hit.start, "quoted")]) if hit else []
