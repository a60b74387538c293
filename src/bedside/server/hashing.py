"""Argon2id hashes of keys and passwords (RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TypeVar

import anyio
from anyio import to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

_T = TypeVar("_T")
_AT_ONCE = 2
"""Hashes at a time: each takes 64 MiB, and more than there are cores gain nothing."""
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)

NO_HASH = f"$argon2id$v=19$m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}${'A' * 22}${'A' * 43}"
"""A hash that no secret is known to have: checking it takes as long as checking another."""


def hashed(secret: str) -> str:
    """The hash of a secret with a salt of its own, in PHC string format. Takes tens of milliseconds."""
    return _HASHER.hash(_octets(secret))


def matches(hash: str, secret: str) -> bool:
    """Whether a secret has this hash. Takes tens of milliseconds either way."""
    try:
        return _HASHER.verify(hash, _octets(secret))
    except (VerificationError, InvalidHashError):
        return False


async def in_hashing_thread(function: Callable[..., _T], *args: object) -> _T:
    """Run what hashes beside the event loop; only so many at a time, so that a flood of guesses fills neither memory nor the pool of threads."""
    return await to_thread.run_sync(function, *args, limiter=_limiter())


@cache
def _limiter() -> anyio.CapacityLimiter:
    return anyio.CapacityLimiter(_AT_ONCE)


def _octets(secret: str) -> bytes:
    # A header or a form can hold lone surrogates, which no UTF-8 has.
    return secret.encode("utf-8", "surrogatepass")
