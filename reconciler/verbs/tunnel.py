"""`tunnel`: forwards every published port of a machine's services to the laptop, until it is asked to end."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event
from typing import Any, Protocol

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

Json = Mapping[str, Any]

MONITOR, MONITOR_PORT = "monitor", 9464
"""The name of the monitor in the arguments, and its default port. If no monitor runs, nothing answers there."""

FIRST_PAUSE = 1.0
"""Seconds until the first new try after the connection was lost; doubled each time, at most LONGEST_PAUSE."""
LONGEST_PAUSE = 30.0
STEADY = 60.0
"""Seconds after which a connection counts as good, so that the next pause is FIRST_PAUSE again."""
SHORTEST = 2.0
"""If the first connection ends sooner (in seconds) with a message of ssh, it was never open: a port is taken, or a key
refused."""
LOOK = 0.2
"""Seconds between two checks whether the connection still exists."""


@dataclass(frozen=True, slots=True)
class Forward:
    """A port of the machine on a port of the laptop's loopback address."""

    stack: str
    service: str
    local: int
    address: str
    port: int

    @property
    def option(self) -> str:
        """The argument of ssh's -L."""
        return f"127.0.0.1:{self.local}:[{self.address}]:{self.port}"


class Connection(Protocol):
    """A running ssh that forwards. `poll`: its exit code, None while it runs."""

    def poll(self) -> int | None: ...

    def close(self) -> str:
        """End it. Returns ssh's last message."""


def with_monitor(status: Json, wanted: Sequence[str]) -> list[Forward]:
    """The result of `forwards`, with the monitor's page if nothing or MONITOR is named."""
    named = [name for name in wanted if name != MONITOR]
    ports = (one for stack in status["stacks"] for item in stack["services"] for one in item["ports"] or ())
    published = any(one["protocol"] == "tcp" for one in ports)
    found = forwards(status, named) if named or (published and not wanted) else []
    if named == [*wanted] and wanted:
        return found
    taken = {item.local for item in found}
    return [*found, Forward("", MONITOR, _free(MONITOR_PORT, taken), "127.0.0.1", MONITOR_PORT)]


def forwards(status: Json, wanted: Sequence[str]) -> list[Forward]:
    """Every published TCP port in a Status document. `wanted`: only those of the named services (STACK, SERVICE or
    STACK/SERVICE); empty: all. Usage if a named one does not exist, or nothing is published."""
    services = [item for stack in status["stacks"] for item in stack["services"]]
    for name in wanted:
        if not any(_is(item, name) for item in services):
            known = ", ".join(f"{item['stack']}/{item['service']}" for item in services)
            raise Usage(Reason.USAGE_INVALID, f"{status['host']} has no service {name}", f"it has {known}")
    chosen = [item for item in services if not wanted or any(_is(item, name) for name in wanted)]
    taken: set[int] = set()
    found: list[Forward] = []
    for item in chosen:
        for port in sorted((one["port"], one["address"]) for one in item["ports"] or () if one["protocol"] == "tcp"):
            if any((port[0], item["service"]) == (known.port, known.service) for known in found):
                continue  # published for IPv4 and IPv6
            local = _free(port[0], taken)
            taken.add(local)
            found.append(Forward(item["stack"], item["service"], local, _reachable(port[1]), port[0]))
    if not found:
        hint = "publish one in the Compose file: ports: ['127.0.0.1:8080:80']"
        raise Usage(Reason.USAGE_INVALID, f"no running service of {status['host']} publishes a TCP port", hint)
    return sorted(found, key=lambda item: (item.stack, item.service, item.port))


def keep_open(
    forward: Callable[[], Connection], tell: Callable[[str], None], stop: Event, now: Callable[[], float]
) -> None:
    """Connect, and reconnect whenever the connection is lost, until `stop` is set. Transient if the first try fails."""
    pause, tried = FIRST_PAUSE, 0
    while not stop.is_set():
        begun, connection = now(), forward()
        try:
            while connection.poll() is None and not stop.wait(LOOK):
                pass
        finally:
            said = connection.close()
        if stop.is_set():
            return
        lasted = now() - begun
        if tried == 0 and said and lasted < SHORTEST:
            raise Transient(Reason.HOST_UNREACHABLE, f"the tunnel could not be opened: {said}", "see what ssh says")
        pause = FIRST_PAUSE if lasted >= STEADY else min(pause * 2, LONGEST_PAUSE) if tried else FIRST_PAUSE
        tried += 1
        tell(f"the connection was lost ({said or 'ssh ended'}); again in {pause:g} s")
        stop.wait(pause)


def _is(item: Json, name: str) -> bool:
    return name in (item["stack"], item["service"], f"{item['stack']}/{item['service']}")


def _reachable(address: str) -> str:
    """The address at which the machine itself reaches a published port."""
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104


def _free(port: int, taken: set[int]) -> int:
    """The same port if it is free here, else any free one. If another program takes it meanwhile, ssh reports that."""
    for wanted in (port, 0):
        if wanted not in taken:
            with suppress(OSError), socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", wanted))
                return int(probe.getsockname()[1])
    raise Transient(Reason.HOST_UNREACHABLE, "this machine has no free port", "end some programs")
