"""Chat completions in OpenAI's form, with the safety core before the model and behind it.

Beside OpenAI's fields an answer has `bedside`: where the practice's protocol sends whoever asked (`disposition`, `red_flags`), the approved
text that comes first in an emergency (`says`), the guard rules that the model's words broke (`violations`; their sentences were replaced),
which engine answered, and the practice's disclaimer. An emergency is answered with its approved text even where no model can be asked.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response

from bedside.engine.base import Reply, Token
from bedside.server.api.audited import Asked, AuditedRoute, asking
from bedside.server.api.chat_request import ChatRequest
from bedside.server.api.fields import refuse_too_much
from bedside.server.api.running import EventStream, Running, begin
from bedside.server.api.serving import Serving
from bedside.server.engines import AnswersBySchema, CountsTokens, Lane
from bedside.server.gateway import Gateway
from bedside.server.problems import ProblemError, problem_of, responses
from bedside.server.rails import by_rules, rule_names

router = APIRouter(route_class=AuditedRoute, tags=["OpenAI-compatible"])


@router.post(
    "/v1/chat/completions",
    response_model=None,
    responses={**responses(400, 401, 403, 404, 408, 413, 429, 503), 200: {"content": {"application/json": {}, "text/event-stream": {}}}},
)
async def chat_completions(body: ChatRequest, asked: Annotated[Asked, asking("chat")], gateway: Serving) -> Response:
    """An answer to a conversation, whole or as server-sent events. Every sentence of it has passed the guard."""
    return await _Answering(gateway, asked, body).response()


class _Answering:
    """One request."""

    def __init__(self, gateway: Gateway, asked: Asked, request: ChatRequest) -> None:
        self._gateway = gateway
        self._rails = gateway.rails
        self._asked = asked
        self._request = request
        said = [turn.model_dump() for turn in request.messages]
        instructions = self._rails.scope.instructions
        self._messages = [*([{"role": "system", "content": instructions}] if instructions else []), *said]
        self._lanes = self._fitting_lanes()
        self._running: Running | None = None
        self._logged = False

    async def response(self) -> Response:
        text = "\n".join(turn.content for turn in self._request.messages)
        refuse_too_much([text], self._gateway.settings.limits, "/messages")
        self._reading = await by_rules(len(text), self._rails.read, self._messages)
        self._asked.text, self._asked.rules, self._asked.disposition = text, self._reading.red_flags, self._reading.disposition
        self._gateway.metrics.disposed(self._reading.disposition)
        if self._reading.says:
            self._gateway.metrics.safety_stopped("question")
        if self._request.stream:
            return await self._streamed()
        completion = await self._whole()
        return JSONResponse(completion, headers=self._headers())

    def _fitting_lanes(self) -> list[Lane]:
        request = self._request
        lanes = self._gateway.engines.serving(request.model)
        if request.answer_schema is not None:
            lanes = [lane for lane in lanes if isinstance(lane.engine, AnswersBySchema)]
            if not lanes:
                raise ProblemError(
                    400, "unsupported", f"no engine of {request.model!r} can hold to a JSON schema; leave out response_format"
                )
        if request.wants_usage and not request.answer_schema:
            lanes = [lane for lane in lanes if isinstance(lane.engine, CountsTokens)]
            if not lanes:
                raise ProblemError(400, "unsupported", "this engine counts no tokens in a stream; leave out stream_options")
        for token in {lane.engine.contract.bos_token for lane in lanes} | {lane.engine.contract.eos_token for lane in lanes}:
            for number, turn in enumerate(request.messages):
                # A message with the template's own tokens could close its turn and speak in another role.
                if token and token in turn.content:
                    raise ProblemError(400, "control_token", f"message {number} holds {token!r}, which the chat template keeps for itself")
        return lanes

    async def _whole(self) -> dict[str, Any]:
        try:
            return await self._worded()
        except Exception as error:  # whatever it is, an emergency is not left without an answer
            if self._reading.says is None:
                raise
            return self._completion(self._reading.says, "stop", _counts(0, 0), {"engine_problem": problem_of(error).code})

    async def _worded(self) -> dict[str, Any]:
        lane, reply = await self._gateway.engines.first(self._lanes, self._ask)
        self._asked.engine = lane.name
        request, counts = self._request, _counts(reply.prompt_tokens, reply.completion_tokens)
        guarded = self._guarded if request.answer_schema is None else self._guarded_json
        text, violations = await by_rules(len(reply.text), guarded, reply)
        made = {"violations": violations, "engine": lane.name}
        tokens = None
        if request.logprobs and text == reply.text:
            tokens = {"content": [_listed(token, request.top_logprobs or 0) for token in reply.tokens]}
        elif request.logprobs:
            made["withheld"] = ["logprobs"]  # they would spell out what the guard took out
        return self._completion(text, reply.finish_reason, counts, made, tokens)

    async def _ask(self, lane: Lane) -> tuple[Lane, Reply]:
        request, engine = self._request, lane.engine
        async with lane.queue.place():
            _, limit = await self._budget(lane)
            settings = {"max_tokens": limit, "temperature": request.temperature or 0.0, "seed": request.seed or 0}
            if request.answer_schema is not None and isinstance(engine, AnswersBySchema):
                return lane, await lane.queue.call(engine.reply_json, self._messages, schema=request.answer_schema, **settings)
            # Without alternatives an engine reports no tokens at all.
            alternatives = max(1, request.top_logprobs or 0) if request.logprobs else 0
            return lane, await lane.queue.call(engine.reply, self._messages, top_logprobs=alternatives, **settings)

    async def _streamed(self) -> Response:
        """An answer to an emergency begins at once; any other when its first sentence is there, so that a refusal has a status of its own."""
        if self._request.answer_schema is not None:
            events = self._events_of(await self._whole())
            return self._event_stream(events, None)
        running = None if self._reading.says else await self._begin()
        return self._event_stream(self._events(running), running)

    def _event_stream(self, events: AsyncIterator[str], running: Running | None) -> Response:
        self._asked.streams = True
        self._running = running
        return EventStream(events, self._headers(), self._end)

    async def _begin(self) -> Running:
        async def start(lane: Lane) -> Running:
            guard = self._rails.guard(self._reading)
            guard.feed("")  # the approved text that it begins with is sent apart, before any model is asked
            temperature = self._request.temperature or 0.0
            return await begin(
                lane, lambda limit: lane.engine.stream(self._messages, max_tokens=limit, temperature=temperature), self._budget, guard
            )

        running = await self._gateway.engines.first(self._lanes, start)
        self._asked.engine = running.lane.name
        return running

    async def _events(self, running: Running | None) -> AsyncIterator[str]:
        head, says = self._head("chat.completion.chunk"), self._reading.says
        yield _event(_chunk(head, {"role": "assistant", "content": ""}, bedside=self._found()))
        if says:
            yield _event(_chunk(head, {"content": f"{says} "}))
        made: dict[str, Any] = {}
        finish, counts = "stop", _counts(0, 0)
        try:
            self._running = running = running or await self._begin()
            text = running.first
            while text is not None:
                yield _event(_chunk(head, {"content": text}))
                text = await running.next()
            tokens = await running.count()
            finish, counts = running.finish_reason(tokens), _counts(running.prompt, tokens)
            made = {"violations": self._noted(rule_names(running.guard)), "engine": running.lane.name}
        except Exception as error:  # as in `_whole`; and what has begun can only be ended in words
            problem = problem_of(error)
            if not says:
                await self._log()
                yield _event({"error": problem.document})
                return
            made = {"engine_problem": problem.code}
        await self._log()
        yield _event(_chunk(head, {}, finish, bedside={**self._found(), **made}))
        if self._request.wants_usage:
            yield _event({**head, "choices": [], "usage": counts})
        yield "data: [DONE]\n\n"

    async def _events_of(self, completion: dict[str, Any]) -> AsyncIterator[str]:
        """A whole answer as a stream, for an answer whose strings can only be checked once all of it is there."""
        choice = completion["choices"][0]
        head = {**self._head("chat.completion.chunk"), "id": completion["id"]}
        yield _event(_chunk(head, choice["message"], bedside=self._found()))
        await self._log()
        yield _event(_chunk(head, {}, choice["finish_reason"], bedside=completion["bedside"]))
        if self._request.wants_usage:
            yield _event({**head, "choices": [], "usage": completion["usage"]})
        yield "data: [DONE]\n\n"

    async def _log(self) -> None:
        """Before the last event, and once, however the stream ends."""
        if not self._logged:
            self._logged = True
            await self._asked.log(self._gateway.audit, 200)

    async def _end(self) -> None:
        if self._running is not None:
            self._running.close()
        await self._log()

    def _guarded(self, reply: Reply) -> tuple[str, tuple[str, ...]]:
        guard = self._rails.guard(self._reading)
        fit = guard.feed(reply.text) + guard.close()
        return fit, self._noted(rule_names(guard))

    def _guarded_json(self, reply: Reply) -> tuple[str, tuple[str, ...]]:
        try:
            value = json.loads(reply.text)
        except (ValueError, RecursionError):
            cut = "it was cut off; raise max_tokens" if reply.finish_reason == "length" else "the engine did not hold to the schema"
            raise ProblemError(400, "answer_not_json", f"the answer is no whole JSON: {cut}") from None
        fit, violations = self._rails.guard_json(value, self._reading)
        return json.dumps(fit, ensure_ascii=False), self._noted(violations)

    def _noted(self, violations: tuple[str, ...]) -> tuple[str, ...]:
        self._asked.rules += violations
        if violations:
            self._gateway.metrics.safety_stopped("answer")
        return violations

    async def _budget(self, lane: Lane) -> tuple[int, int]:
        """Tokens of the messages (0 where the engine cannot count) and of the longest answer."""
        engine, wanted = lane.engine, self._request.limit
        contract = engine.contract
        if not isinstance(engine, CountsTokens):
            return 0, wanted or contract.max_length // 2
        tokens = len(await lane.queue.thread(engine.tokenize, contract.render(self._messages)))
        if tokens + (wanted or 1) > contract.max_length:
            more = f" and max_tokens asks for {wanted} more" if wanted else ""
            raise ProblemError(
                400,
                "context_length_exceeded",
                f"the messages take {tokens} tokens{more}; the model's context holds {contract.max_length}",
                tokens=tokens,
                limit=contract.max_length,
            )
        return tokens, wanted or contract.max_length - tokens

    def _found(self) -> dict[str, Any]:
        """What the core says of the question, and the practice of every answer."""
        says = {"says": self._reading.says} if self._reading.says else {}
        found = {"disposition": self._reading.disposition, "red_flags": self._reading.red_flags}
        return {**found, **says, "disclaimer": self._rails.scope.disclaimer}

    def _headers(self) -> dict[str, str]:
        flags = {"Bedside-Red-Flags": ",".join(self._reading.red_flags)} if self._reading.red_flags else {}
        return {"Bedside-Disposition": self._reading.disposition, **flags}

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": f"chatcmpl-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": self._request.model}

    def _completion(
        self, text: str, finish: str, usage: dict[str, int], made: Mapping[str, Any], logprobs: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": logprobs}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage, "bedside": {**self._found(), **made}}


def _chunk(head: Mapping[str, Any], delta: Mapping[str, str], finish: str | None = None, **more: Any) -> dict[str, Any]:
    return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}], **more}


def _listed(token: Token, alternatives: int) -> dict[str, Any]:
    likeliest = sorted(token.alternatives.items(), key=lambda item: -item[1])[:alternatives]
    return {**_weighed(token.text, token.logprob), "top_logprobs": [_weighed(text, logprob) for text, logprob in likeliest]}


def _weighed(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": logprob, "bytes": list(text.encode("utf-8", "replace"))}


def _counts(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
