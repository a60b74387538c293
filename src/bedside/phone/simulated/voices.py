"""The callers' voices: Kokoro by persona, made once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bedside.phone.simulated.people import Persona, Plan, Talker, accents
from bedside.phone.speech.say import Kokoro, Prompts

_OFTEN = ("person", "number", "yes", "first", "done")
"""What every persona says in most calls."""


class Voices:
    """Speech of all personas, from one process.

    Args:
        folder: keeps what was made, so that a second run need not make it again.

    Raises:
        BaseModelError: the voices' weights have not been fetched.
        SpeechError: espeak-ng is not installed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._first: Kokoro | None = None
        self._prompts: dict[str, Prompts] = {}

    async def sound(self, persona: Persona, words: str) -> bytes:
        """A persona's words, 8 kHz, 16 bits."""
        if persona.id not in self._prompts:
            voice = Kokoro(persona.voice, speed=persona.speed, accent=accents().get(persona.accent, ()), beside=self._first)
            self._first = self._first or voice
            self._prompts[persona.id] = Prompts(voice, self._folder)
        return await self._prompts[persona.id].sound(words)

    async def prepare(self, plans: Sequence[Plan], progress: Callable[[int, int], None]) -> None:
        """Make what will be said in most calls beforehand, for making it costs the processor that the line under test needs."""
        wanted = {(plan.persona.id, Talker(plan).tell()): plan.persona for plan in plans}
        wanted |= {(plan.persona.id, getattr(plan.persona, field)): plan.persona for plan in plans for field in _OFTEN}
        for at, ((_, words), persona) in enumerate(wanted.items()):
            progress(at, len(wanted))
            await self.sound(persona, words)
        progress(len(wanted), len(wanted))

    async def close(self) -> None:
        """End the process."""
        if self._first is not None:
            await self._first.close()
