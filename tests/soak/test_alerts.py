"""Each alert is provoked for real. It begins and ends exactly once, both in the monitor's published document and at a
receiver of notifications. A receiver in its quiet hours gets nothing. The test takes a quarter of an hour, because the
alert after a restart lasts ten minutes."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reconciler.model.alerts import RULES
from reconciler.monitor.alerts import GRACE, RECENT
from reconciler.monitor.samples import EVERY
from tests.conftest import find_compose
from tests.disks import fill, small_disk
from tests.e2e.host import Host, eventually, new_host
from tests.e2e.services import health, service
from tests.observe.test_probe import certificate
from tests.report.targets import Receiver, http

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(3600)]

MIB = 1 << 20
DISK = 64
"""Size in MiB of the disk with the state folder."""

SERVE = (
    "my $s = IO::Socket::INET->new(Listen => 5, LocalPort => 8080, ReuseAddr => 1, Timeout => 0.2); "
    'until (-e "/tmp/down") { my $c = $s->accept or next; sysread $c, my $asked, 4096; '
    'print $c "HTTP/1.0 200 OK\\r\\n\\r\\n"; close $c }'
)
WEB = f"while :; do if [ -e /tmp/down ]; then sleep 0.2; else perl -MIO::Socket::INET -e '{SERVE}' & wait $!; fi; done"
CRASHING = "rm -f /tmp/die; until [ -e /tmp/die ]; do sleep 0.2 & wait $!; done; exit 3"

SOON = {name: {"for": "10s"} for name, rule in RULES.items() if rule.lasting}
BOUNDS = {
    **SOON, "memory-near-limit": {"threshold": "80%", "for": "10s"}, "agent-silent": {"for": "30s"},
    "budget-full": {"threshold": "0.35%", "for": "10s"}, "swap-in-use": {"threshold": "1%", "for": "10s"},
}  # fmt: skip
OTHERWISE = {"service-unhealthy": "degraded", "branch-unreachable": "waiting: FetchFailed"}
"""Alerts that are notified as another event: alert → event."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Seen:
    """Counts the alerts that begin and end in the monitor's published document. It reads it ten times a second."""

    def __init__(self, file: Path) -> None:
        self._file, self._stop = file, threading.Event()
        self.active: set[str] = set()
        self.begun: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Seen:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            with contextlib.suppress(OSError, ValueError):
                document = json.loads(self._file.read_text("utf-8"))
                now = {_subject(item) for item in document["alerts"]}
                self.begun.update(now - self.active)
                self.ended.update(self.active - now)
                self.active = now


def _subject(item: dict[str, Any]) -> str:
    service = "/".join(part for part in (item["stack"], item["service"]) if part)
    return " ".join(part for part in (item["name"], service, item["about"]) if part)


def told(receiver: Receiver) -> Counter[str]:
    """Titles of all notices, also of those that came in one message, with their counts."""
    found: Counter[str] = Counter()
    for message in receiver.got:
        title = message["title"].partition(": ")[2]
        together = title.endswith(" notices")
        found.update(line.partition("  ")[2] for line in message["message"].splitlines()) if together else found.update(
            [title]
        )
    return found


class Secure:
    """An https server on this machine whose certificate can be renewed."""

    def __init__(self, chain: Path) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *told: object) -> None: ...

        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(chain)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.socket = self._context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def renew(self, chain: Path) -> None:
        self._context.load_cert_chain(chain)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def swapping(folder: Path) -> Iterator[bool]:
    """A small swap file on this machine, partly in use. False if the machine does not allow it."""
    file = folder / "swap"
    file.write_bytes(bytes(64 * MIB))
    file.chmod(0o600)
    made = subprocess.run(["mkswap", file], capture_output=True).returncode == 0
    if not (made and subprocess.run(["swapon", file], capture_output=True).returncode == 0):
        yield False
        return
    push = "import mmap, sys; m = mmap.mmap(-1, 32 << 20); m.write(bytes([7]) * (32 << 20)); m.madvise(21); input()"
    with subprocess.Popen(["python3", "-c", push], stdin=subprocess.PIPE) as holder:
        try:
            yield True
        finally:
            holder.kill()
            subprocess.run(["swapoff", file], check=True)


def seed(state: Path) -> None:
    """Write the monitor's samples of the hour before. Each has the same free space, less than there is now."""
    now = time.time()
    times = [now - 4200 + n * EVERY for n in range(int(4200 / EVERY))]
    series = {f"free {state}": [40.0 * MIB] * len(times)}
    (state / "samples.json").write_text(json.dumps({"times": times, "series": series}))


def quiet_now() -> str:
    """Quiet hours from an hour ago until in two hours."""
    clock = [time.strftime("%H:%M", time.localtime(time.time() + shift * 3600)) for shift in (-1, 2)]
    return "-".join(clock)


def services(web: int, tls: int) -> dict[str, Any]:
    def asked(program: str | None, url: str, **more: Any) -> dict[str, Any]:
        return {**service(program, **more), "x-reconciler": {"endpoint": url}}

    return {
        "web": asked(WEB, f"http://localhost:{web}/", ports=[f"127.0.0.1:{web}:8080"]),
        "far": asked(None, f"https://localhost:{tls}/"),
        "fat": service(mem_limit="64m"),
        "hungry": service(),
        "crash": service(CRASHING),
        "sick": service(healthcheck=health("bash -c 'exec 3<>/dev/tcp/web/8080'", start_period="1s")),
    }


@pytest.mark.usefixtures("images")
def test_each_alert_begins_and_ends_exactly_once(tmp_path: Path) -> None:
    chain = certificate(tmp_path, 10)
    authority = tmp_path / "trusted.pem"
    later = certificate(tmp_path, 90)
    authority.write_text(chain.read_text() + later.read_text())
    secure = Secure(chain)
    with (
        small_disk(tmp_path / "state", DISK), new_host(tmp_path, find_compose()[-1]) as host, http() as loud,
        http() as quiet, contextlib.ExitStack() as more,
    ):  # fmt: skip
        more.callback(secure.close)
        web = free_port()
        grant = {"policy": "endpoint", "values": [f"https://localhost:{secure.port}"], "stack": host.stack,
                 "service": "far", "reason": "tested"}  # fmt: skip
        often = {"hold_off": "5s", "reminder": "0s"}
        host.configure(
            source={"interval": "5s"},
            grants=[grant], monitor={"listen": f"127.0.0.1:{free_port()}"},
            notify=[{"url": loud.url("loud"), **often}, {"url": quiet.url("quiet"), "quiet": quiet_now(), **often}],
            heartbeat={"url": loud.url("beat", "http"), "every": "1s"},
        )  # fmt: skip
        files = host.files(services(web, secure.port))
        files[f"desired-state/{host.name}.yaml"] = host.host_document(alerts=BOUNDS)
        host.push_files(files)
        assert host.once()["outcome"] == "Succeeded"
        seed(host.state)
        agent = more.enter_context(host.started("run"))
        more.enter_context(host.started("monitor", SSL_CERT_FILE=str(authority)))
        eventually(lambda: (host.state / "alerts.json").exists(), 30)
        seen = more.enter_context(Seen(host.state / "alerts.json"))
        eventually(lambda: "certificate-expiring" in names(seen.active), 60)
        assert names(seen.active) == {"certificate-expiring"}
        eventually(lambda: loud.fetched, 30)
        _all_at_once(host, seen, agent, secure, later, tmp_path)
        expected = set(seen.begun)
        eventually(lambda: not seen.active, RECENT + 4 * GRACE, 1)
        time.sleep(2 * GRACE)  # enough time for an alert that wrongly begins a second time
        print("begun", seen.begun, "ended", seen.ended, "told", told(loud), sep="\n")
        assert set(seen.begun) == expected
        assert set(seen.begun.values()) == set(seen.ended.values()) == {1}
        assert seen.begun == seen.ended
        _each_was_told_once(seen, loud)
        assert quiet.got == []
        before = len(loud.fetched)
        eventually(lambda: len(loud.fetched) > before, 30)


def names(subjects: Iterable[str]) -> set[str]:
    return {item.partition(" ")[0] for item in subjects}


def _all_at_once(
    host: Host, seen: Seen, agent: subprocess.Popen[str], secure: Secure, later: Path, folder: Path
) -> None:
    """Cause all faults, wait for their alerts, and correct the faults. `sick` is unhealthy while `web` is down."""
    state, repository = host.state, host.repository.folder
    with swapping(folder) as swaps:
        host.exec("web-1", "touch /tmp/down")
        host.exec("fat-1", "dd if=/dev/zero of=/dev/shm/x bs=1M count=56 2>/dev/null")
        host.exec("hungry-1", "perl -e '$x = \"x\" x (200 << 20)' & wait $! || true")
        host.exec("crash-1", "touch /tmp/die")
        repository.rename(folder / "away.git")
        filler = fill(state, 3 * MIB)
        assert host.run("alerts", "test", "agent-silent").code == 1
        expected = set(RULES) - {"agent-silent"} - (set() if swaps else {"swap-in-use"})
        with contextlib.suppress(AssertionError):
            eventually(lambda: expected <= names(seen.begun), 90)
        assert expected - names(seen.begun) == set()
        (folder / "away.git").rename(repository)
        filler.unlink()
        host.exec("web-1", "rm /tmp/down")
        host.exec("fat-1", "rm /dev/shm/x")
        secure.renew(later)
    eventually(lambda: "service-unhealthy" not in names(seen.active), 120)
    agent.send_signal(signal.SIGSTOP)
    try:
        eventually(lambda: "agent-silent" in seen.active, 60)
    finally:
        agent.send_signal(signal.SIGCONT)


def _each_was_told_once(seen: Seen, loud: Receiver) -> None:
    counts = told(loud)
    for subject in seen.begun:
        name = subject.partition(" ")[0]
        if name in OTHERWISE:
            [title] = [item for item in counts if item.startswith(OTHERWISE[name])]
            assert counts[title] == 1
        elif subject != "agent-silent":
            assert counts[f"alert: {subject}"] == 1, subject
            assert counts[f"recovered: {subject} is over"] == 1, subject
    assert counts["recovered: all services work again"] == 1
    assert counts["recovered: engine, remote, registry and disk work again"] == 1
    beginnings = [item for item in counts.elements() if item.startswith("alert: ")]
    assert len(beginnings) == len(set(beginnings))
