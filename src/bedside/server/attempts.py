"""How often something was tried: failed logins and keys, with a wait that grows; and requests a minute.

Both are counted in the database, so that they hold across gateways. The wait follows NIST SP 800-63B-4 §3.2.2: some failures are
free, then each one doubles the wait up to a longest, and an hour without one forgives all. Nothing is locked for good, because then
anybody could lock anybody out. Requests are counted with a sliding window of 60 s, made of the count of this minute and a share of the last
one's. A gateway tells the others about its own requests once a second, so each may let through a second's worth more than the rate.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from anyio import to_thread
from sqlalchemy import case, delete, select, update

from bedside.errors import BedsideError
from bedside.server.database import Database, attempts, rates
from bedside.workspace.database import DatabaseError, seconds, utc_now

_FORGIVEN_SECONDS = 3600
_SYNC_SECONDS = 1.0
_log = logging.getLogger(__name__)


class TooManyAttemptsError(BedsideError):
    """Too many attempts failed; `wait` is the number of seconds until the next is looked at."""

    def __init__(self, wait: int) -> None:
        super().__init__("too many attempts failed", f"Try again in {wait} s")
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Patience:
    """How failures of one kind are met.

    Attributes:
        free: failures that cost nothing.
        longest: the longest wait in seconds.
    """

    free: int
    longest: int

    def wait(self, failures: int) -> int:
        """Seconds to wait after so many failures in a row: 1, 2, 4, … once the free ones are spent."""
        over = failures - self.free
        return 0 if over < 0 else min(self.longest, 2 ** min(over, 30))


class Attempts:
    """Failed attempts by subject, such as a login or an address.

    Args:
        db: where they are counted.
        now: the clock.
    """

    def __init__(self, db: Database, now: Callable[[], dt.datetime] = utc_now) -> None:
        self._db = db
        self._now = now

    def wait(self, subject: str) -> int:
        """Seconds until the subject may try again; 0: now."""
        with self._db.reading() as connection:
            until = connection.scalar(select(attempts.c.until).where(attempts.c.subject == subject))
        return max(0, (until or 0) - seconds(self._now()))

    def begin(self, patiences: dict[str, Patience]) -> None:
        """Count an attempt before it is looked at, so that many at once are no more than many in a row; `succeeded` takes it back.

        Raises:
            TooManyAttemptsError: one of the subjects has to wait; nothing is counted then.
        """
        now = seconds(self._now())
        with self._db.writing(durable=False) as connection:
            locked = select(attempts.c.until).where(attempts.c.subject.in_(list(patiences))).order_by(attempts.c.subject).with_for_update()
            wait = max(connection.scalars(locked), default=0) - now
            if wait > 0:
                raise TooManyAttemptsError(wait)
            for subject, patience in sorted(patiences.items()):
                forgiven = attempts.c.last < now - _FORGIVEN_SECONDS
                counted = self._db.inserting(attempts).values(subject=subject, failures=1, last=now, until=0)
                failures = connection.scalar(
                    counted.on_conflict_do_update(
                        index_elements=["subject"], set_={"failures": case((forgiven, 1), else_=attempts.c.failures + 1), "last": now}
                    ).returning(attempts.c.failures)
                )
                connection.execute(update(attempts).where(attempts.c.subject == subject).values(until=now + patience.wait(failures or 1)))

    def succeeded(self, cleared: str, *also: str) -> None:
        """Forget the failures of one subject; for the others only this attempt, so that an own account does not help to guess others'."""
        with self._db.writing(durable=False) as connection:
            connection.execute(delete(attempts).where(attempts.c.subject == cleared))
            connection.execute(update(attempts).where(attempts.c.subject.in_(also)).values(failures=attempts.c.failures - 1))


def login_subject(login: str) -> str:
    """A login as a subject; hashed, because people type passwords into the wrong field."""
    return f"login:{hashlib.sha256(login.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def address_subject(address: str) -> str:
    """A network address as a subject; of IPv6 the network of 64 bits, which one machine has to itself."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return f"address:{address[:64]}"
    return f"address:{ipaddress.ip_network((known, 64), strict=False) if known.version == 6 else known}"


@dataclass(slots=True)
class _Window:
    """One subject's requests of this minute and the last one, over all gateways as far as known, and those not told to the others yet."""

    minute: int
    now: int = 0
    before: int = 0
    untold: int = 0
    told: float = 0.0
    telling: bool = False


class RateLimits:
    """Requests a minute by subject, such as a key; used from one event loop.

    Args:
        db: where gateways tell each other.
        clock: seconds since 1970.
    """

    def __init__(self, db: Database, clock: Callable[[], float] = time.time) -> None:
        self._db = db
        self._clock = clock
        self._windows: dict[str, _Window] = {}
        self._minute = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def admit(self, subject: str, per_minute: int) -> int:
        """Count one request.

        Returns:
            Seconds to wait, 0: go on. A request that has to wait is not counted.
        """
        at = self._clock()
        window = self._window(subject, int(at // 60))
        share = 1 - at % 60 / 60
        if window.now + window.before * share >= per_minute:
            return _until_free(window, per_minute, at % 60)
        window.now += 1
        window.untold += 1
        if not window.telling and at - window.told >= _SYNC_SECONDS:
            window.telling = True
            task = asyncio.get_running_loop().create_task(self._tell(subject, window, at))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return 0

    def _window(self, subject: str, minute: int) -> _Window:
        if minute != self._minute:
            self._minute = minute
            self._windows = {name: kept for name, kept in self._windows.items() if kept.minute >= minute - 1}
        window = self._windows.get(subject)
        if window is None or window.minute != minute:
            before = window.now if window and window.minute == minute - 1 else 0
            window = self._windows[subject] = _Window(minute, before=before)
        return window

    async def _tell(self, subject: str, window: _Window, at: float) -> None:
        untold, window.untold = window.untold, 0
        try:
            total, before = await to_thread.run_sync(self._exchange, subject, window.minute, untold)
            window.now, window.before = total + window.untold, max(before, window.before)
        except DatabaseError as error:
            window.untold += untold
            _log.warning("requests are counted by this gateway alone: %s", error)
        finally:
            window.told, window.telling = at, False

    def _exchange(self, subject: str, minute: int, untold: int) -> tuple[int, int]:
        """Add to the count of a minute; the counts of that minute and the one before."""
        added = self._db.inserting(rates).values(subject=subject, minute=minute, count=untold)
        with self._db.writing(durable=False) as connection:
            total = connection.scalar(
                added.on_conflict_do_update(index_elements=["subject", "minute"], set_={"count": rates.c.count + untold}).returning(
                    rates.c.count
                )
            )
            before = connection.scalar(select(rates.c.count).where(rates.c.subject == subject, rates.c.minute == minute - 1))
        return int(total or untold), int(before or 0)


def _until_free(window: _Window, per_minute: int, second: float) -> int:
    """Seconds until the sliding count is below the rate; this minute's own requests weigh in full until it ends, then less and less."""
    free_at = 60 * (1 - (per_minute - window.now) / window.before) if window.now < per_minute else 60 + 60 * (1 - per_minute / window.now)
    return max(1, math.floor(free_at - second) + 1)
