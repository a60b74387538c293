"""Fixtures of the phone line's media."""

from fixtures_phone_media import speech, voice

__all__ = ["speech", "voice"]
