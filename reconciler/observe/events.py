"""The engine's events about our containers. They shorten waits, and only they prove OOM kills and signals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import docker
from docker.errors import DockerException
from docker.types import CancellableStream

from reconciler.engine import engine_calls
from reconciler.errors import Transient
from reconciler.log import logger
from reconciler.model.observed import KILL, LABEL_HOST, OOM
from reconciler.model.times import backoff, instant

WANTED = [OOM, "die", "start", "health_status", "stop", KILL, "destroy"]
REMEMBERED = (OOM, KILL)
MOST = 4096
"""Containers whose events are remembered; beyond that, the first ones are forgotten."""

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between attempts to reach the stream again; doubled each time."""


class EventWatch:
    """Reads events in a thread of its own from `__enter__` on; `__exit__` ends it and its connection.

    `host`: name of the host whose containers are ours, as in their label `dev.reconciler.host`. `heard`: called by that
    thread with a container's id and the event. Few events are missed while the stream is opened again: the engine is
    asked for events since then, and keeps its last 256 events of any kind (moby, daemon/events, eventsLimit).
    """

    def __init__(
        self, client: docker.APIClient, host: str, heard: Callable[[str, str], None] = lambda id, action: None
    ) -> None:
        self._client, self._heard = client, heard
        self._filters = {"type": "container", "label": f"{LABEL_HOST}={host}", "event": WANTED}
        self._changed = threading.Condition()
        self._news = False
        self._broken = False
        self._ended = threading.Event()
        self._events: dict[str, frozenset[str]] = {}
        self._touched: set[str] = set()
        self._stream: CancellableStream[dict[str, Any]] | None = None
        self._since = ""
        self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)

    def __enter__(self) -> EventWatch:
        with engine_calls("tell its time"):
            self._since = _engine_time(self._client.info()["SystemTime"])
        self._subscribe()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._hang_up()
        self._thread.join(timeout=5)

    def wait(self, timeout: float) -> bool:
        """Return at the next event (at once if one came since the last call) or after `timeout` seconds.

        False, once: the stream broke since the last call. Then events may be missing, and a list must be read.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._news, timeout=max(0.0, timeout))
            whole = not self._broken
            self._news = self._broken = False
            return whole

    def events(self) -> Mapping[str, frozenset[str]]:
        """Container id → its events that are in REMEMBERED, since the watch began."""
        with self._changed:
            return dict(self._events)

    def touched(self) -> frozenset[str]:
        """Ids of containers with an event since the last call."""
        with self._changed:
            touched, self._touched = self._touched, set()
            return frozenset(touched)

    def _subscribe(self) -> None:
        with engine_calls("send events"):
            # The engine accepts fractions of a second; the library's types have only whole ones.
            since = cast(int, self._since)
            stream = self._client.events(since=since, filters=self._filters, decode=True)
        with self._changed:
            self._stream = stream
            if self._ended.is_set():
                self._hang_up()

    def _read(self) -> None:
        while not self._ended.is_set():
            self._follow()
            if not self._ended.is_set():
                self._tell(self._lost)
                self._reconnect()

    def _follow(self) -> None:
        assert self._stream is not None
        try:
            for event in self._stream:
                self._tell(partial(self._take, event))
        except (DockerException, OSError, ValueError, AttributeError) as error:
            # When its socket is closed, the library's stream raises a different error in each of its layers.
            logger.debug("the engine's event stream ended: {}", error)
        finally:
            self._hang_up()

    def _reconnect(self) -> None:
        failures = 1
        while not self._ended.wait(backoff(failures, FIRST_PAUSE, LONGEST_PAUSE)):
            try:
                self._subscribe()
            except Transient as error:
                logger.debug("no events from the engine yet: {}", error.message)
                failures += 1
            else:
                return

    def _tell(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._news = True
            self._changed.notify_all()

    def _lost(self) -> None:
        self._broken = True

    def _take(self, event: Mapping[str, Any]) -> None:
        self._since = _after(event)
        id, action = event["Actor"]["ID"], event.get("Action")
        self._touched.add(id)
        self._heard(id, str(action))
        if action in REMEMBERED:
            self._events[id] = self._events.pop(id, frozenset()) | {action}
            if len(self._events) > MOST:
                del self._events[next(iter(self._events))]

    def _hang_up(self) -> None:
        with self._changed:
            stream, self._stream = self._stream, None
        if stream is None:
            return
        try:
            stream.close()
        except (DockerException, OSError, AttributeError) as error:
            logger.debug("the engine's event stream was closed already: {}", error)


def _engine_time(text: str) -> str:
    """RFC 3339 as the engine prints it → its `seconds.nanoseconds`."""
    whole = int(instant(text))
    fraction = text.partition(".")[2].rstrip("Z").partition("+")[0]
    return f"{whole}.{(fraction.partition('-')[0] or '0'):0<9}"


def _after(event: Mapping[str, Any]) -> str:
    nanoseconds = int(event["timeNano"]) + 1
    return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09}"
