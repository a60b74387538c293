"""What the safety core found, as the lines of `--jsonl` and the gateway's API write it."""

from __future__ import annotations

from datetime import date
from typing import Any

from bedside.knowledge.protocol import Protocol
from bedside.safety.interactions import Interaction
from bedside.safety.triage import Triage
from bedside.safety.urgency import Decision, Fired, decide


def decided(found: Triage, protocol: Protocol | None, day: date) -> Decision:
    """Where the caller goes on `day`, after the practice's changes."""
    fired = [Fired(flag.id, flag.disposition) for flag in found.red_flags] or [Fired("no red flag", found.routine)]
    return decide(fired, overlay=protocol, day=day)


def triage_row(found: Triage, place: str) -> dict[str, Any]:
    """A triage and the disposition that it was decided to lead to."""
    flags = [{"id": flag.id, "evidence": list(flag.evidence)} for flag in found.red_flags]
    return {"disposition": place, "red_flags": flags, "ask": list(found.ask)}


def interaction_row(found: Interaction) -> dict[str, Any]:
    """What is known of two medicines."""
    rules = [
        {"id": r.rule, "severity": r.severity, "mechanism": r.mechanism, "effect": r.effect, "wording": r.wording, "source": r.source}
        for r in found.rules
    ]
    return {"severity": found.severity, "rules": rules}
