"""Fixtures of calls by voice."""

from fixtures_phone_media import speech, voice

__all__ = ["speech", "voice"]
