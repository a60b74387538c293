"""What bedside asks of whatever runs a model."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from bedside.engine.contract import ChatContract, ChatMessage

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Token:
    """One generated token.

    Attributes:
        id: its id in the vocabulary; -1 where a server does not tell.
        text: its text.
        logprob: natural logarithm of its probability before any grammar.
        alternatives: the likeliest tokens at its place, text → log-probability.
    """

    id: int
    text: str
    logprob: float
    alternatives: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """A model's answer.

    Attributes:
        text: the answer without stop tokens.
        tokens: with log-probabilities, when they were asked for; the stop token, if generated, is the last.
        finish_reason: `stop` when the model ended, `length` when it was cut off.
        prompt_tokens, completion_tokens: counts.
        seconds: wall time of the call.
    """

    text: str
    tokens: tuple[Token, ...]
    finish_reason: FinishReason
    prompt_tokens: int
    completion_tokens: int
    seconds: float


class Engine(Protocol):
    """Asks one model under one chat contract."""

    contract: ChatContract

    def reply(
        self,
        messages: Sequence[ChatMessage],
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_logprobs: int = 0,
        grammar: str | None = None,
        seed: int = 0,
    ) -> Reply:
        """One answer.

        Args:
            messages: roles and contents.
            max_tokens: the answer is cut off after so many (`finish_reason` says so).
            temperature: 0 is greedy.
            top_logprobs: how many alternatives a token to report; 0 reports none.
            grammar: GBNF; engines without grammars ignore it, so answers are always validated again.
            seed: for temperatures above 0.

        Raises:
            EngineError: the prompt does not fit the context, or the engine failed.
        """
        ...

    def stream(self, messages: Sequence[ChatMessage], *, max_tokens: int, temperature: float = 0.0) -> Generator[str, None, FinishReason]:
        """The answer's text in pieces, as it is made; the generator's return value says why it ended."""
        ...

    def close(self) -> None:
        """Free the model or the connection."""
        ...
