"""The endpoints of the monitor. They serve the newest snapshot; logs and further attempts are read for each request."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from reconciler.errors import ReconcilerError
from reconciler.monitor import metrics
from reconciler.monitor.guard import Guard
from reconciler.monitor.page import ASSETS, Page
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Board, Json
from reconciler.monitor.webhooks import HOOKS, Webhooks
from reconciler.record.summary_alerts import alerts
from reconciler.values import dataclass

LIMIT, MOST = 20, 1000
"""Number of attempts that are shown: the default, and the maximum."""

TAIL, LONGEST_TAIL = 200, 2000
"""Number of lines of a log that are shown: the default, and the maximum."""

FEED = 0.5
"""Seconds after which an event stream looks at the newest snapshot again."""

SILENCE = 15.0
"""Seconds after which an empty line shows that the connection is alive."""

LISTENERS = 24
"""Number of event streams at one time; each is a connection that does not end."""

FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class LogQuery:
    """The query of a log. `service`: STACK/SERVICE."""

    service: str
    tail: int
    pattern: re.Pattern[str] | None
    previous: bool


@dataclass(frozen=True, slots=True)
class Reads:
    """Functions that read for one request. Each may raise ReconcilerError.

    `history`: the History document with so many attempts; with a revision, only attempts of that commit. `logs`: rows
    as the verb `logs` prints them. `follow`: such rows in parts, from now on and without an end.
    """

    history: Callable[[str | None, int], Json]
    logs: Callable[[LogQuery], Sequence[Json]]
    follow: Callable[[LogQuery], Iterator[Sequence[Json]]]


class Web:
    """`ended`: whether the monitor was asked to end; then its event streams end."""

    def __init__(
        self,
        board: Board,
        samples: Samples,
        reads: Reads,
        webhooks: Webhooks,
        ended: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._board, self._reads, self._ended, self._clock = board, reads, ended, clock
        self._page = Page(samples)
        self._webhooks = webhooks
        self._listeners = 0
        self._drawing = threading.Lock()
        self._drawn: tuple[object, str] = (None, "")
        self._told: tuple[int, Mapping[str, str]] = (-1, {})

    def application(self, token: Callable[[], str | None]) -> ASGIApp:
        """The guarded application. `token`: returns the token that requests must have; None: they need none."""
        routes = [
            Route("/", self._overview),
            Route("/assets/{name}", self._asset),
            Route("/api/status", self._status),
            Route("/api/history", self._history),
            Route("/api/alerts", self._alerts),
            Route("/api/events", self._events),
            Route("/api/logs/{stack}/{service}", self._followed_log),
            Route("/logs/{stack}/{service}", self._log),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
        ]
        pages = Starlette(routes=routes, exception_handlers={ReconcilerError: _told})

        async def either(scope: Scope, receive: Receive, send: Send) -> None:
            await (self._webhooks if scope["path"].startswith(HOOKS) else pages)(scope, receive, send)

        return Guard(either, token)

    # -- endpoints: those without `async` run in a thread of their own ------------------------------------------

    def _overview(self, request: Request) -> Response:
        limit = _number(request, "commits", LIMIT, MOST)
        made_of = (self._board.version, limit, int(self._clock()))
        with self._drawing:  # many open pages ask for the same text at the same time; it is made once
            if self._drawn[0] != made_of:
                snapshot = self._board.newest
                known = snapshot.history is None or limit <= LIMIT
                history = None if known else self._reads.history(None, limit)
                self._drawn = made_of, self._page.overview(snapshot, self._clock(), history, limit)
            return HTMLResponse(self._drawn[1])

    def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            return PlainTextResponse("404\n", 404)
        return FileResponse(ASSETS / name, media_type=FILES[name])

    def _status(self, request: Request) -> Response:
        snapshot = self._board.newest
        if snapshot.status is None:
            return _error(snapshot.error or "nothing is known yet", "try again in a moment", 503)
        return _json(snapshot.status)

    def _history(self, request: Request) -> Response:
        revision = request.query_params.get("revision", "")
        if revision and not re.fullmatch(r"[0-9a-f]{4,64}", revision):
            return _error("revision is the beginning of a sha", "at least 4 digits", 400)
        return _json(self._reads.history(revision or None, _number(request, "limit", LIMIT, MOST)))

    def _alerts(self, request: Request) -> Response:
        snapshot = self._board.newest
        return _json(alerts(snapshot.alerts, snapshot.at))

    def _metrics(self, request: Request) -> Response:
        text = metrics.exposition(self._board.newest, self._clock())
        return Response(text, media_type=metrics.CONTENT_TYPE)

    def _healthz(self, request: Request) -> Response:
        fault = self._board.newest.fault(self._clock())
        return PlainTextResponse(f"{fault or 'ok'}\n", 200 if fault is None else 503)

    def _log(self, request: Request) -> Response:
        query, text = _log_query(request)
        lines: Sequence[Json] = ()
        wrong = None
        try:
            lines = self._reads.logs(query)
        except ReconcilerError as error:
            wrong = f"{error.message}. {error.hint}"
        asked = f"?grep={_quoted(text)}" if text else ""
        live = wrong is None and not query.previous
        shown = {
            "tail": query.tail,
            "grep": text,
            "previous": query.previous,
            "follow": f"/api{request.url.path}{asked}" if live else "",
        }
        page = self._page.logs(self._board.newest, query.service, lines, wrong, shown)
        return HTMLResponse(page, 200 if wrong is None else 404)

    # -- streams -----------------------------------------------------------------------------------------------

    async def _events(self, request: Request) -> Response:
        return self._stream(request, self._news())

    async def _news(self) -> AsyncIterator[str]:
        """Events with `status` and `history`, each when it has changed."""
        seen, told, silent = -1, {"status": "", "history": ""}, 0.0
        while True:
            if self._board.version != seen:
                seen, silent = self._board.version, 0.0
                for kind, text in self._events_now().items():
                    if text != told[kind]:
                        told[kind] = text
                        yield f"event: {kind}\ndata: {text}\n\n"
            elif silent >= SILENCE:
                silent = 0.0
                yield ": still here\n\n"
            else:
                silent += FEED
                yield ""
            await asyncio.sleep(FEED)

    def _events_now(self) -> Mapping[str, str]:
        """Kind of event → its JSON, made once for all listeners."""
        version, snapshot = self._board.version, self._board.newest
        if self._told[0] != version:
            documents = {"status": snapshot.status, "history": snapshot.history}
            found = {kind: json.dumps(value, ensure_ascii=False) for kind, value in documents.items() if value}
            self._told = version, found
        return self._told[1]

    async def _followed_log(self, request: Request) -> Response:
        query, _ = _log_query(request)
        return self._stream(request, self._new_lines(query))

    async def _new_lines(self, query: LogQuery) -> AsyncIterator[str]:
        parts = self._reads.follow(query)
        silent = time.monotonic()
        try:
            while True:
                part = await run_in_threadpool(lambda: list(next(parts, ())))
                if part or time.monotonic() - silent > SILENCE:
                    silent = time.monotonic()
                    yield (
                        f"event: lines\ndata: {json.dumps(part, ensure_ascii=False)}\n\n"
                        if part
                        else ": still here\n\n"
                    )
                else:
                    yield ""
        except ReconcilerError as error:
            yield f": {' '.join(error.message.split())}\n\n"
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                await run_in_threadpool(close)

    def _stream(self, request: Request, parts: AsyncIterator[str]) -> Response:
        if self._listeners >= LISTENERS:
            return _error("too many pages listen at this moment", "close some of them", 503)

        async def sent() -> AsyncIterator[str]:
            try:
                async for part in parts:
                    if self._ended() or await request.is_disconnected():
                        return
                    if part:
                        yield part
            finally:
                close = getattr(parts, "aclose", None)
                if close is not None:
                    await close()

        def done() -> None:
            self._listeners -= 1

        self._listeners += 1
        return _Stream(sent(), done)


class _Stream(StreamingResponse):
    """`done`: called at its end, however it ends."""

    def __init__(self, content: AsyncIterator[str], done: Callable[[], None]) -> None:
        super().__init__(content, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        self._done = done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._done()


def _log_query(request: Request) -> tuple[LogQuery, str]:
    """The query of a request, and the text that lines must contain. It is no regular expression: somebody could
    choose one that practically never ends, and all threads would wait for it."""
    values = request.query_params
    text = values.get("grep", "")[:500]
    pattern = re.compile(re.escape(text)) if text else None
    service = f"{request.path_params['stack']}/{request.path_params['service']}"
    tail = _number(request, "tail", TAIL, LONGEST_TAIL)
    return LogQuery(service, tail, pattern, values.get("previous") == "1"), text


def _number(request: Request, name: str, usual: int, most: int) -> int:
    text = request.query_params.get(name, "")
    return min(max(1, int(text)), most) if re.fullmatch(r"[0-9]{1,9}", text) else usual


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return Response(text + "\n", status, media_type="application/json")


def _error(message: str, hint: str, status: int) -> Response:
    from reconciler.record import summary

    return _json(summary.error("InternalError" if status >= 500 else "UsageInvalid", message, hint), status)


async def _told(request: Request, error: Exception) -> Response:
    message, hint = getattr(error, "message", ""), getattr(error, "hint", "")
    return _error(message, hint, 503)
