"""Checks, logs and counts every request: its id, its size, its log line, its metrics.

It is plain ASGI, so that nothing is buffered.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from fastapi import HTTPException

from brain import metrics
from brain.logs import request_id

LARGEST = 8 << 20
"""Most bytes of a request's body."""

_GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET = ("/health/live", "/health/ready", "/metrics")
_log = logging.getLogger("brain.requests")


class Requests:
    """The outermost layer. It takes a well-formed X-Request-ID over, or makes one, and always sends it back."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        name = given if _GIVEN_ID.fullmatch(given) else uuid.uuid4().hex
        token = request_id.set(name)
        begun, status, received = time.monotonic(), 500, 0

        async def answered(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name.encode())]
            await send(message)

        async def bounded() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LARGEST:
                raise HTTPException(413, f"a body has at most {LARGEST} bytes")
            return message

        try:
            if int(headers.get(b"content-length") or 0) > LARGEST:
                await _refuse(answered, name)
            else:
                await self._app(scope, bounded, answered)
        finally:
            self._tell(scope, status, time.monotonic() - begun)
            request_id.reset(token)

    def _tell(self, scope: Any, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unknown")
        metrics.requests.labels(scope["method"], route, str(status)).inc()
        metrics.seconds.labels(scope["method"], route).observe(seconds)
        if route not in _QUIET or status >= 500:
            caller = scope.get("state", {}).get("caller")
            fields = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
            _log.info("request", extra={"fields": {**fields, "caller": caller}})


async def _refuse(send: Any, name: str) -> None:
    error = {"code": "too_large", "message": f"a body has at most {LARGEST} bytes", "request_id": name}
    body = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
