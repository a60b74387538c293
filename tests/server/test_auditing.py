"""The gateway's audit log from its event loop: events share writes, and each is on the disk before whoever waits for it goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest

from bedside.server.auditing import GatewayAuditLog
from bedside.server.metrics import Metrics
from bedside.workspace.audit import AuditError, AuditLog


@pytest.fixture
def log(tmp_path: Path) -> GatewayAuditLog:
    return Metrics().audit_log(tmp_path / "audit")


def test_events_that_come_together_share_a_few_writes_and_each_is_kept(
    log: GatewayAuditLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushes: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (flushes.append(file), fsync(file))[1])
    reader = AuditLog(tmp_path / "audit")

    async def one(number: int) -> None:
        entry = await log.appended("api.asked", request=str(number), status=200)
        # Another process sees it by now.
        assert any(kept.seq == entry.seq for kept in reader.entries(request=str(number)))

    async def together() -> None:
        await asyncio.gather(*map(one, range(60)))

    asyncio.run(together())
    assert reader.verify().entries == 60 and reader.verify().broken is None
    assert len(flushes) < 10


def test_an_event_that_may_not_be_logged_fails_alone(log: GatewayAuditLog) -> None:
    async def together() -> list[object]:
        good = (log.appended("api.asked", request=str(number), status=200) for number in range(5))
        return await asyncio.gather(*good, log.appended("api.asked", transcript="what was said"), return_exceptions=True)

    *kept, refused = asyncio.run(together())
    assert isinstance(refused, AuditError) and not any(isinstance(one, Exception) for one in kept)
    assert log.verify().entries == 5


def test_a_write_that_fails_is_told_to_everybody_who_waits_for_it(log: GatewayAuditLog, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "audit")

    async def together() -> list[object]:
        return await asyncio.gather(
            *(log.appended("api.asked", request=str(number), status=200) for number in range(5)), return_exceptions=True
        )

    assert all(isinstance(told, AuditError) for told in asyncio.run(together()))


def test_who_stops_waiting_takes_nobody_elses_event_along(log: GatewayAuditLog) -> None:
    async def together() -> None:
        waiting = [asyncio.create_task(log.appended("api.asked", request=str(number), status=200)) for number in range(10)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[5].cancel()
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(one, BaseException) for one in told) <= 2
        await log.appended("api.asked", request="after", status=200)

    asyncio.run(together())
    assert log.verify().entries == 11 and log.verify().broken is None
