"""The monitoring stack beside the Blackbox stack, an agent and a monitor. All are real, only the model's API is not."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dashboards.boards import BOARDS

from tests.conftest import ROOT
from tests.e2e.host import eventually
from tests.e2e.test_monitor import free_port
from tests.stack.agents import Agents, agents
from tests.stack.blackbox import blackbox
from tests.stack.harm import kill
from tests.stack.monitoring import FILES, FOLDER, services, write_cases

pytestmark = [pytest.mark.soak, pytest.mark.engine, pytest.mark.timeout(3600)]

BLACKBOX = ("postgres", "neo4j", "migrate", "brain-api", "file-watcher", "ralph-agent", "claude-runtime")
SERVICES = [name for name in services() if name != "grafana"]


class Watched:
    """Both stacks. `ask` sends requests to Prometheus and Alertmanager from this machine."""

    def __init__(self, made: Agents) -> None:
        self.made, self.host = made, made.stack.host
        self.name = f"{self.host.stack}-m"
        self.monitor: subprocess.Popen[str]
        self.ports = {name: free_port() for name in ("PROMETHEUS_PORT", "ALERTMANAGER_PORT")}
        self.host.stacks.insert(0, self.name)  # removed first: it uses networks of the Blackbox stack
        password = f"-{secrets.token_urlsafe(24)}"
        for stack in (self.host.stack, self.name):
            folder = self.host.secrets / stack
            folder.mkdir(mode=0o700, exist_ok=True)
            (folder / "POSTGRES_MONITOR").touch(mode=0o600)
            (folder / "POSTGRES_MONITOR").write_text(password)
        paths = (path for path in (ROOT / FOLDER).rglob("*") if path.is_file() and "cache" not in str(path))
        made.files |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
        values = {"BLACKBOX_STACK": self.host.stack, **{name: str(port) for name, port in self.ports.items()}}
        made.stack.further.append({
            "name": self.name, "files": [*FILES], "depends_on": [self.host.stack], "env": values,
            "gate": {"min_healthy_time": "3s", "healthy_deadline": "5m", "progress_deadline": "5m"},
        })  # fmt: skip

    @property
    def metrics(self) -> Path:
        """The file into which the monitor must write its metrics for the stack."""
        return self.host.state / "data" / self.name / FOLDER / "metrics"

    def ask(self, port: str, path: str, **query: str) -> Any:
        url = f"http://127.0.0.1:{self.ports[port]}{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def query(self, expr: str) -> list[Any]:
        found: list[Any] = self.ask("PROMETHEUS_PORT", "/api/v1/query", query=expr)["data"]["result"]
        return found

    def groups(self) -> list[Any]:
        found: list[Any] = self.ask("PROMETHEUS_PORT", "/api/v1/rules")["data"]["groups"]
        return found

    def firing(self) -> set[str]:
        alerts = self.ask("PROMETHEUS_PORT", "/api/v1/alerts")["data"]["alerts"]
        return {item["labels"]["alertname"] for item in alerts if item["state"] == "firing"}

    def received(self) -> dict[str, str]:
        """Alert → its state in Alertmanager, active or suppressed."""
        found = self.ask("ALERTMANAGER_PORT", "/api/v2/alerts")
        return {item["labels"]["alertname"]: item["status"]["state"] for item in found}

    def container(self, service: str) -> dict[str, Any]:
        found: dict[str, Any] = self.host.engine.inspect_container(f"{self.name}-{service}-1")
        return found


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Watched]:
    both: list[Watched] = []
    folder = tmp_path_factory.mktemp("watched")
    with agents(folder, compose, *BLACKBOX, prepare=lambda made: both.append(Watched(made))) as made:
        host = both[0].host
        monitor = {"listen": f"127.0.0.1:{free_port()}", "textfile": str(both[0].metrics)}
        host.configure(monitor=monitor, source={"interval": "5s"})
        with host.started("run"), host.started("monitor") as both[0].monitor:
            made.prompt("Add a line to a file")
            made.submit("Say hello")
            made.stack.ask("POST", "/api/v1/artifacts", {"title": "Quinces", "content": "Hard fruit."})
            yield both[0]


def test_each_source_is_read(watched: Watched) -> None:
    jobs = {"prometheus", "alertmanager", "machine", "blackbox-exporter", "probes", "brain-api", "file-watcher",
            "ralph-agent", "claude-runtime", "postgres"}  # fmt: skip
    eventually(lambda: {item["metric"]["job"] for item in watched.query("up == 1")} == jobs, 60, 1)
    assert watched.query("pg_up == 1")
    assert watched.query("up == 0") == []
    assert {group["name"] for group in watched.groups()} == {"monitor", "watching", "records", "blackbox"}
    eventually(lambda: {rule["health"] for group in watched.groups() for rule in group["rules"]} == {"ok"}, 30, 1)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_each_query_of_a_dashboard_has_an_answer(watched: Watched, board: Any) -> None:
    silent = [query.expr.replace("$stack", ".*") for panel in board.panels for query in panel.queries]
    deadline = time.monotonic() + 600
    while silent and time.monotonic() < deadline:
        silent = [expr for expr in silent if not watched.query(expr)]
        time.sleep(2)
    assert silent == []


def test_the_metrics_of_every_source_are_well_formed(watched: Watched) -> None:
    """Checked by the image's promtool, inside the stack."""
    script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1]).read().decode())"
    for service, port in (("ralph-agent", 9470), ("claude-runtime", 9471), ("file-watcher", 8001), ("brain-api", 8000)):
        text = watched.host.exec(f"{service}-1", f"python3 -c '{script}' http://127.0.0.1:{port}/metrics")
        done = promtool(watched, "check", "metrics", given=text + "\n")
        assert (done.returncode, done.stdout) == (0, ""), (service, done.stdout)
    done = promtool(watched, "check", "metrics", given=(watched.metrics / "reconciler.prom").read_text())
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_the_images_own_promtool_agrees_with_configuration_and_cases(watched: Watched, tmp_path: Path) -> None:
    done = promtool(watched, "check", "config", "/etc/monitoring/prometheus.yaml")
    assert done.returncode == 0, done.stdout
    watched.host.exec("m-alertmanager-1", "amtool check-config /etc/monitoring/alertmanager.yaml")
    tmp_path.chmod(0o755)
    cases = [f"/cases/{name}" for name in write_cases(tmp_path)]
    done = promtool(watched, "test", "rules", *cases, mount=tmp_path)
    assert (done.returncode, done.stdout.count("SUCCESS")) == (0, len(cases)), done.stdout


def promtool(
    watched: Watched, *words: str, given: str = "", mount: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run promtool in a new container of the stack's image; without `mount` in Prometheus's own container."""
    if mount is None:
        command = ["docker", "exec", "-i", f"{watched.name}-prometheus-1", "promtool", *words]
    else:
        image = watched.container("prometheus")["Image"]
        own = ["--rm", "--network=none", "--memory=256m", f"--volume={mount}:/cases:ro", "--entrypoint=promtool"]
        command = ["docker", "run", *own, image, *words]
    return subprocess.run(
        command, input=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120, check=False
    )


def test_services_cannot_reach_prometheus_over_shared_networks(watched: Watched) -> None:
    """On the networks that they share with Prometheus and the exporters, services find only closed ports of these."""
    ask = (
        "import socket, sys\n"
        "for name, port in zip(sys.argv[1::2], sys.argv[2::2]):\n"
        '    try: socket.create_connection((name, int(port)), 5); print(name, port, "open")\n'
        "    except OSError as error: print(type(error).__name__)\n"
    )
    doors = "prometheus 9090 blackbox-exporter 9115 postgres-exporter 9187 prometheus-web 9090 probes 9115"
    for service in ("ralph-agent", "claude-runtime", "file-watcher", "brain-api"):
        told = watched.host.exec(f"{service}-1", f"python3 -c '{ask}' {doors}")
        assert "open" not in told, (service, told)
        assert "ConnectionRefusedError" in told, "it knows Prometheus's name on the network that they share"


def test_each_container_is_confined(watched: Watched) -> None:
    for service in SERVICES:
        found = watched.container(service)
        limits = found["HostConfig"]
        assert limits["ReadonlyRootfs"], service
        assert limits["CapDrop"] == ["ALL"]
        assert limits["SecurityOpt"] == ["no-new-privileges:true"]
        assert limits["NetworkMode"] != "host"
        assert found["Config"]["User"] == "monitoring"
        assert 0 < limits["Memory"] == limits["MemorySwap"]
        assert all(port["HostIp"] == "127.0.0.1" for ports in limits["PortBindings"].values() for port in ports)
        assert [mount["Destination"] for mount in found["Mounts"] if mount["RW"]] in ([], ["/data"])


def test_memory_stays_far_below_the_limits(watched: Watched) -> None:
    """Prints the figures of docs/monitoring.md."""
    total = 0.0
    for service in SERVICES:
        stats = watched.host.engine.stats(f"{watched.name}-{service}-1", stream=False)
        memory = stats["memory_stats"]
        inactive = memory["stats"].get("total_inactive_file", memory["stats"].get("inactive_file", 0))
        used = (memory["usage"] - inactive) / (1 << 20)
        total += used
        print(f"{service:20}{used:8.1f} MiB of {memory['limit'] >> 20}")
        assert used < 0.8 * (memory["limit"] >> 20), service
    print(f"{'all':20}{total:8.1f} MiB")


def test_an_alert_fires_in_both_and_is_muted_while_the_monitor_is_silent(watched: Watched) -> None:
    assert "container-restarted" not in watched.firing()
    kill(watched.made.stack, "file-watcher")
    eventually(lambda: "container-restarted" in watched.firing(), 60, 1)
    eventually(lambda: watched.received().get("container-restarted") == "active", 60, 1)
    own = watched.host.run("alerts")["alerts"]
    assert "container-restarted" in {item["name"] for item in own}
    assert "monitor-silent" not in watched.firing()
    watched.monitor.kill()
    eventually(lambda: watched.received().get("monitor-silent") == "active", 120, 1)
    eventually(lambda: watched.received().get("container-restarted") == "suppressed", 60, 1)


def test_the_role_for_statistics_reads_no_rows_and_goes_with_its_secret(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        secret = stack.host.secrets / stack.host.stack / "POSTGRES_MONITOR"
        for given, role in (("-a password", "monitor f t 3"), ("", "monitor f f 3"), ("another", "monitor f t 3")):
            secret.touch(mode=0o600)
            secret.write_text(given)
            stack.push(only=("postgres",))
            assert stack.once()["outcome"] in ("Succeeded", "Unchanged")
            columns = "rolname, rolsuper, rolcanlogin, rolconnlimit"
            assert stack.psql(f"SELECT {columns} FROM pg_roles WHERE rolname = 'monitor'").replace("|", " ") == role
        stack.psql("CREATE TABLE rows (n int)")
        assert stack.psql("SELECT has_table_privilege('monitor', 'rows', 'SELECT')") == "f"
