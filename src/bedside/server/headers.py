"""What every response tells the browser, and which requests are refused before anything reads them.

The headers follow the OWASP Secure Headers Project: no scripts or styles in a page's own text, nothing from elsewhere, no framing, no
guessing of types, no caching. A page may set one of them itself, such as a report shown in a frame, and then keeps it. Refused are a `Host`
that is not this gateway's (DNS rebinding, poisoned links), headers that two servers could read differently (request smuggling, RFC 9112 §11.2),
paths with control characters or steps upwards, and WebSockets that a page of another site opens.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bedside.server.problems import ProblemError
from bedside.server.settings import ListenSettings

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "media-src 'self' blob:",
        "worker-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_ALWAYS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # "no-referrer" would make browsers send `Origin: null` with the console's own forms.
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), payment=(), usb=(), microphone=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in _ALWAYS.items()]
_TLS_HEADERS = [*_HEADERS, (b"strict-transport-security", b"max-age=31536000")]
_NOT_STORED = (b"cache-control", b"no-store")
_CHECKED_EACH_TIME = (b"cache-control", b"no-cache")
_STATIC = "/console/static/"
_ONCE = frozenset({b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"origin", b"cookie"})
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253}?)\.?(?::\d{1,5})?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_POLICY_VIOLATION = 1008


class SecurityHeaders:
    """ASGI middleware, the outermost of the gateway.

    Args:
        app: what comes after it.
        listen: address and names of the gateway.
    """

    def __init__(self, app: ASGIApp, listen: ListenSettings) -> None:
        self._app = app
        self._hosts = frozenset({listen.host.lower(), "localhost", "127.0.0.1", "::1", *listen.hosts})
        # A machine with many addresses is reached by each; an attacker's name can be made to point here, an address cannot.
        self._any_address = listen.host in ("0.0.0.0", "::")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        problem = self._refusal(scope)
        if scope["type"] == "websocket":
            if problem is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": problem.code})
            return
        await (problem.response() if problem else self._app)(scope, receive, _with_headers(scope, send))

    def _refusal(self, scope: Scope) -> ProblemError | None:
        given = Counter(name for name, _ in scope["headers"])
        twice = sorted(name.decode() for name in _ONCE & given.keys() if given[name] > 1)
        if twice or (b"content-length" in given and b"transfer-encoding" in given):
            found = f"the header {twice[0]!r} stands twice" if twice else "both content-length and transfer-encoding are given"
            return ProblemError(400, "ambiguous_headers", f"{found}; send one", headers={"Connection": "close"})
        if _CONTROL.search(scope["path"]) or ".." in scope["path"].split("/") or b"%00" in scope["query_string"]:
            return ProblemError(400, "path", "the path or the query holds control characters, or steps upwards")
        host = _name(dict(scope["headers"]).get(b"host", b""))
        if host is None or not self._is_own(host):
            return ProblemError(421, "host", "this gateway is not called so; add the name to `listen.hosts` of its settings")
        if scope["type"] == "websocket" and not _is_from(dict(scope["headers"])):
            return ProblemError(403, "other_site", "a page of another site opened this connection")
        return None

    def _is_own(self, host: str) -> bool:
        if host in self._hosts:
            return True
        try:
            return self._any_address and bool(ipaddress.ip_address(host))
        except ValueError:
            return False


def _name(header: bytes) -> str | None:
    """The name or address in a `Host` header without its port; None where it is neither."""
    found = _HOST.fullmatch(header.decode("latin-1").lower())
    return found[1].strip("[]") if found else None


def _is_from(headers: dict[bytes, bytes]) -> bool:
    """Whether a WebSocket was opened by a page of the same host and port, or by a program that names no page."""
    origin = headers.get(b"origin")
    return origin is None or origin.partition(b"://")[2] == headers[b"host"]


def _with_headers(scope: Scope, send: Send) -> Send:
    static = scope["path"].startswith(_STATIC)
    wanted = [*(_TLS_HEADERS if scope["scheme"] == "https" else _HEADERS), _CHECKED_EACH_TIME if static else _NOT_STORED]

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", ())}
            message["headers"] = [*message.get("headers", ()), *(header for header in wanted if header[0] not in given)]
        await send(message)

    return sending
