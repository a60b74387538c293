"""The workbench: a caller's words, medicines taken together, and Medicare rules, each with the reason and its source. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from bedside.errors import KnowledgeError
from bedside.safety.interactions import Finding, check, check_list
from bedside.safety.medicare import CHECKS, Answer, run_check
from bedside.safety.medicines import Mention, recognise
from bedside.server.access import person
from bedside.server.console.explain import explain
from bedside.server.console.marks import Mark, pieces
from bedside.server.console.medicare_form import facts_of, form_of
from bedside.server.console.render import ConsoleRoute, page
from bedside.server.gateway import gateway_of

MOST_WORDS = 4000
"""Letters of one text; a turn or a medication list is far shorter."""
MOST_NAMES = 20
"""Medicines of one list; all pairs and threesomes of them are looked at."""

router = APIRouter(route_class=ConsoleRoute, prefix="/console")

Words = Annotated[str, Form(max_length=MOST_WORDS)]


@router.get("/triage", dependencies=[person("reception")])
def triage_page(request: Request) -> Response:
    """An empty triage page."""
    return page(request, "triage.html.j2", text="", explained=None, most=MOST_WORDS)


@router.post("/triage", dependencies=[person("reception")])
def triage_result(request: Request, text: Words = "") -> Response:
    """Where the protocol sends a caller who says this."""
    day = date.today()
    explained = explain(text, day=day, protocol=gateway_of(request).rails.protocol(day)) if text.strip() else None
    return page(request, "triage.html.j2", text=text, explained=explained, most=MOST_WORDS)


@router.get("/medicines", dependencies=[person("clinician")])
def medicines_page(request: Request) -> Response:
    """An empty page for medicines."""
    return page(request, "medicines.html.j2", text="", named=(), pieces=[], findings=None, most=MOST_WORDS)


@router.post("/medicines", dependencies=[person("clinician")])
def medicines_result(request: Request, text: Words = "") -> Response:
    """The medicines of a text or list, and what is known of them together."""
    mentions = recognise(text, in_context=True)
    names = names_of(text, mentions)
    if len(names) > MOST_NAMES:
        raise KnowledgeError(f"the list names {len(names)} medicines", f"Give at most {MOST_NAMES} at a time")
    marks = [Mark(mention.start, mention.end, said_of(mention)) for mention in mentions]
    return page(
        request,
        "medicines.html.j2",
        text=text,
        named=[(mention, said_of(mention)) for mention in mentions],
        pieces=pieces(text, marks),
        findings=together(names),
        most=MOST_WORDS,
    )


@router.get("/medicare", dependencies=[person("clinician")])
def medicare_page(request: Request, check: str = next(iter(CHECKS))) -> Response:
    """The form of a Medicare or PBS check."""
    return _medicare(request, check)


@router.post("/medicare/{check}", dependencies=[person("clinician")])
async def medicare_result(request: Request, check: str) -> Response:
    """What a check says of the facts that were filled in."""
    given = {name: value for name, value in (await request.form()).items() if isinstance(value, str) and name != "csrf"}
    try:
        return _medicare(request, check, given, answer=run_check(check, facts_of(form_of(check), given)))
    except KnowledgeError as error:
        return _medicare(request, check, given, problem=error)


def _medicare(
    request: Request,
    check: str,
    given: Mapping[str, str] | None = None,
    *,
    answer: Answer | None = None,
    problem: KnowledgeError | None = None,
) -> Response:
    return page(
        request,
        "medicare.html.j2",
        forms=[form_of(name) for name in CHECKS],
        form=form_of(check),
        given=given or {},
        answer=answer,
        problem=problem,
    )


def names_of(text: str, mentions: tuple[Mention, ...]) -> list[str]:
    """The names to check against each other: what was recognised, and each line or part of a list in which nothing was.

    A part without a known medicine is kept as it stands, so that the page says that it is not known instead of leaving it out.
    """
    names: dict[str, None] = {}
    for part in re.finditer(r"[^\n,;]+", text):
        inside = [mention.text for mention in mentions if part.start() <= mention.start < part.end()]
        if inside:
            names.update(dict.fromkeys(name.lower() for name in inside))
        elif part.group().strip():
            names[part.group().strip().lower()[:80]] = None
    return list(names)


def said_of(mention: Mention) -> str:
    """What a mention means."""
    return " + ".join(mention.generics) or f"a {(mention.class_id or '').replace('_', ' ')}"


def together(names: list[str]) -> list[Finding]:
    """Everything known of a list, worst first; of two names the answer is there also where nothing is known against them."""
    found = list(check_list(names))
    if not found and len(names) == 2:
        found.append(Finding((names[0], names[1]), check(*names)))
    return found
