"""To whom a call goes, in which order, and what is whispered to whoever answers."""

from __future__ import annotations

from collections.abc import Sequence

from bedside.phone.call.dialogue import Setting, Wish
from bedside.phone.call.speaking import say
from bedside.phone.call.turns import listed
from bedside.phone.call.watch import is_private


def targets(setting: Setting, to: str) -> list[str]:
    """Numbers and extensions to try, in order; empty where nobody takes calls now."""
    numbers = setting.practice.numbers
    if not setting.practice.is_open(setting.now):
        return [numbers.after_hours] if numbers.after_hours else []
    wanted = [numbers.nurse, numbers.reception] if to == "nurse" else [numbers.reception]
    return list(dict.fromkeys(target for target in wanted if target))


def summary(
    setting: Setting, reason: str, left: Sequence[Wish], rules: tuple[str, ...], evidence: tuple[str, ...], *, to_machine: bool = False
) -> str:
    """What a person needs to know before they take the call: why, who, and what else the caller wants.

    Args:
        reason: why the line hands over.
        left: wishes that are not done yet.
        rules: red flags that fired; with `evidence`, the words that fired them.
        to_machine: nobody listens now: crisis and violence are not named.
    """
    what = f"{reason}. Heard: {', '.join(evidence)}" if evidence else reason
    what = "Urgent call-back" if to_machine and is_private(rules) else what
    said = f"Also wants {listed(left)}." if left else ""
    identity = f"identified as {setting.person.name}" if setting.person and not to_machine else "not identified"
    return say(
        setting.practice, setting.today, "whisper.summary", {"what": what[:1].upper() + what[1:], "identity": identity, "said": said}
    ).text.strip()
