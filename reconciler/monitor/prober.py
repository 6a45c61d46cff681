"""The thread that asks the endpoints of services: every 30 seconds, and when the set of endpoints changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from reconciler.formats.endpoints import door, parse
from reconciler.formats.grants import covers
from reconciler.log import logger
from reconciler.model.desired import DesiredState, Service
from reconciler.model.documents import Permissions
from reconciler.model.endpoints import Answer, Check, Watched
from reconciler.model.ports import Port
from reconciler.monitor.snapshot import Snapshot
from reconciler.values import dataclass

EVERY = 30.0
"""Seconds between two rounds."""

LOOK = 5.0
"""Seconds between two checks whether a round is due."""

MOST = 256
"""Largest number of endpoints that are asked; later ones are not."""

RULE = "endpoint"

Ask = Callable[[Iterable[tuple[Watched, str | None]]], Mapping[Watched, Answer]]


def watched(desired: DesiredState | None, permissions: Permissions) -> tuple[Watched, ...]:
    """The endpoints of all services that must keep running: the named endpoint of each, else its published TCP
    ports."""
    found = [
        item
        for stack in (desired.stacks if desired else ())
        if not stack.suspended
        for service in stack.services
        if service.replicas and not service.completes
        for item in _of_service(service, permissions)
    ]
    return tuple(found[:MOST])


def _of_service(service: Service, permissions: Permissions) -> Iterable[Watched]:
    if service.endpoint:
        yield Watched(*service.key, service.endpoint, _granted(service, permissions))
        return
    for port in sorted(set(service.ports)):
        if port[2] == "tcp":
            address = door(port)
            host = f"[{address}]" if ":" in address else address
            yield Watched(*service.key, f"tcp://{host}:{port[1]}")


def _granted(service: Service, permissions: Permissions) -> bool:
    """Whether the agent config grants the endpoint's address now; a grant may have been removed since the commit was
    admitted."""
    origin = parse(service.endpoint).origin
    return permissions.owner or any(
        grant.policy == RULE and grant.stack in ("*", service.stack) and grant.service in ("*", service.name)
        and any(covers(RULE, value, origin) for value in grant.values)
        for grant in permissions.grants
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Round:
    """One round. `asked`: endpoints, each with the IP address to connect to; None: its own host. `closed`: endpoints
    that are down without asking, because no container publishes their port."""

    asked: tuple[tuple[Watched, str | None], ...]
    closed: tuple[Watched, ...]


def plan(items: Sequence[Watched], published: Sequence[Port]) -> Round:
    """Divide the endpoints. `published`: ports that running managed containers publish."""
    asked, closed = [], []
    for item in items:
        address = None if item.granted else parse(item.url).door(published)
        if item.granted or address is not None:
            asked.append((item, address))
        else:
            closed.append(item)
    return Round(tuple(asked), tuple(closed))


class Prober:
    """`newest`: returns the newest snapshot. `checks`: the last answers; replaced as a whole, so other threads may read
    it."""

    def __init__(self, newest: Callable[[], Snapshot], ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._newest, self._ask, self._clock = newest, ask, clock
        self._last = Round((), ())
        self._asked_at = float("-inf")
        self.checks: tuple[Check, ...] = ()

    def run(self, stop: threading.Event) -> None:
        """Ask until `stop` is set. An unexpected exception ends only one round."""
        while not stop.is_set():
            try:
                self.look()
            except Exception as error:
                with suppress(Exception):  # loguru cannot be imported while no file can be opened
                    logger.opt(exception=error).error("monitor: endpoints: {}", error)
            stop.wait(LOOK)

    def look(self) -> None:
        """Ask each endpoint once, if a round is due. Nothing is asked while the status or the engine cannot be read."""
        snapshot = self._newest()
        measures = snapshot.measures
        if snapshot.status is None or measures is None or not measures.answered:
            return
        ports = [port for item in measures.containers if item.running for port in item.ports]
        todo = plan(snapshot.watched, ports)
        if todo == self._last and self._clock() - self._asked_at < EVERY:
            return
        self._last, self._asked_at = todo, self._clock()
        closed = Answer("no managed container publishes this port")
        answers = {**dict.fromkeys(todo.closed, closed), **self._ask(todo.asked)}
        before = {item.watched: item for item in self.checks}
        self.checks = tuple(_check(item, answers[item], before.get(item), snapshot.at) for item in snapshot.watched)


def _check(item: Watched, answer: Answer, before: Check | None, at: float) -> Check:
    """The new check of an endpoint. While it does not answer, the known end of its certificate is kept."""
    if before is None:
        return Check(item, answer, at, at)
    if answer.fault and answer.expires is None:
        answer = replace(answer, expires=before.answer.expires)
    same = bool(before.answer.fault) == bool(answer.fault)
    return Check(item, answer, at, before.since if same else at)
