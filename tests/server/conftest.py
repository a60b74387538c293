"""Fixtures of the gateway's tests."""

from fixtures_gateway import base_release, gateway, start
from fixtures_model import base_gguf, chatml_contract, embedded
from phone.bookings.conftest_bookings import postgres

__all__ = ["base_gguf", "base_release", "chatml_contract", "embedded", "gateway", "postgres", "start"]
