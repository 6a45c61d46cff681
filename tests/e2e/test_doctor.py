"""`doctor` on a real machine: no finding if all is well, and each fault by its name."""

from __future__ import annotations

import fcntl
from typing import Any

import pytest

from tests.e2e.host import Answer, Host, eventually
from tests.e2e.services import stated

pytestmark = pytest.mark.engine


def checks(answer: Answer) -> dict[str, Any]:
    assert answer["kind"] == "Doctor"
    found = {item["name"]: item for item in answer["checks"]}
    assert answer.code == any(item["ok"] is False for item in found.values())
    return found


def wrong(host: Host, *, unknown: bool = False, **environment: str) -> list[str]:
    """The names of failed checks, without those of logs of another test's containers. `unknown`: and of those without a
    result."""
    found = checks(host.run("doctor", **environment))
    bad = (False, None) if unknown else (False,)
    return [
        name for name, item in found.items() if item["ok"] in bad and (name != "logs" or host.stack in item["message"])
    ]


def memory(mib: int) -> dict[str, str]:
    return {"budget": f"{mib}MiB", "steady": "90%", "reserve": "64MiB"}


def test_doctor_must_find_what_is_wrong_and_nothing_else(host: Host) -> None:
    engine = host.engine.info()["MemTotal"] >> 20
    sha = host.push({"web": stated("1")}, memory=memory(engine))
    assert wrong(host) == []
    assert checks(host.run("doctor"))["visible"]["ok"] is None, "there is no state folder yet"
    assert not host.state.exists()
    assert host.once().code == 0
    machine = host.machine()
    assert wrong(host, unknown=True) == []
    well = checks(host.run("doctor"))
    assert sha[:12] in well["remote"]["message"]
    assert well["visible"]["message"] == "containers see the state folder and secrets_dir"
    assert host.machine() == machine
    mounts = [mount["Source"] for item in host.engine.containers(all=True) for mount in item["Mounts"]]
    assert str(host.state) not in mounts, "the container of the check is removed"
    assert not [path for folder in (host.state, host.secrets) for path in folder.iterdir() if "doctor" in path.name]

    assert wrong(host, DOCKER_HOST=f"unix://{host.folder}/none.sock") == ["endpoint", "engine"]
    assert wrong(host, RECONCILER_SOURCE_BRANCH="gone") == ["remote"]
    assert wrong(host, RECONCILER_SOURCE_URL=str(host.folder / "gone.git")) == ["remote"]
    assert wrong(host, RECONCILER_COMPOSE="/bin/true") == ["compose"]
    (host.secrets / f"{host.stack}.env").write_text("A=1")
    (host.secrets / f"{host.stack}.env").chmod(0o644)
    assert wrong(host) == ["secrets"]
    (host.secrets / f"{host.stack}.env").unlink()
    host.state.chmod(0o755)
    assert wrong(host) == ["state"]
    host.state.chmod(0o700)
    with (host.state / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert wrong(host) == ["lock"]
    with host.started("run") as agent:
        eventually(lambda: checks(host.run("doctor"))["lock"]["message"] == f"an agent is running, process {agent.pid}")
        assert wrong(host) == []

    host.push({"web": stated("1")}, memory=memory(engine + 1))
    assert host.once().code == 0
    assert wrong(host) == ["memory"]
    with (host.state / "journal.jsonl").open("a") as journal:
        journal.write("not a record\n")
    assert wrong(host) == ["journal"]
