"""Releases: what each model is, whether its bytes are still those that were released, and how it was measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from markdown_it import MarkdownIt
from markupsafe import Markup

from bedside.errors import BedsideError
from bedside.release.build import CARD, Manifest, load_release
from bedside.server.access import person
from bedside.server.console.render import ConsoleRoute, fault, page
from bedside.server.gateway import Gateway, gateway_of

REPORT = "evaluation.html"
REPORT_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"
"""A report brings its own style and pictures; it runs nothing, loads nothing, and only the console may frame it."""
_LONGEST_CARD = 1_000_000

router = APIRouter(route_class=ConsoleRoute, prefix="/console/releases", dependencies=[person("clinician")])


@dataclass(frozen=True, slots=True)
class ReleaseView:
    """A release as a page shows it; without a manifest `fault` tells why it cannot be read."""

    engine: str
    folder: Path
    manifest: Manifest | None
    fault: BedsideError | None

    @property
    def has_report(self) -> bool:
        """Whether an evaluation report came with it."""
        return self.manifest is not None and REPORT in self.manifest.files and (self.folder / REPORT).is_file()


@router.get("")
def releases(request: Request) -> Response:
    """All releases of the gateway's engines."""
    gateway = gateway_of(request)
    return page(request, "releases.html.j2", releases=_views(gateway), gateway=gateway)


@router.get("/{engine}")
def release(request: Request, engine: str) -> Response:
    """One release: its card, its files and its report."""
    gateway = gateway_of(request)
    view = _view(gateway, engine)
    if view is None:
        return _absent(request, engine)
    return page(request, "release.html.j2", release=view, gateway=gateway, card=card(view.folder / CARD) if view.manifest else "")


@router.get("/{engine}/report")
def report(request: Request, engine: str) -> Response:
    """The evaluation report as it is, for the frame of the release's page."""
    view = _view(gateway_of(request), engine)
    if view is None or not view.has_report:
        return _absent(request, engine)
    return FileResponse(view.folder / REPORT, media_type="text/html", headers={"Content-Security-Policy": REPORT_POLICY})


def card(path: Path) -> Markup:
    """A model card as HTML: Markdown without raw HTML, its front matter left out; "" where there is none."""
    if not path.is_file() or path.stat().st_size > _LONGEST_CARD:
        return Markup("")
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        token.attrs.pop("style", None)  # the alignment of columns; the console's policy allows no inline style
    return Markup(reader.renderer.render(tokens, reader.options, {}))


def _views(gateway: Gateway) -> list[ReleaseView]:
    return [_read(engine.name, engine.release) for engine in gateway.settings.engines if engine.release]


def _view(gateway: Gateway, engine: str) -> ReleaseView | None:
    return next((view for view in _views(gateway) if view.engine == engine), None)


def _read(engine: str, folder: Path) -> ReleaseView:
    try:
        return ReleaseView(engine, folder, load_release(folder).manifest, None)
    except BedsideError as error:
        return ReleaseView(engine, folder, None, error)


def _absent(request: Request, engine: str) -> Response:
    return fault(request, 404, f"no engine {engine[:80]!r} has a release with what was asked for", "Choose one from the list of releases")
