"""The agent in its own image, with same-path mounts. `docker build` takes minutes, so this test has its own command."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.conftest import ROOT
from tests.e2e.host import Host, eventually
from tests.e2e.services import healthy

pytestmark = [pytest.mark.engine, pytest.mark.soak]

IMAGE = "reconciler-test/agent"
SOCKET = "/var/run/docker.sock"


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_agent_runs_in_its_image_and_leaves_its_own_container_alone(host: Host) -> None:
    docker("build", "-q", "-t", IMAGE, "-f", f"{ROOT}/container/Dockerfile", str(ROOT))
    host.configure(compose="/usr/libexec/docker/cli-plugins/docker-compose")
    name, folder = f"{host.name}-agent", str(host.folder)
    docker(
        "run", "-d", "--name", name, "--network", "host", "-v", f"{SOCKET}:{SOCKET}", "-v", f"{folder}:{folder}",
        "-e", f"RECONCILER_CONFIG={host.config}", IMAGE,
    )  # fmt: skip
    try:
        before = json.loads(docker("inspect", name))[0]["State"]["StartedAt"]
        script = "grep -q same /app.conf && touch /tmp/healthy; echo kept > /data/x"
        mounts = ["./app.conf:/app.conf:ro", "./data:/data"]
        sha = host.push({"app": healthy(script, volumes=mounts)}, {"app.conf": "same path\n"})
        eventually(lambda: [row["outcome"] for row in host.history(sha)] == ["Succeeded"], seconds=60)
        assert next(host.state.rglob("x")).read_text() == "kept\n"
        status = json.loads(docker("exec", name, "reconciler", "status", "--output", "json"))
        assert (status["sync"], status["health"], status["agent"]["running"]) == ("Synced", "Healthy", True)
        assert json.loads(docker("inspect", name))[0]["State"]["StartedAt"] == before
        docker("stop", "-t", "30", name)
        assert json.loads(docker("inspect", name))[0]["State"]["ExitCode"] == 143
        assert host.states() == {"app-1": "running"}
    finally:
        subprocess.run(["docker", "rm", "-f", name], capture_output=True, check=False)
