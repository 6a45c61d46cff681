"""The composition root of `tunnel` and `nettest`."""

from __future__ import annotations

import argparse
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Event

from reconciler.errors import ReconcilerError
from reconciler.observe.line import Line, answer
from reconciler.record.text.layout import Style, table
from reconciler.ssh import Ssh
from reconciler.verbs import Answer
from reconciler.verbs.nettest import net_test
from reconciler.verbs.tunnel import Forward, forwards, keep_open, with_monitor
from reconciler.wiring.deploying import asking, the_host

OPEN = 10.0
"""Seconds that a tunnel may take to open."""


def tunnel(typed: argparse.Namespace, environ: Mapping[str, str], stop: Event, tell: Callable[[str], None]) -> Answer:
    """Keep the tunnel open until the process is asked to end."""
    ssh = _connected(typed.on, environ)
    _, status = asking(ssh)("status")
    found = with_monitor(status, typed.SERVICE)
    for line in shown(found):
        tell(line)
    keep_open(lambda: Forwarding(ssh, found), tell, stop, time.monotonic)
    return 0, {}


def measure(typed: argparse.Namespace, environ: Mapping[str, str], stop: Event, tell: Callable[[str], None]) -> Answer:
    ssh = _connected(typed.on, environ)

    def services() -> Sequence[tuple[Forward, float | None]]:
        try:
            found = forwards(asking(ssh)("status")[1], ())
        except ReconcilerError as error:
            tell(error.message)
            return []
        with _opened(ssh, found):
            return [(item, answer(item.local)) for item in found]

    def reconnect() -> bool:
        try:
            ssh.connect(ask=False)
        except ReconcilerError:
            return False
        return True

    return net_test(ssh.host.name, Line(ssh), services, reconnect, typed.time, tell, stop)


def shown(found: Sequence[Forward]) -> list[str]:
    """A table of the forwarded addresses on the laptop."""
    rows = [["SERVICE", "HERE", "PORT THERE"]]
    rows += [
        [f"{item.stack}/{item.service}".lstrip("/"), f"http://127.0.0.1:{item.local}", str(item.port)] for item in found
    ]
    return [*table(rows, Style()), "Ctrl-C ends the tunnel"]


class Forwarding:
    """One ssh with all forwards, on a connection of its own. When that ssh ends, the connection is lost."""

    def __init__(self, ssh: Ssh, found: Sequence[Forward]) -> None:
        options = [word for item in found for word in ("-L", item.option)]
        given = ("-N", "-T", "-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes", *options)
        # A process group of its own: Ctrl-C must reach only us, and we end ssh.
        self._child = subprocess.Popen(
            ssh.command(*given, shared=False), env=ssh.environ, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, process_group=0,
        )  # fmt: skip

    def poll(self) -> int | None:
        return self._child.poll()

    def close(self) -> str:
        if self._child.poll() is None:
            self._child.terminate()
        _, said = self._child.communicate()
        return " ".join(said.decode(errors="replace").split())[-300:]


@contextmanager
def _opened(ssh: Ssh, found: Sequence[Forward]) -> Iterator[None]:
    """A tunnel for this context. Waits at most OPEN seconds until its first port accepts connections."""
    opened, until = Forwarding(ssh, found), time.monotonic() + OPEN
    try:
        while opened.poll() is None and time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", found[0].local), 1.0).close()
                break
            except OSError:
                time.sleep(0.1)
        yield
    finally:
        opened.close()


def _connected(name: str | None, environ: Mapping[str, str]) -> Ssh:
    ssh = Ssh(the_host(name, environ), environ)
    ssh.connect()
    return ssh
