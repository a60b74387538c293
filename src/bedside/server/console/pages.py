"""All pages of the console under one router, and the files that they load."""

from __future__ import annotations

from functools import cache

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.staticfiles import StaticFiles

from bedside.server.console import account, ask, audit, calls, document, home, people, phone, releases, requests, workbench

router = APIRouter(include_in_schema=False)
for part in (account, ask, audit, calls, document, home, people, phone, releases, requests, workbench):
    router.include_router(part.router)


@router.get("/console/static/{path:path}")
async def static(request: Request, path: str) -> Response:
    """Styles and scripts: the console's own, and htmx from its package."""
    return await _files().get_response(path, request.scope)


@cache
def _files() -> StaticFiles:
    return StaticFiles(packages=[("bedside.server.console", "static"), ("django_htmx", "static/django_htmx")])
