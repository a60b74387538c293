"""The audit log of a process that serves from one event loop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from prometheus_client import Gauge, Histogram

from bedside.workspace.audit import AuditLog, Entry

# Threads of their own, so that a log line never waits for a model.
_THREADS = CapacityLimiter(8)


class GatewayAuditLog(AuditLog):
    """An audit log of which each write is measured, and for which the event loop can wait.

    Args:
        folder: where it is.
        seconds: told how long each event took to be on the disk.
        waiting: shows the events that are not there yet.

    Raises:
        AuditError: as for `AuditLog`.
    """

    def __init__(self, folder: Path, seconds: Histogram, waiting: Gauge) -> None:
        super().__init__(folder)
        self._seconds = seconds
        self._waiting = waiting
        self._turn = asyncio.Lock()

    def append(self, kind: str, /, **data: Any) -> Entry:
        """As `AuditLog.append`."""
        with self._waiting.track_inprogress(), self._seconds.time():
            return super().append(kind, **data)

    async def appended(self, kind: str, /, **data: Any) -> Entry:
        """`append` beside the event loop. Events that come during a write wait in the loop, not in a thread each, and share the next write.

        Raises:
            AuditError: as for `append`.
        """
        noted = self.note(kind, **data)
        with self._waiting.track_inprogress(), self._seconds.time():
            async with self._turn:
                if not noted.is_over:
                    await to_thread.run_sync(self.write, noted, limiter=_THREADS)
        return noted.written()
