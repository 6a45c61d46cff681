"""From a change on the engine until `dashboard` shows it on the terminal: on the machine, from a laptop by ssh over a
line with 250 ms latency, and in tmux."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from statistics import median

from benchmarks.measure import Bar
from benchmarks.sides import Ours, both, services
from tests.e2e.terminal import Terminal, on_terminal
from tests.sshd import SSHD, laptop

LATENCY = 0.25
"""Seconds from a byte sent until the answer to it."""

MOST = 2.0
"""Bar: seconds."""

NUMBER = 10


def run(pairs: int) -> Iterator[Bar]:
    ways: dict[str, Callable[[Ours], AbstractContextManager[Terminal]]] = {"on the machine": _here}
    if os.geteuid() == 0 and Path(SSHD).exists():
        ways["ssh with 250 ms"] = _by_ssh
    if shutil.which("tmux"):
        ways["in tmux"] = _in_tmux
    with both() as (ours, _):
        ours.applied(services(NUMBER, probe=None))
        for name, way in ways.items():
            with way(ours) as terminal:
                terminal.wait_for(f"{ours.stack}/s0")
                terminal.wait_for("MiB")  # the first figures of containers
                time.sleep(3.0)
                states = [_state(ours, terminal) for _ in range(pairs)]
                lines = [_line(ours, terminal, n) for n in range(pairs)]
            for what, found in (("stop", states), ("log line", lines)):
                yield Bar(f"{what} to screen, {name}", "s", median(found))
                yield Bar(f"{what} to screen, {name}, slowest", "s", max(found), None, MOST)


def _state(ours: Ours, terminal: Terminal) -> float:
    """Kill a container, and measure until its new state is shown. Then start it again."""
    name = f"{ours.stack}-s0-1"
    terminal.seen = b""
    begun = time.monotonic()
    ours.engine.stop(name, timeout=0)
    terminal.wait_for("Degraded|Missing", every=0.01)
    took = time.monotonic() - begun
    terminal.seen = b""
    ours.engine.start(name)
    terminal.wait_for("Healthy|Progressing", every=0.01)
    time.sleep(2.0)
    return took


def _line(ours: Ours, terminal: Terminal, number: int) -> float:
    """Let a service print a line, and measure until it is shown."""
    word = f"word{number}{time.monotonic_ns() % 10**6}"
    terminal.seen = b""
    begun = time.monotonic()
    ours.exec("s1-1", f"echo {word} >/proc/1/fd/1")
    terminal.wait_for(word, every=0.01)
    return time.monotonic() - begun


def _command(ours: Ours) -> list[str]:
    return [word for word in ours.command("dashboard") if word not in ("--output", "json")]


@contextmanager
def _here(ours: Ours) -> Iterator[Terminal]:
    with on_terminal(_command(ours), ours.environment(TERM="xterm-256color"), ours.folder) as terminal:
        yield terminal


@contextmanager
def _in_tmux(ours: Ours) -> Iterator[Terminal]:
    command = ["tmux", "-L", ours.name, "-f", "/dev/null", "new-session", *_command(ours)]
    with on_terminal(command, ours.environment(TERM="xterm-256color", LC_ALL="C.UTF-8"), ours.folder) as terminal:
        yield terminal
        terminal.press(b"q")
        terminal.end()


@contextmanager
def _by_ssh(ours: Ours) -> Iterator[Terminal]:
    with laptop(ours.config) as mac, _delayed(mac.port, LATENCY / 2) as port:
        (program,) = mac.folder.glob("remote-reconciler")
        mac.hosts([{"name": ours.name, "ssh": f"ssh://root@127.0.0.1:{port}", "program": str(program)}])
        command = mac.command("--on", ours.name, "dashboard")
        environment = {**mac.environment, "TERM": "xterm-256color"}
        with on_terminal(command, environment, mac.folder) as terminal:
            yield terminal


@contextmanager
def _delayed(port: int, seconds: float) -> Iterator[int]:
    """A port of this machine that leads to `port`, and delivers each piece `seconds` later, in both directions."""
    with socket.create_server(("127.0.0.1", 0)) as door, ExitStack() as opened:

        def accept() -> None:
            while True:
                try:
                    near, _ = door.accept()
                except OSError:
                    return
                far = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
                opened.enter_context(near)
                for one, other in ((near, far), (far, near)):
                    queue: SimpleQueue[tuple[float, bytes]] = SimpleQueue()
                    threading.Thread(target=_take, args=(one, queue, seconds), daemon=True).start()
                    threading.Thread(target=_deliver, args=(other, queue), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield int(door.getsockname()[1])


def _take(source: socket.socket, queue: SimpleQueue[tuple[float, bytes]], seconds: float) -> None:
    piece = b"-"
    while piece:
        try:
            piece = source.recv(1 << 16)
        except OSError:
            piece = b""
        queue.put((time.monotonic() + seconds, piece))


def _deliver(target: socket.socket, queue: SimpleQueue[tuple[float, bytes]]) -> None:
    while True:
        due, piece = queue.get()
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            if not piece:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(piece)
        except OSError:
            return
