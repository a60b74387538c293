"""Where a citation leads: the page of the document, or the passages near by, with the cited words marked.

It shows the organisation's document as it was indexed, what the safety core would not repeat included: whoever follows a citation wants to
read what is written there, and is told that nobody checked it.
"""

from __future__ import annotations

from itertools import groupby
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from bedside.server.access import person
from bedside.server.console.marks import Mark, pieces
from bedside.server.console.render import ConsoleRoute, page
from bedside.server.gateway import gateway_of
from bedside.server.problems import ProblemError

PATH = "/console/ask/document"
QUOTED = "quoted"
"""Id of the marked words on the page."""

router = APIRouter(route_class=ConsoleRoute, dependencies=[person("clinician")])


@router.get(PATH)
async def document(
    request: Request, source: Annotated[str, Query(max_length=4096)], start: Annotated[int, Query(ge=0)], end: Annotated[int, Query(ge=0)]
) -> Response:
    """The words `start` … `end`, in characters of the document's text, among those around them."""
    answers = gateway_of(request).answers
    hits = await to_thread.run_sync(answers.retrieval.around, source, start) if answers else []
    if not hits:
        raise ProblemError(404, "no_passage", "the index holds no such passage; the document was changed or removed, so ask once more")
    parts = [
        (heading, [pieces(hit.text, [Mark(start - hit.start, end - hit.start, QUOTED)]) for hit in below])
        for heading, below in groupby(hits, key=lambda hit: hit.heading)
    ]
    return page(request, "document.html.j2", hit=hits[0], parts=parts, quoted=QUOTED)
