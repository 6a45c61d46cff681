"""`monitor` as a process: beside an agent, on the real engine, and in a browser."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.browser import browser
from tests.e2e.host import Host, eventually
from tests.e2e.services import living, server, service

CANARY = "canary-0815-secret"
HOSTILE = "<script>document.title='taken'</script><img src=x onerror=document.title='taken'>"
HOOK = "hook-secret"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Monitor:
    def __init__(self, host: Host, port: int) -> None:
        self.host, self.port = host, port

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        return self._answer(request)

    def post(self, path: str, body: bytes, **headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        return self._answer(urllib.request.Request(url, body, named))[0]

    def _answer(self, request: urllib.request.Request) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])


@contextlib.contextmanager
def watched(host: Host) -> Iterator[Monitor]:
    """A monitor of this host that already answers."""
    port = free_port()
    secret = host.folder / "hook"
    secret.write_text(f"{HOOK}\n")
    secret.chmod(0o600)
    host.configure(
        source={"interval": "600s"},
        monitor={"listen": f"127.0.0.1:{port}", "webhooks": {"github": {"secret_file": str(secret)}}},
    )
    with host.started("monitor") as process:
        monitor = Monitor(host, port)
        eventually(lambda: monitor.get("/api/status")[0] == 200)
        yield monitor
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143


def test_monitor_shows_what_the_agent_does_and_wakes_it(host: Host) -> None:
    (host.secrets / f"{host.stack}.env").write_text(f"SECRET={CANARY}\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    talk = living(f'echo "$SECRET"; echo "{HOSTILE}"', environment={"SECRET": "${SECRET}"})
    first = host.push({"web": talk})
    with watched(host) as monitor:
        assert monitor.get("/healthz")[0] == 503
        assert "no commit was tried yet" in monitor.get("/")[1].lower()
        with host.started("run"):
            eventually(lambda: monitor.json("/api/status")["lastGoodRevision"] == first, 30)
            assert monitor.get("/healthz") == (200, "ok\n")
            [done] = monitor.json("/api/history?limit=1")["attempts"]
            assert (done["revision"], done["plan"]["creates"]) == (first, [f"{host.stack}/web"])
            door = free_port()
            second = host.push({"web": talk, "late": server("hello", ports=[f"127.0.0.1:{door}:8080"])})
            body = json.dumps({"after": second}).encode()
            forged = {"X_Hub_Signature_256": f"sha256={'0' * 64}", "X_GitHub_Event": "push"}
            assert monitor.post("/hooks/github", body, **forged) == 401
            signed = hmac.new(HOOK.encode(), body, hashlib.sha256).hexdigest()
            assert monitor.post("/hooks/github", body, **forged | {"X_Hub_Signature_256": f"sha256={signed}"}) == 202
            eventually(lambda: monitor.json("/api/status")["lastGoodRevision"] == second, 30)
            for metric in (
                f'reconciler_sync{{host="{host.name}"}} 1',
                "reconciler_container_memory_working_set_bytes{",
                f'endpoint_up{{endpoint="tcp://127.0.0.1:{door}",service="late",stack="{host.stack}"}} 1.0',
            ):
                eventually(lambda metric=metric: metric in monitor.get("/metrics")[1], 30)
            metrics = monitor.get("/metrics")[1]
            fired = host.run("alerts", "test", "disk-low")
            assert fired.code == 1
            assert "disk-low" in [item["name"] for item in fired["alerts"]]
            _in_a_browser(monitor, host.folder)
        eventually(lambda: monitor.get("/healthz")[0] == 503)
        log = monitor.get(f"/logs/{host.stack}/web")[1]
        assert "&lt;script&gt;document.title" in log
        everything = log + monitor.get("/")[1] + monitor.get("/api/status")[1] + metrics
        assert CANARY not in everything
        os.truncate(host.state / "journal.jsonl", 7)  # an unreadable journal must be reported
        (host.state / "journal.jsonl").write_text("nonsense\n")
        eventually(lambda: monitor.get("/api/status")[0] == 503)
        assert "journal.jsonl" in monitor.get("/")[1]
    assert (host.state / "samples.json").exists()


def _in_a_browser(monitor: Monitor, folder: Path) -> None:
    """The page's script runs, foreign text is not interpreted, and the page is accessible. Skipped without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return
    with browser(chromium, folder / "browser") as page:
        for path in ("/", f"/logs/{monitor.host.stack}/web"):
            for scheme, width in (("light", 1200), ("dark", 380)):
                page.open(f"http://localhost:{monitor.port}{path}", scheme, width)
                assert page.value("document.title") != "taken"
                page.value("for (const item of document.querySelectorAll('details')) { item.open = true }")
                assert page.faults() == []
        page.value("document.querySelector('h1').style.color = getComputedStyle(document.body).backgroundColor")
        assert page.faults() != []  # the check does find faults


@pytest.mark.soak
def test_the_monitor_disconnects_slow_clients(host: Host) -> None:
    host.push({"web": service()})
    head = b"POST /hooks/github HTTP/1.1\r\nHost: localhost\r\nContent-Le"
    with watched(host) as monitor, contextlib.ExitStack() as open_ones:
        slow = [socket.create_connection(("127.0.0.1", monitor.port), timeout=60) for _ in range(3)]
        for connection in slow:
            open_ones.enter_context(connection)
        slow[0].sendall(head)
        slow[1].sendall(head + b"ngth: 50\r\n\r\nx")
        taken = host.run("monitor")
        assert (taken.code, taken["kind"]) == (2, "Error")
        assert str(monitor.port) in taken["message"]
        assert slow[0].recv(100) == b""
        assert b" 408 " in slow[1].recv(100)
        assert slow[2].recv(100) == b""
        assert monitor.get("/healthz")[0] == 503


def test_listening_to_the_network_needs_a_token(host: Host) -> None:
    host.configure(monitor={"listen": "0.0.0.0:9464"})
    refused = host.run("monitor")
    assert refused.code == 2
    assert "token_file" in refused.stdout


@pytest.mark.soak
def test_ten_thousand_webhooks_change_nothing_but_the_time_of_a_look(host: Host) -> None:
    """A process of its own sends 1,000 webhooks a second for ten seconds: forged ones, then genuine pushes. The monitor
    answers all of them and the page, and does not grow. The agent fetches at most once a second."""
    host.push({"web": service()})
    with watched(host) as monitor, host.started("run"):
        eventually(lambda: monitor.json("/api/status")["sync"] == "Synced", 30)
        pid = _pid_of(host)

        def fetched() -> str:
            return str(monitor.json("/api/status")["source"]["lastFetchAt"])

        def settled() -> bool:
            """Whether the agent rests. It restarts itself after its first rollout, and then fetches again."""
            before = fetched()
            time.sleep(5)
            return fetched() == before

        eventually(settled, 60)
        known, before, spent = fetched(), _resident(pid), _spent(pid)
        with _flood(monitor.port, "forged") as sending:
            looks = _looks(monitor, sending)
            found = json.loads(sending.communicate(timeout=120)[0])
        print("forged", found, f"slowest look {max(looks):.2f} s, memory {before} to {_resident(pid)} MB")
        print(f"processor time for it: {_spent(pid) - spent:.1f} s")
        assert (found["answers"], found["errors"]) == ({"401": 10_000}, 0)
        assert fetched() == known
        wakes = _Counted(host.state / "requests/look")
        with wakes, _flood(monitor.port, "genuine") as sending:
            looks = _looks(monitor, sending)
            found = json.loads(sending.communicate(timeout=120)[0])
        print("genuine", found, f"slowest look {max(looks):.2f} s, memory {before} to {_resident(pid)} MB")
        print(f"{wakes.count} wakes in {found['seconds']} s")
        assert (found["answers"], found["errors"]) == ({"202": 10_000}, 0)
        assert 0 < wakes.count <= found["seconds"] + 3  # the last one comes after the last request
        assert _resident(pid) < before + 8
        eventually(lambda: fetched() > known)
        assert monitor.get("/healthz") == (200, "ok\n")


def _flood(port: int, kind: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.e2e.flood", str(port), kind, HOOK]
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)


def _looks(monitor: Monitor, sending: subprocess.Popen[str]) -> list[float]:
    """Seconds of each look at the page and its parts while the process sends."""
    looks = []
    while sending.poll() is None:
        for path in ("/", "/healthz", "/metrics"):
            begun = time.monotonic()
            assert monitor.get(path)[0] == 200, path
            looks.append(time.monotonic() - begun)
        time.sleep(0.2)
    return looks


class _Counted:
    """Counts how often a file is put in its place."""

    def __init__(self, file: Path) -> None:
        self._file, self._stop, self.count = file, threading.Event(), 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        time.sleep(1.5)
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        known = self._stamp()
        while not self._stop.wait(0.002):
            if (now := self._stamp()) != known:
                self.count, known = self.count + (now is not None), now

    def _stamp(self) -> object:
        try:
            found = self._file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino


def _pid_of(host: Host) -> int:
    """The process of this host's monitor."""
    wanted = host.command("monitor")[1:]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if path.read_bytes().split(b"\0")[1:-1] == [word.encode() for word in wanted]:
                return int(path.parent.name)
    raise AssertionError("no monitor runs")


def _spent(pid: int) -> float:
    """Seconds of processor time."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident(pid: int) -> int:
    """MB"""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 10**6
