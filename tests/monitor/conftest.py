"""A snapshot of a host, and the monitor's application without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from reconciler.decide.status.status import judge
from reconciler.errors import ReconcilerError
from reconciler.model.history import Attempt, Good, History, ServiceRecord
from reconciler.model.measures import Disk, Machine, Measures, Usage
from reconciler.model.observed import Container
from reconciler.model.outcome import Failure, Intent, Outcome, Reason
from reconciler.model.status import Agent, SourceFacts, StatusFacts
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Board, Json, Snapshot
from reconciler.monitor.web import LogQuery, Reads, Web
from reconciler.monitor.webhooks import Webhooks
from reconciler.record import summary

NOW = 1_700_000_000.0
HEAD = "b" * 40
GIB = 1 << 30


def container(service: str = "web", **more: Any) -> Container:
    made = Container(
        service * 8, f"shop-{service}-1", "shop", service, 1, "running", host="mini", memory=64 << 20,
        started_at="2023-11-14T20:00:00Z",
    )  # fmt: skip
    return replace(made, **more)


def attempt(n: int = 1, **more: Any) -> Attempt:
    made = Attempt(
        str(n), f"{n:040x}", Intent.ADVANCE, NOW - 100 * n, "c", Outcome.SUCCEEDED, None, "applied", NOW - 100 * n + 7,
        services=(ServiceRecord("shop", "web", "Switched", 1.5),),
    )  # fmt: skip
    return replace(made, **more)


def snapshot(attempts: Sequence[Attempt] | None = None, containers: Sequence[Container] | None = None) -> Snapshot:
    """A snapshot of a healthy host with one service."""
    done = list(attempts) if attempts is not None else [attempt()]
    there = list(containers) if containers is not None else [container()]
    past = History(attempts=tuple(reversed(done)), last_good=Good(HEAD, "c", NOW - 93), seen=(HEAD,), seen_at=NOW - 100)
    facts = StatusFacts("mini", Agent(True, 7, "1", NOW - 500), SourceFacts("/srv/x.git", "main", HEAD, NOW - 5), past)
    status = summary.status(facts, judge(facts))
    rows = [_service(item) for item in there]
    status["stacks"] = [{"name": "shop", "sync": "Synced", "health": "Healthy", "services": rows}]
    status["budget"] |= {"budgetBytes": GIB, "committedBytes": 64 << 20, "steadyLimitBytes": GIB // 2}
    machine = Machine(0.25, 8 * GIB, 5 * GIB, GIB, 0, (Disk("/", 100 * GIB, 40 * GIB, ("state",)),))
    usage = {item.id: Usage(31 << 20, 12.5) for item in there}
    measures = Measures(NOW, machine, tuple(there), usage, {there[0].id: 2} if there else {})
    return Snapshot(NOW, "mini", 30.0, status, summary.history(done), past, None, NOW - 5, measures, 1)


def _service(item: Container) -> Json:
    return {
        "stack": item.stack, "service": item.service, "sync": "Synced", "health": "Healthy", "reason": None,
        "desired": 1, "running": 1, "order": None, "memory": {"limitBytes": 64 << 20, "usageBytes": 31 << 20},
        "image": "x", "containers": [item.id], "since": "2023-11-14T22:00:00Z",
    }  # fmt: skip


def failed(n: int, log: Sequence[str], message: str = "web exited") -> Attempt:
    failure = Failure(Reason.CRASHED, message, "shop", "web", 7, None, tuple(log))
    return attempt(n, outcome=Outcome.ROLLED_BACK, reason=Reason.CRASHED, message=message, failure=failure)


class Client:
    """Asks the application, without a socket."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.request("POST", path, **more)

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return asyncio.run(self.asked(method, path, **more))

    async def asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self._application)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:9464") as client:
            return await client.request(method, path, **more)


class Site:
    """`lines`: rows of logs. `token`: the token that requests must have. `woken`: how often the agent was woken."""

    def __init__(self) -> None:
        self.board, self.samples = Board(snapshot()), Samples()
        self.lines: list[Json] = []
        self.asked: list[LogQuery] = []
        self.token: str | None = None
        self.unknown: ReconcilerError | None = None
        self.woken, self.now, self.ended = 0, 0.0, False
        secrets: dict[str, Callable[[], str]] = {name: lambda: "hook-secret" for name in ("github", "gitlab", "gitea")}
        hooks = Webhooks(secrets, self._wake, lambda: self.now)
        reads = Reads(self._history, self._logs, self._follow)
        web = Web(self.board, self.samples, reads, hooks, lambda: self.ended, lambda: NOW)
        self.application = web.application(lambda: self.token)
        self.client = Client(self.application)

    def show(self, shown: Snapshot) -> None:
        self.board.post(shown)

    def _wake(self) -> None:
        self.woken += 1

    def _history(self, revision: str | None, limit: int) -> Json:
        document = summary.history([])
        return {**document, "asked": [revision, limit]}

    def _logs(self, query: LogQuery) -> Sequence[Json]:
        self.asked.append(query)
        if self.unknown is not None:
            raise self.unknown
        return self.lines

    def _follow(self, query: LogQuery) -> Iterator[Sequence[Json]]:
        self.asked.append(query)
        if self.unknown is not None:
            raise self.unknown
        yield self.lines
        self.ended = True
        while True:
            yield []


@pytest.fixture
def site() -> Site:
    return Site()
