"""The part of OpenAI's chat request that an engine can honour in full."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from bedside.server.api.fields import Strict, Words

_LONGEST_SCHEMA = 20_000
_DEEPEST_SCHEMA = 32
_LARGEST_COUNT = 10_000
_COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}


def _of_sane_size(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that can be compiled in little time and memory; one with `minItems` of a thousand million brings a process down."""
    parts: list[Any] = [schema]
    level = 0
    while parts:
        level += 1
        if level > _DEEPEST_SCHEMA:
            raise ValueError(f"is nested more than {_DEEPEST_SCHEMA} deep")
        for key, value in (item for part in parts if isinstance(part, dict) for item in part.items()):
            if key in _COUNTS and isinstance(value, int | float) and value > _LARGEST_COUNT:
                raise ValueError(f"holds a {key} of more than {_LARGEST_COUNT}")
        parts = [inner for part in parts if isinstance(part, dict | list) for inner in (part.values() if isinstance(part, dict) else part)]
    if len(json.dumps(schema)) > _LONGEST_SCHEMA:
        raise ValueError(f"is longer than {_LONGEST_SCHEMA} characters")
    return schema


class ChatTurn(Strict):
    """One message: its role and its words."""

    role: Literal["system", "user", "assistant"]
    content: Words


class StreamOptions(Strict):
    """What a stream reports besides text; `include_usage` adds a last event with token counts."""

    include_usage: bool = False


class NamedSchema(Strict):
    """A JSON schema under a name."""

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
    definition: Annotated[dict[str, Any], AfterValidator(_of_sane_size)] = Field(alias="schema")
    description: str | None = Field(default=None, max_length=1000)
    strict: bool | None = None


class ResponseFormat(Strict):
    """`text`, or `json_schema` with the schema that the answer has to follow."""

    type: Literal["text", "json_schema"]
    json_schema: NamedSchema | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ResponseFormat:
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise ValueError("json_schema goes with the type json_schema, and with no other")
        return self


class ChatRequest(Strict):
    """What is asked of a model. Fields of OpenAI's request that no engine here can honour are refused, never passed over."""

    model: str = Field(description="What `GET /v1/models` lists.")
    messages: list[ChatTurn] = Field(min_length=1, description="In order; the last is usually the user's.")
    max_tokens: int | None = Field(default=None, ge=1, description="Longest answer; left out, what the context leaves.")
    max_completion_tokens: int | None = Field(default=None, ge=1, description="Another name for `max_tokens`.")
    temperature: float | None = Field(default=None, ge=0, le=2, description="0, the default here, is greedy and repeatable.")
    stream: bool | None = Field(default=None, description="Send the text sentence by sentence as server-sent events.")
    stream_options: StreamOptions | None = Field(default=None, description="Only with `stream`.")
    response_format: ResponseFormat | None = Field(default=None, description="JSON that follows a schema; every string in it is guarded.")
    logprobs: bool | None = Field(default=None, description="Log-probabilities of the answer's tokens; not with `stream`.")
    top_logprobs: int | None = Field(default=None, ge=0, le=20, description="And of so many alternatives to each.")
    seed: int | None = Field(default=None, ge=0, lt=2**32, description="For temperatures above 0; not with `stream`.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> ChatRequest:
        if None not in (self.max_tokens, self.max_completion_tokens) and self.max_tokens != self.max_completion_tokens:
            raise ValueError("max_tokens and max_completion_tokens differ; give one of them")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs to be true")
        if self.stream and self.logprobs:
            raise ValueError("logprobs are not reported in a stream; leave out stream or logprobs")
        if self.stream and self.seed is not None and self.temperature:
            raise ValueError("a stream at a temperature above 0 cannot take a seed; leave out stream or seed")
        if self.stream_options and not self.stream:
            raise ValueError("stream_options needs stream to be true")
        if self.answer_schema is not None and self.logprobs:
            raise ValueError("logprobs are not reported for an answer by a JSON schema; leave out logprobs or response_format")
        return self

    @property
    def limit(self) -> int | None:
        """The answer's token limit under either name."""
        return self.max_tokens or self.max_completion_tokens

    @property
    def answer_schema(self) -> dict[str, Any] | None:
        """The schema that the answer has to follow."""
        form = self.response_format
        return form.json_schema.definition if form and form.json_schema else None

    @property
    def wants_usage(self) -> bool:
        """Whether a stream ends with token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)
