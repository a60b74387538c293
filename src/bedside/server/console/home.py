"""The first page: whether the gateway and what it stands on are well, in a glance."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from datetime import date, datetime

from fastapi import APIRouter, Request
from fastapi.responses import Response

from bedside.knowledge.store import check
from bedside.server.access import person
from bedside.server.console.render import ConsoleRoute, page
from bedside.server.gateway import Gateway, gateway_of

LEAST_FREE = 2_000_000_000
"""Bytes free on the disk of the state folder under which the page warns."""

router = APIRouter(route_class=ConsoleRoute, prefix="/console", dependencies=[person("reception")])


@router.get("")
def home(request: Request) -> Response:
    """Engines, releases, queue, disk, audit log and knowledge."""
    gateway = gateway_of(request)
    disk = shutil.disk_usage(gateway.settings.state)
    return page(
        request,
        "home.html.j2",
        now=datetime.now().astimezone(),
        gateway=gateway,
        uptime=int(time.monotonic() - gateway.started),
        disk=disk,
        disk_low=disk.free < LEAST_FREE,
        head=gateway.audit.head(),
        knowledge=_knowledge(gateway, date.today()),
    )


def _knowledge(gateway: Gateway, day: date) -> Counter[str]:
    """Findings about the facts by kind; `errors` counts those that keep a fact from being used."""
    findings = check(day, gateway.rails.protocol(day))
    counts = Counter[str](finding.kind for finding in findings)
    counts["errors"] = sum(finding.is_error for finding in findings)
    return counts
