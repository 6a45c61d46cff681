"""Notices events of managed containers, to wake the agent early."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from typing import Any

from reconciler.engine import UNIX, plain_events
from reconciler.log import logger
from reconciler.model.observed import LABEL_HOST, project_of

EVENTS = ["create", "destroy", "die", "start", "stop", "pause", "unpause", "rename", "update", "health_status"]
EVENTS += ["connect", "disconnect"]
PAUSE = 5.0
"""Seconds between attempts to reach the engine."""


class ChangeWatch:
    """Reads the engine's events in a thread while it is entered; `woken` is called at each that may concern `host`.

    `stacks`, `containers`: names and ids of managed ones, asked for at each event; None: not known at the moment.
    Events of other projects wake nobody.

    It works without the engine's library, and so only on a unix socket. For other engines `changed` is always true, so
    that every turn compares.
    """

    def __init__(
        self,
        address: str,
        host: str,
        woken: Callable[[], None],
        stacks: Callable[[], Collection[str]],
        containers: Callable[[], Collection[str] | None],
    ) -> None:
        self._address, self._host, self._woken = address, host, woken
        self._stacks, self._containers = stacks, containers
        self._news = threading.Event()
        self._ended = threading.Event()
        self._connection: socket.socket | None = None
        self._thread = threading.Thread(target=self._read, name="engine-changes", daemon=True)

    def __enter__(self) -> ChangeWatch:
        if self._address.startswith(UNIX):
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        connection = self._connection
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def changed(self) -> bool:
        """Whether anything may have happened since the last call."""
        if not self._address.startswith(UNIX):
            return True
        news = self._news.is_set()
        self._news.clear()
        return news

    def _read(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except (OSError, ValueError) as error:
                logger.debug("no events from the engine: {}", error)
            # After a broken connection, one comparison finds what happened meanwhile.
            self._news.set()
            self._ended.wait(PAUSE)

    def _follow(self) -> None:
        # Events of networks carry no labels of containers, and containers that others make for us do not have our
        # labels.
        with plain_events(self._address, {"type": ["container", "network"], "event": EVENTS}) as connection:
            connection.settimeout(None)
            self._connection = connection
            for line in connection.makefile("rb"):
                if line.startswith(b"{") and self._is_ours(json.loads(line)):
                    self._news.set()
                    self._woken()

    def _is_ours(self, event: Mapping[str, Any]) -> bool:
        attributes = event.get("Actor", {}).get("Attributes", {})
        if event.get("Type") == "network":
            known = self._containers()
            return known is None or attributes.get("container") in known
        return attributes.get(LABEL_HOST) == self._host or project_of(attributes) in self._stacks()
