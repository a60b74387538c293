"""What callers' turns mean."""

from __future__ import annotations

from datetime import date
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bedside.engine.understanding import Intent, Understanding, as_json, classify
from bedside.server.api.audited import Asked, AuditedRoute, asking
from bedside.server.api.fields import ID, TextsRequest, refuse_too_much
from bedside.server.api.serving import Serving
from bedside.server.engines import Lane
from bedside.server.gateway import Gateway
from bedside.server.problems import ProblemError, responses

router = APIRouter(route_class=AuditedRoute, tags=["phone line"])


class UnderstandRequest(TextsRequest):
    """One caller's turn (`text`) or several (`texts`)."""

    model: str | None = Field(default=None, description="What `GET /v1/models` lists; the first that understands callers by default.")


class Understood(BaseModel):
    """What one turn means."""

    id: str = Field(description=ID)
    intents: list[Intent] = Field(description="Those that the caller stated, urgent first, each with the model's probability.")
    slots: dict[str, str] = Field(description="Slot to the caller's own words.")
    entropy: float = Field(description="Of the most uncertain decision, in nats; 0 is certain.")
    truncated: int = Field(default=0, description="Words that were too many to be read.")


class UnderstoodTexts(BaseModel):
    """What several turns mean, in their order."""

    understandings: list[Understood]


@router.post(
    "/v1/understand",
    responses={**responses(400, 401, 403, 404, 408, 413, 429, 503), 200: {"model": Understood | UnderstoodTexts}},
)
async def understand(body: UnderstandRequest, asked: Annotated[Asked, asking("understand")], gateway: Serving) -> Any:
    """What callers' turns mean. A red flag of the practice's protocol makes a turn an emergency, whatever the model says."""
    refuse_too_much(body.all, gateway.settings.limits, body.where)
    lanes = gateway.engines.serving(body.model, lambda lane: lane.understands)
    if not lanes:
        raise ProblemError(404, "no_understanding", f"{_models(gateway, body.model)} was not trained to understand callers")
    ask = partial(classify, protocol=gateway.rails.protocol(date.today()))

    async def ask_lane(lane: Lane) -> tuple[Lane, list[Understanding]]:
        async with lane.queue.place():
            return lane, [await lane.queue.call(ask, lane.engine, text) for text in body.all]

    lane, found = await gateway.engines.first(lanes, ask_lane)
    asked.text, asked.engine = "\n".join(body.all), lane.name
    asked.rules = tuple(flag for understanding in found for flag in understanding.red_flags)
    rows = [_row(str(number), understanding) for number, understanding in enumerate(found, 1)]
    return {"understandings": rows} if body.texts is not None else rows[0]


def _row(id: str, understanding: Understanding) -> dict[str, Any]:
    return {"id": id} | as_json(understanding) | ({"truncated": understanding.truncated} if understanding.truncated else {})


def _models(gateway: Gateway, wanted: str | None) -> str:
    return repr(wanted) if wanted else ", ".join(map(repr, gateway.engines.models))
