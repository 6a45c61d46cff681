"""From a laptop over a real ssh server: `deploy`, `rollback`, `tunnel`, `nettest`, `status --all`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import COMPOSE_FILE, Host, eventually
from tests.e2e.services import health, healthy, server
from tests.hooks.tool import Ran, git
from tests.sshd import Laptop, laptop

pytestmark = [pytest.mark.engine, pytest.mark.soak]


@dataclass(frozen=True)
class Away:
    """A laptop with a clone of the machine's repository. The machine's agent runs."""

    host: Host
    mac: Laptop
    clone: Path

    def write(self, services: dict[str, Any], message: str) -> str:
        files = self.host.files(services)
        for path, text in files.items():
            (self.clone / path).parent.mkdir(parents=True, exist_ok=True)
            (self.clone / path).write_text(str(text))
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "-m", message)
        return git(self.clone, "rev-parse", "HEAD")

    def run(self, *arguments: str) -> Ran:
        return self.mac.run(*arguments, "--output", "json", cwd=self.clone)


@pytest.fixture
def away(host: Host) -> Iterator[Away]:
    with laptop(host.config) as mac:
        (entry,) = json.loads((mac.folder / ".config/reconciler/hosts.yaml").read_text())["hosts"]
        mac.hosts([{**entry, "name": host.name}])
        clone = mac.folder / "clone"
        git(mac.folder, "init", "-q", "-b", "main", str(clone))
        url = f"ssh://root@127.0.0.1:{mac.port}{host.repository.folder}"
        git(clone, "remote", "add", host.name, url)
        with host.started("run"):
            yield Away(host, mac, clone)


def test_a_commit_is_deployed_rolled_back_and_reached(away: Away) -> None:
    host = away.host
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    published = {"ports": [f"127.0.0.1:{port}:8080"], "healthcheck": health("true")}
    first = away.write({"web": server("one", **published)}, "one")
    done = away.run("deploy")
    assert (done.code, done.document["outcome"], done.document["revision"]) == (0, "Succeeded", first), done

    (away.clone / "not-committed").write_text("x")
    done = away.run("deploy")
    assert (done.code, done.document["details"]) == (2, ["?? not-committed"])
    broken = away.write(
        {"web": server("two", **{**published, "healthcheck": health("false", start_period="0s")})}, "two"
    )
    done = away.run("deploy", "--dirty")
    assert (done.code, done.document["outcome"], done.document["revision"]) == (1, "RolledBack", broken), done
    assert done.document["failure"]["service"] == "web"

    second = away.write({"web": server("three", **published)}, "three")
    assert away.run("deploy", "--no-wait").code == 0
    eventually(lambda: [row["outcome"] for row in host.history(second)] == ["Succeeded"])
    done = away.run("rollback")
    assert (done.code, any("web restarts" in line for line in done.document["details"])) == (2, True), done
    done = away.run("rollback", "--yes")
    assert (done.code, done.document["outcome"]) == (0, "Succeeded"), done
    head = host.repository.head()
    assert host.repository.git("rev-parse", f"{head}^") == second
    tree = host.repository.git("rev-parse", f"{head}^{{tree}}")
    assert tree == host.repository.git("rev-parse", f"{first}^{{tree}}")
    assert "volumes and data/ stay" in away.run("rollback", "--to", second).stdout

    _look_through_the_tunnel(away, port)
    _measure(away)
    _see_all(away, head)


def _look_through_the_tunnel(away: Away, port: int) -> None:
    process = subprocess.Popen(
        away.mac.command("tunnel", "web"), env=away.mac.environment, cwd=away.clone, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    local = int(lines[1].split("127.0.0.1:")[1].split()[0])
    assert local != port  # laptop and machine are the same here, so the port is taken

    def says() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", local), 2) as channel:
                return channel.recv(16) == b"one\n"
        except OSError:
            return False

    eventually(says)
    # The connection is lost: the tunnel comes back by itself.
    own = f"127.0.0.1:{local}:[127.0.0.1]:{port}"
    listed = subprocess.run(["pgrep", "-f", "--", own.replace("[", r"\[").replace("]", r"\]")], capture_output=True)
    for pid in listed.stdout.split():
        subprocess.run(["kill", "-9", pid.decode()], check=True)
    assert "the connection was lost" in process.stdout.readline()
    eventually(says)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    process.stdout.close()


def _measure(away: Away) -> None:
    done = away.run("nettest", "--time", "2s")
    found = done.document
    assert found["kind"] == "NetTest"
    assert 0 < found["rttMs"]["p50"] <= found["rttMs"]["p95"]
    assert found["upMBps"] > 0 < found["downMBps"]
    assert [(item["service"], item["ms"] is not None) for item in found["services"]] == [("web", True)]
    assert (found["reconnects"], found["seconds"] >= 2) == (0, True)
    assert (done.code, found["verdict"], bool(found["messages"])) in ((0, "good", False), (1, "poor", True))


def _see_all(away: Away, head: str) -> None:
    (entry,) = json.loads((away.mac.folder / ".config/reconciler/hosts.yaml").read_text())["hosts"]
    done = away.run("status", "--all")
    (row,) = done.document["hosts"]
    assert (done.code, row["state"], row["revision"], row["source"]) == (0, "Synced Healthy", head, "ssh")
    away.mac.hosts([entry, {"name": "gone", "ssh": "ssh://root@127.0.0.1:1", "repository": away.host.name}])
    done = away.run("status", "--all")
    assert (done.code, done.document["hosts"][1]["state"]) == (1, "Unknown")
    assert done.document["hosts"][1]["reason"] == "HostUnreachable"
    done = away.run("status", "--from-notes")
    rows = {item["name"]: item for item in done.document["hosts"]}
    assert (rows[away.host.name]["state"], rows[away.host.name]["revision"]) == ("success", head)
    assert rows[away.host.name]["source"] == "notes"
    assert (done.code, rows["gone"]["state"]) == (1, "Unknown")


def test_a_laptop_that_is_cut_off_while_it_follows_changes_nothing(away: Away) -> None:
    sha = away.write({"web": server("one", healthcheck=health("true"))}, "one")
    process = subprocess.Popen(
        away.mac.command("deploy"), env=away.mac.environment, cwd=away.clone, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    eventually(lambda: [row["revision"] for row in away.host.history()] == [sha])
    os.killpg(process.pid, signal.SIGKILL)  # git and ssh, too
    process.wait(60)
    eventually(lambda: [row["outcome"] for row in away.host.history(sha)] == ["Succeeded"])
    done = away.run("deploy")
    assert (done.code, done.document["outcome"], done.document["revision"]) == (0, "Succeeded", sha), done


def test_deploy_reports_a_push_that_is_rejected_as_the_verdict(away: Away) -> None:
    away.write({"app": healthy()}, "one")
    hook = away.host.repository.folder / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho compose.yaml:3: not valid >&2; exit 1\n")
    hook.chmod(0o755)
    done = away.run("deploy")
    assert (done.code, done.document["outcome"]) == (1, "Rejected")
    assert "not valid" in done.document["message"]
    hook.unlink()
    assert COMPOSE_FILE in git(away.clone, "ls-files")
