"""The second generator of caller turns: any OpenAI-compatible endpoint, of whose answers nothing is believed.

Requests state a mix of intents, drawn from what is still missing against the priors. Every item that comes back is checked, and what fails
goes to the drop ledger under stage `synthesis` with one of these reasons, in this order:

    bad_json         the whole answer holds no JSON items, or was cut off
    schema           an item of another shape, too long, unspeakable, or with a slot that none of its intents has
    unknown_intent   an intent that the catalogue does not have
    slot_not_said    a slot's value is not a run of whole words of the turn, letter by letter
    guideline_fact   wrong in Australia, might reach a real person, or said in the line's voice (`facts.yaml`)
    duplicate        the same words as an existing or accepted turn
    near_duplicate   nearly the same words
    over_quota       an intent of which there are enough
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import jinja2
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from rapidfuzz import fuzz, process

from bedside.corpus.conversation import Conversation, Message, Provenance
from bedside.engine.openai import ChatServer, Completion, RefusedRequestError
from bedside.engine.understanding import MAX_WORDS, normalise
from bedside.errors import EngineError, WorkspaceError
from bedside.knowledge.intents import catalogue
from bedside.workspace.files import disk_errors
from bedside.workspace.ledger import DropLedger

SOURCE = "endpoint"
STAGE = "synthesis"
NEAR_DUPLICATE = 90
"""Token-set ratio, 0 to 100, from which two turns of similar length count as nearly the same."""

_SIMILAR_LENGTH = 0.7
_MAX_CHARACTERS = 1000
_TOKENS_PER_ITEM = 160
_TRIES = 5
_LONGEST_WAIT = 60.0
_MAX_ANSWER = 1_000_000
_UNSPOKEN = re.compile("[\ud800-\udfff\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_DIGIT_WORDS = dict(zip(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), "0123456789", strict=True)) | {
    "oh": "0",
    "o": "0",
    "nought": "0",
}
_REPEATS = {"double": 2, "triple": 3}


class EndpointSettings(BaseModel):
    """How an endpoint is asked for caller turns.

    Attributes:
        url: the server's root, with or without `/v1`.
        model: the model's name there.
        api_key_env: the environment variable that holds the key; None sends no key.
        turns: accepted turns wanted.
        items_per_request: turns asked for at a time.
        max_rounds: how often what is missing is asked for again, each time in as many requests as it takes.
        temperature: of the endpoint's sampling.
        seed: of the mix and, with the request's number added, of the endpoint's sampling.
        timeout: seconds without a byte after which a request is given up.
        priors: intent → per cent of turns that carry it; None takes the catalogue's. Only the intents named are asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    url: str
    model: str
    api_key_env: str | None = None
    turns: int = Field(ge=1)
    items_per_request: int = Field(20, ge=1, le=100)
    max_rounds: int = Field(3, ge=1)
    temperature: float = Field(0.9, ge=0, le=2)
    seed: int = Field(0, ge=0)
    timeout: float = Field(300.0, gt=0)
    priors: dict[str, Annotated[float, Field(gt=0, le=100)]] | None = Field(None, min_length=1)

    @field_validator("priors")
    @classmethod
    def _known(cls, priors: dict[str, float] | None) -> dict[str, float] | None:
        unknown = sorted(set(priors or ()) - _intent_ids())
        if unknown:
            raise ValueError(f"no such intents: {', '.join(unknown)}")
        return priors


class FactCheck(BaseModel):
    """A pattern that no caller turn may match, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str
    pattern: str
    because: str


class Helpline(BaseModel):
    """A phone number that anybody may name, as digits."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    number: str
    name: str
    certainty: str


class Numbers(BaseModel):
    """The phone numbers that a turn may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    reserved: tuple[str, ...]
    helplines: tuple[Helpline, ...]


class FactSheet(BaseModel):
    """`facts.yaml`: what is checked, as of when, from where, and who reviewed it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    as_of: Any
    reviewed_by: str | None
    source: str
    certainty: str
    checks: tuple[FactCheck, ...]
    numbers: Numbers

    def violation(self, text: str) -> str | None:
        """Why a turn may not say this, or None."""
        for check in self.checks:
            if re.search(check.pattern, text, re.IGNORECASE):
                return f"{check.id}: {check.because}"
        if any(not self._may_be_said(number) for number in _phone_numbers(text)):
            return "phone_number: neither reserved for fiction nor a known helpline"
        return None

    def _may_be_said(self, number: str) -> bool:
        return any(re.fullmatch(pattern, number) for pattern in self.numbers.reserved) or any(
            line.number == number for line in self.numbers.helplines
        )


@cache
def facts() -> FactSheet:
    """The built-in fact sheet."""
    return FactSheet.model_validate(yaml.safe_load(files("bedside.corpus.synthesis").joinpath("facts.yaml").read_text(encoding="utf-8")))


class SaidSlot(BaseModel):
    """A slot's name and the caller's own words."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: str
    value: str = Field(min_length=1)


def _as_objects(slots: Any) -> Any:
    """Slots as a mapping, which models write when no schema holds them, in the layout of the schema."""
    return [{"name": name, "value": value} for name, value in slots.items()] if isinstance(slots, dict) else slots


class CallerTurn(BaseModel):
    """One item of an endpoint's answer."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: str = Field(min_length=1, max_length=_MAX_CHARACTERS)
    intents: list[str] = Field(min_length=1, max_length=4)
    slots: Annotated[list[SaidSlot], BeforeValidator(_as_objects)]

    @field_validator("text")
    @classmethod
    def _can_be_said(cls, text: str) -> str:
        text = text.strip()
        if _UNSPOKEN.search(text):
            raise ValueError("holds characters that nobody speaks")
        words = len(normalise(text).split())
        if not 1 <= words <= MAX_WORDS:
            raise ValueError(f"has {words} words, not 1 to {MAX_WORDS}")
        return text

    @field_validator("intents")
    @classmethod
    def _once_each(cls, intents: list[str]) -> list[str]:
        return list(dict.fromkeys(intents))


@dataclass(frozen=True)
class Rejection:
    """Why an item is not used: a reason code of this module and what was found, never the item's text."""

    reason: str
    detail: str = ""


class Quotas:
    """How many turns of each intent are wanted, and how many are still missing.

    Args:
        turns: turns wanted.
        priors: per cent of turns that carry each intent. They overlap; where they sum to less than 100 they are scaled up to it.
    """

    def __init__(self, turns: int, priors: Mapping[str, float]) -> None:
        mass = round(turns * max(100.0, sum(priors.values())) / 100)
        self.turns = turns
        self.wanted = _apportion(priors, mass)
        self.taken: Counter[str] = Counter()
        self.accepted = 0

    def over(self, intents: Sequence[str]) -> str | None:
        """The first of a turn's intents that is not wanted any more."""
        return next((name for name in intents if self.taken[name] >= self.wanted.get(name, 0)), None)

    def take(self, intents: Sequence[str]) -> None:
        """Count an accepted turn."""
        self.taken.update(intents)
        self.accepted += 1

    @property
    def missing(self) -> dict[str, int]:
        """Intent → mentions still wanted, the most wanted first."""
        left = {name: count - self.taken[name] for name, count in self.wanted.items() if count > self.taken[name]}
        return dict(sorted(left.items(), key=lambda item: -item[1]))

    @property
    def done(self) -> bool:
        """Whether nothing more is to be asked for."""
        return self.accepted >= self.turns or not self.missing

    def shares(self) -> dict[str, tuple[float, float]]:
        """Intent → share of the accepted turns that carry it, and the share wanted; 0 to 1."""
        return {name: (self.taken[name] / max(1, self.accepted), count / self.turns) for name, count in self.wanted.items()}

    def mix(self, items: int, chance: random.Random) -> Counter[tuple[str, ...]]:
        """What the next request asks for: intents of one turn → turns.

        Turns carry more than one intent as often as the missing mentions outnumber the missing turns.
        """
        missing = self.missing
        items = min(items, self.turns - self.accepted)
        mass = min(sum(missing.values()), round(items * max(1.0, sum(missing.values()) / (self.turns - self.accepted))))
        pool = [name for name, count in _apportion(missing, mass).items() for _ in range(count)]
        chance.shuffle(pool)
        mixes: list[tuple[str, ...]] = []
        while len(pool) + len(mixes) > items and (pair := _pair(pool)):
            mixes.append(pair)
        return Counter(mixes + [(name,) for name in pool])


def _apportion(weights: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers in proportion to the weights that sum to `total`, by largest remainder."""
    whole = sum(weights.values())
    exact = {name: weight * total / whole for name, weight in weights.items()}
    counts = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda name: counts[name] - exact[name])[: total - sum(counts.values())]:
        counts[name] += 1
    return {name: count for name, count in counts.items() if count}


def _pair(pool: list[str]) -> tuple[str, str] | None:
    """Take two different intents that one caller may have out of the pool."""
    kinds = catalogue()
    pairable = [name for name in pool if kinds.intent(name).self_service != "policy"]
    second = next((name for name in pairable if name != pairable[0]), None)
    if second is None:
        return None
    pool.remove(pairable[0])
    pool.remove(second)
    return pairable[0], second


class KnownTurns:
    """Finds exact and near duplicates among normalised turns."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._by_length: defaultdict[int, list[str]] = defaultdict(list)

    def add(self, text: str) -> None:
        """Remember a turn."""
        words = normalise(text)
        if words not in self._texts:
            self._texts.add(words)
            self._by_length[_distinct(words)].append(words)

    def repeated(self, text: str) -> Rejection | None:
        """Why a turn is no new one, or None.

        The token-set ratio of a turn with any part of it is 100, so only turns of similar length are compared.
        """
        words = normalise(text)
        if words in self._texts:
            return Rejection("duplicate")
        length = _distinct(words)
        for other in range(max(1, int(length * _SIMILAR_LENGTH)), int(length / _SIMILAR_LENGTH) + 1):
            found = process.extractOne(words, self._by_length.get(other, ()), scorer=fuzz.token_set_ratio, score_cutoff=NEAR_DUPLICATE)
            if found:
                return Rejection("near_duplicate", f"token-set ratio {found[1]:.0f}")
        return None


def _distinct(words: str) -> int:
    return len(set(words.split()))


class Sieve:
    """Checks items one by one and remembers those that pass."""

    def __init__(self, quotas: Quotas, existing: Iterable[str]) -> None:
        self.quotas = quotas
        self.known = KnownTurns()
        for text in existing:
            self.known.add(text)

    def keep(self, turn: CallerTurn) -> None:
        """Count and remember an accepted turn."""
        self.known.add(turn.text)
        self.quotas.take(turn.intents)

    def check(self, item: Any) -> CallerTurn | Rejection:
        """The turn, counted and remembered, or why it is not used."""
        try:
            turn = CallerTurn.model_validate(item)
        except ValidationError as error:
            return Rejection(
                "schema", "; ".join(f"{'.'.join(str(part)[:40] for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()[:5])
            )
        rejection = _labels_fault(turn) or self._words_fault(turn)
        if rejection is None:
            self.keep(turn)
        return rejection or turn

    def _words_fault(self, turn: CallerTurn) -> Rejection | None:
        violation = facts().violation(turn.text)
        if violation:
            return Rejection("guideline_fact", violation)
        repeated = self.known.repeated(turn.text)
        if repeated:
            return repeated
        over = self.quotas.over(turn.intents)
        return Rejection("over_quota", over) if over else None


def _labels_fault(turn: CallerTurn) -> Rejection | None:
    unknown = [name for name in turn.intents if name not in _intent_ids()]
    if unknown:
        return Rejection("unknown_intent", ", ".join(name[:40] for name in unknown))
    allowed = {slot for name in turn.intents for slot in catalogue().intent(name).slots}
    for slot in turn.slots:
        if slot.name not in allowed:
            return Rejection("schema", f"slot {slot.name[:40]} of none of the intents")
        if not _said(slot.value, turn.text):
            return Rejection("slot_not_said", slot.name)
    return None


def _said(value: str, text: str) -> bool:
    words = normalise(value)
    return bool(words) and value in text and f" {words} " in f" {normalise(text)} "


@cache
def _intent_ids() -> frozenset[str]:
    return frozenset(kind.id for kind in catalogue().intents)


def _phone_numbers(text: str) -> list[str]:
    """Runs of digits, written or spoken, that are long enough to be dialled: eight or more, or six from 13."""
    runs, repeat = [""], 1
    for token in re.findall(r"\d+|[^\W\d_]+|[^\s\w]", text.lower()):
        digits = token if token.isdecimal() else _DIGIT_WORDS.get(token)
        if digits is not None:
            runs[-1] += digits * repeat
        elif token not in _REPEATS and token not in "-(),.+":
            runs.append("")
        repeat = _REPEATS.get(token, 1)
    plain = [re.sub(r"^(0011)?61(?=[23478]\d{8}$)", "0", run) for run in runs]
    return [number for number in plain if len(number) >= 8 or re.fullmatch(r"13\d{4}", number)]


def generate(
    settings: EndpointSettings, *, ledger: DropLedger, existing: Iterable[str], out: Path, progress: Callable[[str], None]
) -> Iterator[Conversation]:
    """Caller turns from an endpoint, checked, without repeats and in the stated mix.

    Accepted turns are appended to `out` after every request. When `out` already holds turns they are yielded first and count as accepted,
    so that after a kill the same call goes on and at most one request is lost.

    Args:
        settings: the endpoint, and what is wanted of it.
        ledger: receives every reject, and how many items were seen.
        existing: turns that must not be repeated.
        out: JSON Lines of conversations.
        progress: told one line after each request, when an endpoint takes no schema, and at the end what is still missing.

    Yields:
        One user message each, labelled `understanding`: {"intents": [...], "slots": [[name, value], ...]}.

    Raises:
        EngineError: the endpoint cannot be asked; what was accepted so far is in `out`.
        WorkspaceError: `out` was damaged or cannot be written.
    """
    sieve = Sieve(Quotas(settings.turns, settings.priors or {kind.id: kind.prior for kind in catalogue().intents}), existing)
    request = 0
    for conversation in _resumed(out):
        sieve.keep(_turn_of(conversation))
        request = max(request, _request_number(conversation))
        yield conversation
    with _endpoint(settings) as endpoint:
        asking = _Asking(settings, endpoint, progress)
        while not sieve.quotas.done and asking.may_ask(sieve.quotas):
            request += 1
            accepted = _accepted(asking.items(request, sieve.quotas), sieve, ledger, f"{settings.model} request {request}")
            _append(out, accepted)
            progress(f"request {request}: {len(accepted)} accepted, {sieve.quotas.accepted} of {settings.turns}")
            yield from accepted
    progress(_summary(sieve.quotas))


def _endpoint(settings: EndpointSettings) -> ChatServer:
    key = None
    if settings.api_key_env is not None:
        key = os.environ.get(settings.api_key_env)
        if not key:
            raise EngineError(
                f"the environment variable {settings.api_key_env!r} is not set",
                f"Put the key of {settings.url} into it, or leave out api_key_env",
            )
    return ChatServer(settings.url, model=settings.model, api_key=key, timeout=settings.timeout)


class _Asking:
    """Puts requests to an endpoint, in rounds."""

    def __init__(self, settings: EndpointSettings, endpoint: ChatServer, progress: Callable[[str], None]) -> None:
        self._settings = settings
        self._endpoint = endpoint
        self._progress = progress
        self._takes_schema = True
        self._rounds = 0
        self._left = 0

    def may_ask(self, quotas: Quotas) -> bool:
        """Whether one more request is allowed; begins a new round where the last is over."""
        if self._left == 0 and self._rounds < self._settings.max_rounds:
            self._rounds += 1
            self._left = -(-(quotas.turns - quotas.accepted) // self._settings.items_per_request)
        self._left -= 1
        return self._left >= 0

    def items(self, request: int, quotas: Quotas) -> list[Any] | Rejection:
        """The items of one answer as they came, or why the answer holds none."""
        mix = quotas.mix(self._settings.items_per_request, random.Random(f"{self._settings.seed} {request}"))
        body = {
            "messages": [{"role": "user", "content": prompt(mix)}],
            "temperature": self._settings.temperature,
            "seed": self._settings.seed + request,
            "max_tokens": _TOKENS_PER_ITEM * (mix.total() + 2),
        }
        choice = self._complete(body).choices[0]
        if choice.finish_reason == "length":
            return Rejection("bad_json", f"the answer was cut off at {body['max_tokens']} tokens")
        return _items_in(choice.message.content or "")

    def _complete(self, body: dict[str, Any]) -> Completion:
        if self._takes_schema:
            try:
                return self._patiently({**body, "response_format": _RESPONSE_FORMAT})
            except RefusedRequestError as refusal:
                if refusal.status not in (400, 415, 422, 501):
                    raise
                answer = self._patiently(body)
                self._takes_schema = False
                self._progress(f"{self._endpoint.url} takes no JSON schema ({refusal.status}); its items are read from the text")
                return answer
        return self._patiently(body)

    def _patiently(self, body: dict[str, Any]) -> Completion:
        """Ask, and wait as long as a busy endpoint says, a few times."""
        for _ in range(_TRIES - 1):
            try:
                return self._endpoint.complete(body)
            except RefusedRequestError as refusal:
                if refusal.status != 429:
                    raise
                wait = min(_LONGEST_WAIT, refusal.retry_after or 5.0)
                self._progress(f"{self._endpoint.url} is busy; waiting {wait:g} s")
                time.sleep(wait)
        return self._endpoint.complete(body)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    items: list[CallerTurn]


_RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "caller_turns", "strict": True, "schema": _Answer.model_json_schema()}}


def prompt(mix: Mapping[tuple[str, ...], int]) -> str:
    """The request in words for a mix: intents of one turn → turns."""
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True).from_string(
        files("bedside.corpus.synthesis").joinpath("prompts", "caller-turns.j2").read_text(encoding="utf-8")
    )
    kinds = catalogue()
    intents = [kind for kind in kinds.intents if any(kind.id in names for names in mix)]
    named = {slot for kind in intents for slot in kind.slots}
    return template.render(
        items=sum(mix.values()),
        wanted=sorted(mix.items()),
        intents=intents,
        slots=[slot for slot in kinds.slots if slot.id in named],
        rules=kinds.rules,
        phone="0491 570 006",
    )


def _items_in(text: str) -> list[Any] | Rejection:
    """The items of a JSON answer, also when it stands in prose or in a fence."""
    if len(text) > _MAX_ANSWER:
        return Rejection("bad_json", f"the answer has {len(text)} characters")
    decoder = json.JSONDecoder()
    for start in [match.start() for match in re.finditer(r"[\[{]", text)][:50]:
        try:
            value, _ = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        items = value.get("items") if isinstance(value, dict) else value
        if isinstance(items, list) and (isinstance(value, dict) or any(isinstance(item, dict) for item in items)):
            return items
    return Rejection("bad_json", "the answer holds no JSON object with items")


def _accepted(items: list[Any] | Rejection, sieve: Sieve, ledger: DropLedger, where: str) -> list[Conversation]:
    if isinstance(items, Rejection):
        ledger.saw(SOURCE)
        ledger.add(STAGE, "dropped", items.reason, source=SOURCE, where=where, detail=items.detail)
        return []
    ledger.saw(SOURCE, len(items))
    accepted = []
    for number, item in enumerate(items, 1):
        place = f"{where} item {number}"
        turn = sieve.check(item)
        if isinstance(turn, Rejection):
            ledger.add(STAGE, "dropped", turn.reason, source=SOURCE, where=place, detail=turn.detail)
        else:
            accepted.append(_conversation(turn, place))
    return accepted


def _conversation(turn: CallerTurn, where: str) -> Conversation:
    return Conversation(
        messages=(Message(role="user", content=turn.text),),
        provenance=Provenance(source=SOURCE, where=where, locale="en-AU", family=hashlib.sha256(normalise(turn.text).encode()).hexdigest()),
        labels={"understanding": {"intents": turn.intents, "slots": [[slot.name, slot.value] for slot in turn.slots]}},
    )


def _turn_of(conversation: Conversation) -> CallerTurn:
    labels = conversation.labels["understanding"]
    return CallerTurn(
        text=conversation.messages[0].content,
        intents=labels["intents"],
        slots=[SaidSlot(name=name, value=value) for name, value in labels["slots"]],
    )


def _request_number(conversation: Conversation) -> int:
    found = re.search(r" request (\d+) item \d+$", conversation.provenance.where)
    return int(found.group(1)) if found else 0


def _append(out: Path, conversations: Sequence[Conversation]) -> None:
    with disk_errors(out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("a", encoding="utf-8") as stream:
            stream.write(
                "".join(json.dumps(conversation.model_dump(mode="json"), ensure_ascii=False) + "\n" for conversation in conversations)
            )
            stream.flush()
            os.fsync(stream.fileno())


def _resumed(out: Path) -> list[Conversation]:
    """The turns of an earlier run; a last line that a kill left half written is cut off the file."""
    if not out.exists():
        return []
    content = out.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with disk_errors(out.parent):
            os.truncate(out, len(whole))
    conversations = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            conversation = Conversation.model_validate_json(line)
            _turn_of(conversation)
        except (ValueError, KeyError, TypeError) as error:
            raise WorkspaceError(
                f"{str(out)!r} line {number} is no caller turn ({str(error).splitlines()[0]})", "Mend or delete the file and run this again"
            ) from error
        conversations.append(conversation)
    return conversations


def _summary(quotas: Quotas) -> str:
    """What was reached, and the intents whose share is below the one wanted."""
    short = [f"{name} {share:.1%} of {wanted:.1%}" for name, (share, wanted) in quotas.shares().items() if name in quotas.missing]
    return f"{quotas.accepted} of {quotas.turns} turns accepted" + (f"; shares below the priors: {', '.join(short)}" if short else "")
