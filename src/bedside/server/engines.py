"""The models behind the gateway: which serve what, whether they answer, and who stands in for whom.

Engines that serve one model stand in for each other in the order of the settings. One that cannot be reached, is too slow or is full is passed
over for the next, until the first token of an answer has left; never after. One that failed comes last until a look at it, every
`CHECK_SECONDS`, or an answer says that it is back.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar, runtime_checkable

from bedside.engine.base import Engine, Reply
from bedside.engine.contract import ChatContract, ChatMessage
from bedside.engine.openai import OpenAIEngine, RefusedRequestError
from bedside.errors import EngineError, PromptTooLongError
from bedside.server.problems import ProblemError
from bedside.server.queue import EngineQueue
from bedside.server.settings import EngineSettings, SettingsError

CHECK_SECONDS = 10.0
_THE_REQUESTS_FAULT = (400, 413, 422)
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@runtime_checkable
class CountsTokens(Protocol):
    """An engine that can count tokens before it is asked, as the embedded one can."""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a rendered text."""
        ...


@runtime_checkable
class AnswersBySchema(Protocol):
    """An engine that can be held to a JSON schema."""

    def reply_json(
        self, messages: Sequence[ChatMessage], *, schema: Mapping[str, Any], max_tokens: int, temperature: float = 0.0, seed: int = 0
    ) -> Reply:
        """As `Engine.reply`; the text is JSON of that schema, or was cut off."""
        ...


@runtime_checkable
class CanBeChecked(Protocol):
    """An engine that can be asked whether it answers, at no cost."""

    def check(self) -> None:
        """Raises `EngineError` where it does not."""
        ...


class Lane:
    """One engine with its queue.

    Args:
        settings: how it was set.
        engine: what answers; closed with the lane.

    Attributes:
        down: why it does not answer; None: it does, as far as is known.
    """

    def __init__(self, settings: EngineSettings, engine: Engine) -> None:
        self.name = settings.name
        self.model = settings.serves_model
        self.settings = settings
        self.engine = engine
        self.queue = EngineQueue(settings.parallel, settings.waiting, settings.timeout_seconds)
        self.down: str | None = None

    @property
    def understands(self) -> bool:
        """Whether its model was trained to understand callers."""
        return self.engine.contract.codebook is not None

    def failed(self, error: EngineError) -> None:
        """Take note that it did not answer."""
        was_up = self.down is None
        # What a server said stands in brackets; it may quote the question, which belongs into no log.
        self.down = error.problem.partition(" (")[0]
        if was_up:
            _log.warning("engine %s does not answer: %s", self.name, self.down)

    def answered(self) -> None:
        """Take note that it answered."""
        if self.down is not None:
            _log.warning("engine %s answers again", self.name)
        self.down = None

    async def check(self) -> None:
        """Look whether it answers. One that cannot be asked gets another chance."""
        if not isinstance(self.engine, CanBeChecked):
            self.down = None
            return
        try:
            await self.queue.thread(self.engine.check)
        except EngineError as error:
            self.failed(error)
        else:
            self.answered()


class EnginePool:
    """All engines.

    Args:
        lanes: in the order in which they stand in for each other.
    """

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self.lanes = tuple(lanes)

    @property
    def models(self) -> tuple[str, ...]:
        """What clients may ask for."""
        return tuple(dict.fromkeys(lane.model for lane in self.lanes))

    def serving(self, model: str | None, fit: Callable[[Lane], bool] = lambda _: True) -> list[Lane]:
        """The lanes that serve a model and fit, those that answer first; None: the first model with a fitting lane.

        Raises:
            ProblemError: 404, there is no such model. The list is empty where it has no fitting lane.
        """
        if model is not None and model not in self.models:
            raise ProblemError(404, "model_not_found", f"this server runs {', '.join(map(repr, self.models))}; `GET /v1/models` lists them")
        fitting = [lane for lane in self.lanes if (model is None or lane.model == model) and fit(lane)]
        return sorted((lane for lane in fitting if lane.model == fitting[0].model), key=lambda lane: lane.down is not None)

    async def first(self, lanes: Sequence[Lane], ask: Callable[[Lane], Awaitable[_T]]) -> _T:
        """What the first lane gives that can be asked and answers.

        Raises:
            ProblemError: the request cannot be answered by any engine, or all are full.
            EngineError: none answers; the first one's reason.
        """
        failures: list[Exception] = []
        for lane in lanes:
            try:
                answer = await ask(lane)
            except EngineError as error:
                if is_the_requests_fault(error):
                    raise
                lane.failed(error)
                failures.append(error)
            except ProblemError as problem:
                if problem.status != 429:
                    raise
                failures.append(problem)
            else:
                lane.answered()
                return answer
        raise next((failure for failure in failures if isinstance(failure, ProblemError)), failures[0])

    async def watch(self) -> None:
        """Look at each engine every `CHECK_SECONDS`, until cancelled."""

        async def again_and_again(lane: Lane) -> None:
            while True:
                await lane.check()
                await asyncio.sleep(CHECK_SECONDS)

        await asyncio.gather(*map(again_and_again, self.lanes))

    def close(self) -> None:
        """Free all models and connections."""
        for lane in self.lanes:
            lane.engine.close()


def is_the_requests_fault(error: EngineError) -> bool:
    """Whether every other engine would refuse the request too."""
    return isinstance(error, PromptTooLongError) or (isinstance(error, RefusedRequestError) and error.status in _THE_REQUESTS_FAULT)


def open_engines(engines: Iterable[EngineSettings]) -> EnginePool:
    """Load every embedded release, and prepare connections to every server.

    Raises:
        ReleaseError, EngineError: a release cannot be loaded, or an address is none.
        SettingsError: the variable of a key is not set.
    """
    with ExitStack() as opened:
        lanes = []
        for settings in engines:
            engine = _embedded(settings) if settings.kind == "embedded" else _server(settings)
            opened.callback(engine.close)
            lanes.append(Lane(settings, engine))
        opened.pop_all()
    return EnginePool(lanes)


def _embedded(settings: EngineSettings) -> Engine:
    # llama.cpp is not needed where every model runs elsewhere.
    from bedside.engine.llamacpp import LlamaCppEngine
    from bedside.release import load_release

    assert settings.release is not None
    release = load_release(settings.release)
    return LlamaCppEngine(release.model, release.contract, threads=settings.threads, parallel=settings.parallel)


def _server(settings: EngineSettings) -> Engine:
    assert settings.url is not None and settings.model is not None
    contract = ChatContract.load(settings.release) if settings.release else _unknown_contract(settings.context_tokens)
    return OpenAIEngine(
        settings.url,
        contract,
        model=settings.model,
        api_key=_key(settings),
        timeout=settings.timeout_seconds,
        api_key_header=settings.api_key_header,
        api_version=settings.api_version,
    )


def _key(settings: EngineSettings) -> str | None:
    if settings.api_key_env is None:
        return None
    key = os.environ.get(settings.api_key_env)
    if not key:
        raise SettingsError(
            f"the engine {settings.name!r} takes its key from {settings.api_key_env}, which is not set", f"export {settings.api_key_env}=…"
        )
    return key


def _unknown_contract(max_length: int) -> ChatContract:
    """What is known of a model that somebody else runs: how long a conversation may be."""
    return ChatContract(
        template_name="",
        template="",
        bos_token="",
        eos_token="",
        bos_id=None,
        eos_id=0,
        pad_id=0,
        stop_ids=(),
        adds_bos=False,
        max_length=max_length,
        tokenizer_sha256="",
        systems={},
    )
