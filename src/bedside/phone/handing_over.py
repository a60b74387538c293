"""A caller handed to a person: called first, told what it is about, and joined with the caller only when they accept."""

from __future__ import annotations

import asyncio
import logging

from bedside.phone.leg import CallLeg, Digit, HungUp, Played
from bedside.phone.speech.recognise import SpeechError
from bedside.phone.speech.say import Prompts

log = logging.getLogger(__name__)

ACCEPT = "1"
_ACCEPT_S = 20.0
"""Whoever answers has so long after the whisper; an answering machine never presses a key."""


async def accepts(human: CallLeg, summary: str, accept: str, prompts: Prompts) -> bool:
    """Whisper to a person what a call is about; whether they press `ACCEPT`. Where they do not, they are hung up on.

    Args:
        human: the person, called by `CallLeg.consult`.
        summary: what they need to know; never kept.
        accept: the sentence that tells the key to press.
        prompts: say both.
    """
    accepted = False
    try:
        async with asyncio.timeout(_ACCEPT_S) as limit:
            for sentence, keep in ((summary, False), (accept, True)):
                async for pcm in prompts.stream(sentence, keep=keep):
                    human.play(pcm)
            async for event in human.events():
                accepted = isinstance(event, Digit) and event.key == ACCEPT
                if accepted or isinstance(event, HungUp):
                    break
                if isinstance(event, Played):
                    limit.reschedule(asyncio.get_running_loop().time() + _ACCEPT_S)
    except (TimeoutError, SpeechError) as error:
        log.warning("call %s: whoever answered did not take it (%s)", human.id, type(error).__name__)
    finally:
        if accepted:
            human.clear()
        else:
            await human.hang_up()
    return accepted
