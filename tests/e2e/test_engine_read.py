"""A tool in a container reads the engine through the read-only socket of `engine-read`."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e.host import new_host
from tests.e2e.services import service

pytestmark = pytest.mark.engine

ASK = (
    "perl -MIO::Socket::UNIX -e '"
    '$s = IO::Socket::UNIX->new("/run/engine/docker.sock") or die "nobody answers: $!"; '
    'print $s "$ARGV[0] HTTP/1.1\\r\\n\\r\\n"; print while <$s>\' '
)


def test_a_container_reads_the_engine_and_changes_nothing(tmp_path: Path, compose: Path) -> None:
    grants = [{"policy": "engine-read", "reason": "a dashboard"}]
    with new_host(tmp_path / "host", compose, grants=grants) as host:
        folder = {"type": "bind", "source": "/run/reconciler/engine", "target": "/run/engine", "read_only": True}
        host.push({"tool": service(volumes=[folder], environment={"PASSWORD": "canary"})})
        assert host.once()["outcome"] == "Succeeded"
        (tool,) = host.engine.containers(filters={"label": f"com.docker.compose.project={host.stack}"})

        def ask(request: str) -> str:
            run = host.engine.exec_create(tool["Id"], ["sh", "-c", f"{ASK}'{request}' 2>&1"])
            return host.engine.exec_start(run["Id"]).decode()

        assert "nobody answers" in ask("GET /_ping")
        for _ in range(2):  # the same again after the first round
            with host.started("engine-read"):
                until = time.monotonic() + 60
                while "200 OK" not in ask("GET /_ping") and time.monotonic() < until:
                    time.sleep(0.1)
                seen = ask(f"GET /v1.44/containers/{tool['Id']}/json")
                assert f"/{host.stack}-tool-1" in seen
                assert "PASSWORD=***" in seen
                assert "canary" not in seen
                assert "403 Forbidden" in ask(f"POST /v1.44/containers/{tool['Id']}/kill")
        assert "nobody answers" in ask("GET /_ping")
        assert host.once()["outcome"] == "Unchanged"
