"""One audit event for each request that was answered, on the disk before the answer is finished.

    @router.post("/v1/triage")
    async def triage(body: TriageRequest, asked: Annotated[Asked, asking("triage")]): ...

A route notes what it did in `asked`; this module adds who asked, the status and the time. Nothing of what was said is logged but a keyed
fingerprint and a length. A request without a good key, or over its rate, is not answered and leaves no event here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from bedside.server.access import needs
from bedside.server.auditing import GatewayAuditLog
from bedside.server.gateway import gateway_of
from bedside.server.keys import KeyInfo
from bedside.server.logs import request_id
from bedside.server.problems import problem_of

_MOST_RULES = 100


@dataclass
class Asked:
    """What one request asked for and what was done.

    Attributes:
        route: its path.
        by: id of the key; None: it was not let in.
        id: as the client gets it in `X-Request-ID`, and the log has it.
        engine: which answered.
        rules: red flags that fired and guard rules that were broken.
        disposition: where the protocol sends whoever asked.
        text: what was asked, for its fingerprint and length; it is not kept.
        streams: the answer is written later, by whoever then calls `log`.
    """

    route: str
    by: str | None = None
    id: str = field(default_factory=request_id)
    engine: str | None = None
    rules: tuple[str, ...] = ()
    disposition: str | None = None
    text: str = ""
    streams: bool = False
    _start: float = field(default_factory=time.perf_counter)

    async def log(self, audit: GatewayAuditLog, status: int) -> None:
        """Write the event; it is on the disk when this returns.

        Raises:
            AuditError: it cannot be written, so nothing may be answered.
        """
        await audit.appended(
            "api.asked",
            request=self.id,
            by=self.by,
            route=self.route,
            status=status,
            ms=round((time.perf_counter() - self._start) * 1000),
            engine=self.engine,
            rules=list(dict.fromkeys(self.rules))[:_MOST_RULES],
            disposition=self.disposition,
            text_hash=audit.fingerprint(self.text) if self.text else None,
            letters=len(self.text),
        )


def asking(scope: str) -> Any:
    """A FastAPI dependency: the note of a request whose key may be used for `scope`; see `bedside.server.access.needs`."""

    let_in = needs(scope)

    async def note(request: Request, key: KeyInfo = let_in) -> Asked:
        asked: Asked = request.state.asked
        asked.by = key.id
        return asked

    return Depends(note)


class AuditedRoute(APIRoute):
    """A route whose answers are logged."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, with the event behind it."""
        answer = super().get_route_handler()

        async def audited(request: Request) -> Response:
            asked = request.state.asked = Asked(self.path)
            audit = gateway_of(request).audit
            try:
                response = await answer(request)
            except Exception as error:
                problem = problem_of(error)
                if asked.by is not None:
                    await asked.log(audit, problem.status)
                raise problem from error
            if not asked.streams:
                await asked.log(audit, response.status_code)
            return response

        return audited
