"""Embeddings in OpenAI's form, from the engines that have them."""

from __future__ import annotations

import base64
from array import array
from typing import Annotated, Any, Literal, Protocol, runtime_checkable

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bedside.engine.openai import Embeddings
from bedside.server.api.audited import Asked, AuditedRoute, asking
from bedside.server.api.fields import Strict, Words, refuse_too_much
from bedside.server.api.serving import Serving
from bedside.server.engines import Lane
from bedside.server.problems import ProblemError, responses

router = APIRouter(route_class=AuditedRoute, tags=["OpenAI-compatible"])


@runtime_checkable
class Embeds(Protocol):
    """An engine that turns texts into vectors."""

    def embed(self, texts: list[str], model: str) -> Embeddings:
        """One vector a text."""
        ...


class EmbeddingsRequest(Strict):
    """One text or several, and the embedding model."""

    model: str = Field(description="An embedding model that `GET /v1/models` lists.")
    input: Words | Annotated[list[Words], Field(min_length=1)]
    encoding_format: Literal["float", "base64"] = Field(default="float", description="`base64` is of little-endian float32.")


class Vector(BaseModel):
    """One text's vector."""

    object: Literal["embedding"] = "embedding"
    index: int
    embedding: list[float] | str


class Vectors(BaseModel):
    """The vectors of a request, in the order of its texts."""

    object: Literal["list"] = "list"
    data: list[Vector]
    model: str
    usage: dict[str, int]


@router.post("/v1/embeddings", responses={**responses(400, 401, 403, 404, 408, 413, 429, 503), 200: {"model": Vectors}})
async def embeddings(body: EmbeddingsRequest, asked: Annotated[Asked, asking("embeddings")], gateway: Serving) -> Any:
    """The vectors of texts."""
    lanes = [lane for lane in gateway.engines.lanes if lane.settings.embedding_model == body.model]
    if not lanes:
        raise ProblemError(404, "model_not_found", "no engine here has that embedding model; `GET /v1/models` lists what there is")
    texts = [body.input] if isinstance(body.input, str) else body.input
    refuse_too_much(texts, gateway.settings.limits, "/input")

    async def embed(lane: Lane) -> tuple[Lane, Embeddings]:
        assert isinstance(lane.engine, Embeds)
        async with lane.queue.place():
            return lane, await lane.queue.call(lane.engine.embed, texts, body.model)

    lane, found = await gateway.engines.first(lanes, embed)
    asked.text, asked.engine = "\n".join(texts), lane.name
    data = [
        {"object": "embedding", "index": vector.index, "embedding": _encoded(vector.embedding, body.encoding_format)}
        for vector in sorted(found.data, key=lambda vector: vector.index)
    ]
    tokens = found.usage.prompt_tokens
    return {"object": "list", "data": data, "model": body.model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def _encoded(vector: list[float], form: str) -> list[float] | str:
    return vector if form == "float" else base64.b64encode(array("f", vector).tobytes()).decode()
