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
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from reconciler.errors import ReconcilerError

HOOKS = "/hooks/"
"""Beginning of the paths; the rest is the forge."""

LARGEST = 1 << 20
"""Largest request in bytes. The agent does not need its content."""

PATIENCE = 10.0
"""Seconds in which a request has to arrive."""

REMEMBERED = 1000
"""Number of requests that are remembered, to ignore repeated ones."""

SELDOM = 1.0
"""Least number of seconds between two wakes, and between two reads of a secret's file."""

EVENTS = {
    "github": ("x-github-event", "push"),
    "gitea": ("x-gitea-event", "push"),
    "gitlab": ("x-gitlab-event", "push hook"),
}
"""Forge → header and its value for a push. Forgejo sends Gitea's headers, too."""


class Webhooks:
    """An ASGI application. No request is kept in memory: its bytes go through the signature's hash one piece after the
    other.

    `secrets`: forge → function that reads its secret; it may raise ReconcilerError. `wake`: makes the agent fetch now.
    """

    def __init__(
        self,
        secrets: Mapping[str, Callable[[], str]],
        wake: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._secrets, self._wake, self._clock = secrets, wake, clock
        self._keys: dict[str, tuple[float, bytes]] = {}
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._woken_at = float("-inf")
        self._later: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, told = await self._answer(scope, receive)
        await PlainTextResponse(f"{told}\n", status)(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, str]:
        """Status and text of the answer."""
        forge, headers = str(scope["path"]).removeprefix(HOOKS), Headers(scope=scope)
        if forge not in self._secrets:
            return 404, "404: no secret is configured for this forge"
        if scope["method"] != "POST":
            return 405, "405: a webhook is sent with POST"
        if _announced(headers) > LARGEST:
            return 413, "413: too large"
        try:
            key = await self._key(forge)
        except ReconcilerError:
            return 503, "503: the secret cannot be read; `reconciler doctor` says why"
        if forge == "gitlab" and not _same(headers.get("x-gitlab-token", ""), key):
            return WRONG
        digest = hmac.new(key, digestmod=hashlib.sha256)
        try:
            async with asyncio.timeout(PATIENCE):
                fault = await _pass(receive, digest.update)
        except TimeoutError:
            fault = 408, "408: too slow"
        if fault is not None:
            return fault
        if forge != "gitlab" and not signed(forge, headers, digest.hexdigest()):
            return WRONG
        name, push = EVENTS[forge]
        if headers.get(name, "").lower() != push:
            return 200, "only pushes are of interest"
        # GitLab signs nothing, so a request is known again only by its body and the id of its event.
        if self._is_known(f"{forge} {headers.get('x-gitlab-event-uuid', '')} {digest.hexdigest()}"):
            return 200, "known already"
        await self._wake_soon()
        return 202, "the agent looks"

    async def _key(self, forge: str) -> bytes:
        read_at, key = self._keys.get(forge, (float("-inf"), b""))
        if self._clock() - read_at >= SELDOM:
            key = (await run_in_threadpool(self._secrets[forge])).encode()
            self._keys[forge] = self._clock(), key
        return key

    async def _wake_soon(self) -> None:
        """Wake the agent now. If it was woken within the last second, wake it at the end of that second, once for all
        requests until then."""
        left = self._woken_at + SELDOM - self._clock()
        if left <= 0:
            if self._later is not None:  # a busy process may be late to call it
                self._later.cancel()
            self._later, self._woken_at = None, self._clock()
            await run_in_threadpool(self._wake)
        elif self._later is None:
            self._later = asyncio.get_running_loop().call_later(left, self._wake_later)

    def _wake_later(self) -> None:
        self._later, self._woken_at = None, self._clock()
        asyncio.get_running_loop().run_in_executor(None, self._wake)

    def _is_known(self, request: str) -> bool:
        known = request in self._seen
        self._seen[request] = None
        while len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return known


WRONG = 401, "401: the signature is missing or wrong"


def signed(forge: str, headers: Headers, digest: str) -> bool:
    """Whether the request has this signature: the HMAC-SHA256 of its body in hexadecimal digits."""
    name, prefix = ("x-hub-signature-256", "sha256=") if forge == "github" else ("x-gitea-signature", "")
    return _same(headers.get(name, ""), f"{prefix}{digest}".encode())


def _same(given: str, right: bytes) -> bool:
    """Compared in a time that does not depend on the difference."""
    return hmac.compare_digest(given.encode(), right)


def _announced(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else LARGEST + 1


async def _pass(receive: Receive, take: Callable[[bytes], None]) -> tuple[int, str] | None:
    """Give the body to `take`. Returns the answer if the body does not arrive, or is larger than LARGEST; else None."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return 408, "408: the request was broken off"
        piece = message.get("body", b"")
        size, more = size + len(piece), message.get("more_body", False)
        if size > LARGEST:
            return 413, "413: too large"
        take(piece)
    return None
