"""Memory and processor time of agent and monitor at rest, with 10 and with 60 containers."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from tests.conftest import find_compose
from tests.e2e.host import eventually, new_host
from tests.e2e.services import server, service

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(3600)]

TIME = 120.0
"""Seconds of the measurement, after both have settled."""

PUBLISHED = 10
"""Number of services with a published port, which the monitor probes."""

MOST_MEMORY, MOST_SHARE = 60 << 20, 0.005
"""Bounds of the monitor: bytes, and share of one core with 10 containers."""


def used(pid: int) -> tuple[float, int]:
    """Seconds of processor time since the start of the process, and its resident bytes."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    resident = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), int(resident) * os.sysconf("SC_PAGE_SIZE")


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [int(item.getsockname()[1]) for item in held]
    for item in held:
        item.close()
    return found


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("count", [10, 60])
def test_agent_and_monitor_cost_little(tmp_path: Path, count: int) -> None:
    with new_host(tmp_path, find_compose()[-1]) as host:
        [listen, *ports] = free_ports(PUBLISHED + 1)
        host.configure(source={"interval": "30s"}, monitor={"listen": f"127.0.0.1:{listen}"})
        asked = {f"p{n}": server("hello", ports=[f"127.0.0.1:{port}:8080"], mem_limit="16m")
                 for n, port in enumerate(ports)}  # fmt: skip
        host.push(asked | {f"s{n}": service(mem_limit="16m") for n in range(count - PUBLISHED)})
        with host.started("run") as agent, host.started("monitor") as monitor:
            eventually(lambda: host.status().code == 0, 300, 2)
            time.sleep(30)
            before = {"agent": used(agent.pid), "monitor": used(monitor.pid)}
            begun = time.monotonic()
            time.sleep(TIME)
            passed = time.monotonic() - begun
            found = {"agent": used(agent.pid), "monitor": used(monitor.pid)}
            share = {name: (found[name][0] - before[name][0]) / passed for name in found}
            for name, (_, memory) in found.items():
                print(f"{count} containers, {name}: {memory / 1e6:.1f} MB, {share[name]:.3%} of a core")
        assert found["monitor"][1] < MOST_MEMORY
        assert count > PUBLISHED or share["monitor"] < MOST_SHARE
