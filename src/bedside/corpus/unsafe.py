"""Answers that must not be taught: what reassures a red flag, gives doses, advertises, or contradicts the safety core.

The safety core decides (`bedside.safety`); this stage only says what becomes of the record. `drop`: never taught. `review`: a clinician
sees it first. The rules stand in `unsafe.yaml`. Some of them protect a patient from the answer and let a record pass that says who reads
it: `labels["audience"] == "clinician"`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from itertools import combinations
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict

from bedside.corpus.conversation import Conversation
from bedside.safety.guard import Violation, guard, sentences
from bedside.safety.interactions import check
from bedside.safety.medicines import recognise
from bedside.safety.triage import triage
from bedside.workspace.ledger import Action as LedgerAction
from bedside.workspace.ledger import DropLedger

Action = Literal["drop", "review"]

STAGE = "unsafe"
_SEVERE = ("major", "contraindicated")


@dataclass(frozen=True, slots=True)
class Finding:
    """Why an answer must not be taught as it is.

    Attributes:
        rule: id of the rule, see `unsafe.yaml`; `reassures-red-flag`, `silent-on-red-flag` and `contradicts-interactions` come from the code.
        words: the words of the answer that break it; the words of the question that ask for more where the answer is silent.
        place: (start, end) of those words in the answer; (0, 0) where it is silent.
        action: what to do with the record.
    """

    rule: str
    words: str
    place: tuple[int, int]
    action: Action


def unsafe(question: str, answer: str, *, day: date) -> tuple[Finding, ...]:
    """What is wrong with an answer, records to be dropped first.

    Args:
        question: what the user said; "" where there is none.
        day: the day whose tables and rules hold.
    """
    violations = guard(answer, day=day).violations
    findings = [
        *_red_flag(question, answer, violations, day),
        *_guarded(answer, violations),
        *_interaction(question, answer, violations),
        *_patterns(answer),
    ]
    return tuple(sorted(findings, key=lambda finding: (finding.action != "drop", finding.place)))


def check_conversation(conversation: Conversation, ledger: DropLedger, *, day: date) -> tuple[Finding, ...]:
    """Findings in all answers of a conversation, each read with what the user said before it.

    Each rule that fired is one entry of the ledger: `dropped` where the conversation must not be taught; where nothing drops it, `review`.
    A rule that does not hold for the record's audience is one entry too, `exempt`, and no finding.
    """
    findings: list[Finding] = []
    question = ""
    for message in conversation.messages:
        if message.role == "assistant":
            findings += unsafe(question, message.content, day=day)
        elif message.role == "user":
            question = message.content
    spared = _rules().spare_clinicians if conversation.labels.get("audience") == "clinician" else frozenset()
    exempt = [finding for finding in findings if finding.rule in spared]
    holding = [finding for finding in findings if finding.rule not in spared]
    dropped = [finding for finding in holding if finding.action == "drop"]
    _file(exempt, "exempt", conversation, ledger)
    _file(dropped or holding, "dropped" if dropped else "review", conversation, ledger)
    return tuple(holding)


def _file(findings: Sequence[Finding], action: LedgerAction, conversation: Conversation, ledger: DropLedger) -> None:
    """One entry for each rule, with the place where it fired first."""
    origin = conversation.provenance
    for rule, times in Counter(finding.rule for finding in findings).items():
        first = next(finding for finding in findings if finding.rule == rule)
        detail = f"{times} times, first at character {first.place[0]} of an answer"
        ledger.add(STAGE, action, rule, source=origin.source, where=origin.where, detail=detail)


def _red_flag(question: str, answer: str, violations: tuple[Violation, ...], day: date) -> Iterator[Finding]:
    rules = _rules()
    told = triage(question, day=day) if question else None
    if told is None or told.disposition not in rules.emergencies:
        return
    directed = rules.directs.search(answer)
    reassuring = [violation for violation in violations if violation.rule in rules.reassuring]
    for violation in reassuring:
        yield Finding("reassures-red-flag", violation.words, (violation.start, violation.end), "review" if directed else "drop")
    if not reassuring and not directed:
        yield Finding("silent-on-red-flag", " … ".join(told.red_flags[0].evidence), (0, 0), "review")


def _guarded(answer: str, violations: tuple[Violation, ...]) -> Iterator[Finding]:
    for violation in violations:
        become = _rules().guard.get(violation.rule)
        if become and not _rules().concentration.match(answer, violation.end):
            yield Finding(become.rule, violation.words, (violation.start, violation.end), become.action)


def _interaction(question: str, answer: str, violations: tuple[Violation, ...]) -> Iterator[Finding]:
    """Medicines called safe together, in one sentence or in the question that it answers, of which the interaction rules say otherwise."""
    place = 0
    for sentence in sentences(answer):
        start, place = place, place + len(sentence)
        safe = next((v for v in violations if v.rule == "guard.combination" and start <= v.start < place), None)
        if safe is None or not _rules().together.search(sentence):
            continue
        named = _generics(sentence)
        if len(named) < 2:
            named |= _generics(question)
        if any(check(one, other).severity in _SEVERE for one, other in combinations(sorted(named), 2)):
            yield Finding("contradicts-interactions", safe.words, (safe.start, safe.end), "drop")


def _generics(text: str) -> set[str]:
    return {generic for mention in recognise(text) for generic in mention.generics}


def _patterns(answer: str) -> Iterator[Finding]:
    for pattern in _rules().patterns:
        for match in pattern.find.finditer(answer):
            yield Finding(pattern.rule, match.group(), match.span(), pattern.action)


class _Outcome(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    rule: str
    action: Action


class _Pattern(_Outcome):
    find: re.Pattern[str]


class _Rules(BaseModel):
    """`unsafe.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    about: str
    emergencies: frozenset[str]
    guard: dict[str, _Outcome]
    reassuring: frozenset[str]
    spare_clinicians: frozenset[str]
    directs: re.Pattern[str]
    concentration: re.Pattern[str]
    together: re.Pattern[str]
    patterns: tuple[_Pattern, ...]


@cache
def _rules() -> _Rules:
    content: dict[str, Any] = yaml.safe_load(files("bedside.corpus").joinpath("unsafe.yaml").read_text(encoding="utf-8"))
    return _Rules.model_validate(content)
