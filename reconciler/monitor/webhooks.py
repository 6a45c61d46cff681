"""Webhooks of forges: a push wakes the agent, which fetches as usual and uses nothing from the request."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

LARGEST = 1 << 20
"""Largest request in bytes. The agent does not need its content."""

PATIENCE = 10.0
"""Seconds in which a request has to arrive."""

REMEMBERED = 1000
"""Number of requests that are remembered, to ignore repeated ones."""

SELDOM = 1.0
"""Least number of seconds between two wakes."""

EVENTS = {
    "github": ("x-github-event", "push"),
    "gitea": ("x-gitea-event", "push"),
    "gitlab": ("x-gitlab-event", "push hook"),
}
"""Forge → header and its value for a push. Forgejo sends Gitea's headers, too."""


class Webhooks:
    """`secrets`: forge → function that reads its secret, called for each request. `wake`: makes the agent fetch now."""

    def __init__(
        self,
        secrets: Mapping[str, Callable[[], str]],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets, self._wake, self._clock = secrets, wake, clock
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._woken_at = float("-inf")

    async def answer(self, request: Request) -> Response:
        forge = str(request.path_params["forge"])
        secret = self._secrets.get(forge)
        if secret is None:
            return PlainTextResponse("404: no secret is configured for this forge\n", 404)
        if _announced(request.headers) > LARGEST:
            return PlainTextResponse("413: too large\n", 413)
        try:
            async with asyncio.timeout(PATIENCE):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return PlainTextResponse("408: too slow\n", 408)
        if body is None:
            return PlainTextResponse("413: too large\n", 413)
        key = await run_in_threadpool(secret)
        if not signed(forge, request.headers, body, key):
            return PlainTextResponse("401: the signature is missing or wrong\n", 401)
        name, push = EVENTS[forge]
        if request.headers.get(name, "").lower() != push:
            return PlainTextResponse("only pushes are of interest\n")
        if self._is_known(forge, request.headers, body):
            return PlainTextResponse("known already\n")
        if self._clock() - self._woken_at >= SELDOM:
            self._woken_at = self._clock()
            await run_in_threadpool(self._wake)
        return PlainTextResponse("the agent looks\n", 202)

    def _is_known(self, forge: str, headers: Headers, body: bytes) -> bool:
        """Whether the request was seen before: by its signed body; for GitLab, which signs nothing, by the event's
        id."""
        extra = headers.get("x-gitlab-event-uuid", "") if forge == "gitlab" else ""
        digest = hashlib.sha256(f"{forge} {extra} ".encode() + body).digest()
        known = digest in self._seen
        self._seen[digest] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return known


def signed(forge: str, headers: Headers, body: bytes, secret: str) -> bool:
    """Whether the body is signed with the secret (GitLab: the request contains the secret itself)."""
    if forge == "gitlab":
        return hmac.compare_digest(headers.get("x-gitlab-token", "").encode(), secret.encode())
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    name, prefix = ("x-hub-signature-256", "sha256=") if forge == "github" else ("x-gitea-signature", "")
    return hmac.compare_digest(headers.get(name, "").encode(), f"{prefix}{digest}".encode())


def _announced(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else LARGEST + 1


async def _body(request: Request) -> bytes | None:
    """The body; None if it is larger than LARGEST."""
    found = bytearray()
    async for piece in request.stream():
        found += piece
        if len(found) > LARGEST:
            return None
    return bytes(found)
