"""What a caller's turn means, in one model call.

The model is taught to answer a turn with code words: one token for each intent (`emergency` first, the others as said), then each slot as a
capitalised token and the caller's own words:

    can i get in with dr nguyen thursday and me script for coversyl
    →  booking script Doctor dr nguyen Date thursday Medicine coversyl

Before the model is asked, the safety core reads the turn: where a red flag of the practice's protocol sends the caller to help at once, the
turn is an `emergency` whatever the model makes of it. The model can add that intent, never take it away.

An intent costs one token, so an understanding is several times faster than JSON, and the alternatives that the model weighed at each intent's
place give a probability for every intent. The answer is parsed and validated again whatever the engine promised.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

from bedside.engine.base import Engine, Reply, Token
from bedside.engine.contract import Code, Codebook
from bedside.errors import EngineError, PromptTooLongError
from bedside.knowledge.dispositions import disposition
from bedside.knowledge.intents import catalogue
from bedside.knowledge.protocol import Protocol
from bedside.safety.triage import triage

TASK = "understand"
MAX_WORDS = 120
MAX_TOKENS = 36
_WORD = re.compile(r"[^\W_]+(?:['’.:/][^\W_]+)*[+%]?")


@dataclass(frozen=True)
class Word:
    """A word of a turn as the model sees it, and where it stands in the original text."""

    text: str
    start: int
    end: int


def words_of(text: str) -> list[Word]:
    """Lower-cased words without punctuation: what speech recognition gives and the model is taught on.

    Marks inside a word stay (`2:15`, `i'm`, `8.30`); hyphens part words.
    """
    return [Word(m.group().lower().replace("’", "'"), m.start(), m.end()) for m in _WORD.finditer(text)]


def normalise(text: str) -> str:
    """The turn as the model sees it."""
    return " ".join(word.text for word in words_of(text))


class Intent(BaseModel):
    """An intent of a turn with the model's probability for it, 0 to 1."""

    model_config = ConfigDict(frozen=True)
    name: str
    p: float


class Understanding(BaseModel):
    """What a turn means.

    Attributes:
        intents: those the caller stated, urgent first; empty when the turn asks for nothing that a clinic does.
        slots: slot name → the caller's own words; several values of a slot are joined with "; ".
        red_flags: rules of the protocol that make the turn an emergency, by id; empty where none does.
        entropy: of the most uncertain intent decision, in nats; 0 is certain, over about 1.2 is worth a clinician's look.
        probabilities: every intent the model weighed, down to 0.001.
        seconds: wall time of the model call.
        dropped: what the model wrote that did not pass validation, with the reason.
        truncated: words of the turn that were not read because it is longer than `MAX_WORDS`.
    """

    model_config = ConfigDict(frozen=True)
    intents: tuple[Intent, ...]
    slots: dict[str, str]
    red_flags: tuple[str, ...] = ()
    entropy: float
    probabilities: dict[str, float]
    seconds: float
    dropped: tuple[str, ...] = ()
    truncated: int = 0


def completion(codebook: Codebook, intents: Sequence[str], slots: Sequence[tuple[str, str]]) -> str:
    """The answer a model is taught: code words of `intents`, then of `slots` with their normalised values, in the order given."""
    ordered = sorted(dict.fromkeys(intents), key=lambda name: name != "emergency")
    parts = [codebook.intents[name].word for name in ordered] or [codebook.none.word]
    for name, value in slots:
        parts += [codebook.slots[name].word, normalise(value)]
    return "".join(f" {part}" for part in parts)


def grammar(codebook: Codebook) -> str:
    """GBNF of every valid answer."""

    def any_of(codes: Mapping[str, Code]) -> str:
        return " | ".join(f'" {code.word}"' for code in codes.values())

    return "\n".join(
        (
            f'root ::= (" {codebook.none.word}" | intent intent? intent? intent?) slot*',
            "slot ::= key value",
            f"intent ::= {any_of(codebook.intents)}",
            f"key ::= {any_of(codebook.slots)}",
            "value ::= [^A-Z]+",
        )
    )


def classify(
    engine: Engine, text: str, *, max_tokens: int = MAX_TOKENS, constrained: bool = True, protocol: Protocol | None = None
) -> Understanding:
    """Understand one turn.

    An empty turn is `silence` by definition and no model is asked.

    Args:
        max_tokens: the answer is cut off after so many, and says so; a turn with three intents and five slots takes about 30.
        constrained: hold the model to the grammar; slow for a model that was not taught the code words.
        protocol: the practice's own; red flags that it adds count beside the built-in ones.

    Raises:
        EngineError: the release was not made for understanding, or the engine failed.
    """
    codebook = engine.contract.codebook
    if codebook is None:
        raise EngineError(
            "this release has no codebook: it was not trained to understand callers",
            "Use a release of a recipe with an `understand` task, such as clinic-line",
        )
    words = words_of(text)
    if not words:
        return Understanding(intents=(Intent(name="silence", p=1.0),), slots={}, entropy=0.0, probabilities={"silence": 1.0}, seconds=0.0)
    flags = emergency_flags(text, protocol)
    kept, reply = _ask(engine, words[:MAX_WORDS], max_tokens, grammar(codebook) if constrained else None)
    reading = _read(codebook, reply.tokens, text, kept, engine.contract.eos_token)
    if flags:
        reading.raise_to_emergency()
    dropped = reading.dropped + (["answer cut off at its maximum length"] if reply.finish_reason == "length" else [])
    return Understanding(
        intents=tuple(Intent(name=name, p=round(reading.probabilities[name], 4)) for name in reading.intents),
        slots=reading.slots,
        red_flags=flags,
        entropy=round(reading.entropy, 4),
        probabilities={name: round(p, 4) for name, p in sorted(reading.probabilities.items(), key=lambda item: -item[1]) if p >= 0.001},
        seconds=reply.seconds,
        dropped=tuple(dropped),
        truncated=len(words) - len(kept),
    )


def emergency_flags(text: str, protocol: Protocol | None = None) -> tuple[str, ...]:
    """Ids of the red flags, the practice's own included, that send the caller of `text` to help at once; empty where none does.

    Raises:
        KnowledgeError: a red flag of the protocol names a concept that the lexicon does not have.
    """
    found = triage(text, protocol=protocol)
    if not disposition(found.disposition).emergency:
        return ()
    return tuple(flag.id for flag in found.red_flags if disposition(flag.disposition).emergency)


def with_emergency(intents: Sequence[str]) -> list[str]:
    """Intents of a turn in which a red flag fired: `emergency` first, and no `symptom_triage`, which is for symptoms without one."""
    return ["emergency", *(name for name in intents if name not in {"emergency", "symptom_triage"})]


def _ask(engine: Engine, words: list[Word], max_tokens: int, rules: str | None) -> tuple[list[Word], Reply]:
    """Ask for the words, or for their first half, quarter and so on where they do not fit the context (a word of 5,000 letters)."""
    messages = engine.contract.messages(TASK, " ".join(word.text for word in words))
    try:
        return words, engine.reply(messages, max_tokens=max_tokens, top_logprobs=20, grammar=rules)
    except PromptTooLongError:
        if not words:
            raise
        return _ask(engine, words[: len(words) // 2], max_tokens, rules)


@dataclass
class _Reading:
    intents: list[str]
    slots: dict[str, str]
    probabilities: dict[str, float]
    entropy: float
    dropped: list[str]

    def raise_to_emergency(self) -> None:
        self.intents = with_emergency(self.intents)
        self.probabilities["emergency"] = 1.0


def _read(codebook: Codebook, tokens: Sequence[Token], text: str, words: Sequence[Word], stop: str) -> _Reading:
    intent_of = {code.word: name for name, code in codebook.intents.items()}
    slot_of = {code.word: name for name, code in codebook.slots.items()}
    reading = _Reading([], {}, {}, 0.0, [])
    for token in tokens:
        shares = _shares(token, intent_of, set(reading.intents), codebook.none.word)
        reading.entropy = max(reading.entropy, -sum(p * math.log(p) for p in shares.values() if p > 0))
        for name, p in shares.items():
            if name in codebook.intents:
                # The chance of having been named by now, at this place or an earlier one.
                reading.probabilities[name] = 1 - (1 - reading.probabilities.get(name, 0.0)) * (1 - p)
        named = intent_of.get(token.text.strip())
        if named is None or named in reading.intents:
            break
        reading.intents.append(named)
        reading.probabilities[named] = shares.get(named, 0.0)
    rest = [token for token in tokens[len(reading.intents) :] if token.text != stop]
    if rest and rest[0].text.strip() == codebook.none.word:
        rest = rest[1:]
    _read_slots(reading, slot_of, rest, text, words)
    return reading


def _shares(token: Token, intent_of: Mapping[str, str], named: set[str], none: str) -> dict[str, float]:
    """How the model's probability at one place divides over what may stand there: an intent not yet named, none, or no more intents."""
    shares: dict[str, float] = {}
    for alternative, logprob in (token.alternatives or {token.text: token.logprob}).items():
        word = alternative.strip()
        name = intent_of.get(word)
        if name in named:
            continue
        key = name or ("no intent" if word == none else "no more")
        shares[key] = shares.get(key, 0.0) + math.exp(logprob)
    if not named:
        shares.pop("no more", None)
    total = sum(shares.values())
    return {key: p / total for key, p in shares.items()} if total > 0 else {}


def _read_slots(reading: _Reading, slot_of: Mapping[str, str], tokens: Sequence[Token], text: str, words: Sequence[Word]) -> None:
    name: str | None = None
    value = ""
    for token in (*tokens, None):
        key = None if token is None else slot_of.get(token.text.strip())
        if token is None or key is not None:
            if name is not None:
                _keep_slot(reading, name, normalise(value).split(), text, words)
            elif value.strip():
                reading.dropped.append(f"{value.strip()!r} before any slot name")
            name, value = key, ""
        else:
            value += token.text


def _keep_slot(reading: _Reading, name: str, value: list[str], text: str, words: Sequence[Word]) -> None:
    allowed = set().union(*(catalogue().intent(intent).slots for intent in reading.intents)) if reading.intents else set()
    span = _find(value, [word.text for word in words])
    if name not in allowed:
        reading.dropped.append(f"slot {name} of none of the intents")
    elif span is None:
        reading.dropped.append(f"slot {name} with words that the caller did not say")
    else:
        said = text[words[span[0]].start : words[span[1] - 1].end]
        if said not in reading.slots.get(name, "").split("; "):
            reading.slots[name] = f"{reading.slots[name]}; {said}" if name in reading.slots else said


def _find(value: list[str], words: list[str]) -> tuple[int, int] | None:
    for start in range(len(words) - len(value) + 1):
        if value and words[start : start + len(value)] == value:
            return start, start + len(value)
    return None


def as_json(understanding: Understanding) -> dict[str, Any]:
    """What `bedside understand --jsonl` writes of a turn, beside its id."""
    return understanding.model_dump(mode="json", include={"intents", "slots", "entropy"})
