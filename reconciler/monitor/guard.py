"""Decides which requests are answered. A browser on this machine also runs pages of other sites; these must not read
from the monitor or send anything to it."""

from __future__ import annotations

import base64
import binascii
import hmac
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reconciler.monitor.webhooks import HOOKS

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

OPEN = ("/healthz",)
"""Paths that need no token: their answer is only yes or no."""

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


class Guard:
    """Wraps the application. `token`: returns the configured token, None if none is needed. If it raises Usage, the
    answer is 503."""

    def __init__(self, application: ASGIApp, token: Callable[[], str | None]) -> None:
        self._application, self._token = application, token
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own.partition('.')[0]}.local"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers, path = Headers(scope=scope), str(scope["path"])
        refused = self._refused(headers, path)
        answer: ASGIApp = self._application if refused is None else refused
        await answer(scope, receive, _with_headers(send))

    def _refused(self, headers: Headers, path: str) -> ASGIApp | None:
        host = headers.get("host", "")
        if not self.knows(host):
            return PlainTextResponse("403: this host name is not known here; use localhost or an address\n", 403)
        if path.startswith(HOOKS):  # called by forges; needs no token, because the request is signed
            return None
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return PlainTextResponse("403: another page may not ask\n", 403)
        if site not in ("none", "same-origin") and headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("403: another page may not ask\n", 403)
        token = self._token()
        if token is not None and path not in OPEN and not _has(headers.get("authorization", ""), token):
            asked = {"WWW-Authenticate": 'Basic realm="reconciler", charset="UTF-8"'}
            return PlainTextResponse("401: the token is missing or wrong\n", 401, asked)
        return None

    def knows(self, host: str) -> bool:
        """Whether a Host header names this machine: a known name, or any IP address. Foreign names do not count,
        because they may resolve to this machine (DNS rebinding)."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].lower().removesuffix(".")
        try:
            return name in self._names or ipaddress.ip_address(name.strip("[]")) is not None
        except ValueError:
            return False


def _has(authorization: str, token: str) -> bool:
    """Whether the header contains the token: as `Bearer TOKEN`, or as the password of any user (browsers ask for
    one)."""
    kind, _, given = authorization.partition(" ")
    if kind.lower() == "basic":
        try:
            given = base64.b64decode(given, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return False
    elif kind.lower() != "bearer":
        return False
    return hmac.compare_digest(given.strip().encode(), token.encode())


def _with_headers(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [pair for pair in message["headers"] if pair[0] not in _RAW] + list(_RAW.items())
        await send(message)

    return sent


_RAW = {name.lower().encode(): value.encode() for name, value in HEADERS.items()}
