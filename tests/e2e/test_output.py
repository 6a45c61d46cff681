"""Secrets in what the agent says: none leaves the machine, and none hides the name of a service."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.host import Host, new_host
from tests.e2e.services import service, stated

pytestmark = pytest.mark.engine

SECRET = "correct-horse-battery"


def test_a_service_whose_name_is_a_secret_keeps_its_name(host: Host) -> None:
    """`REDIS_HOST=redis` often lies beside the passwords."""
    name, places = "redis-main", f"{host.stack}/redis-main"
    (host.secrets / f"{host.stack}.env").write_text(f"REDIS_HOST={name}\nPASSWORD={SECRET}\n")
    (host.secrets / f"{host.stack}.env").chmod(0o600)
    environment = {"HOST": "${REDIS_HOST}", "PASSWORD": "${PASSWORD}"}
    sha = host.push({name: stated("1"), "web": service(environment=environment, depends_on=[name])})
    plan = host.run("plan")
    assert [step["service"] for step in plan["steps"] if step["action"] == "StartContainer"] == [name, "web"]
    assert host.once()["outcome"] == "Succeeded"
    assert [item["service"] for item in host.history(sha)[0]["services"]] == [name, "web"]
    [stack] = host.status()["stacks"]
    assert [item["service"] for item in stack["services"]] == [name, "web"]
    assert name in host.text("status", "--no-engine")
    host.engine.kill(f"{host.stack}-{name}-1")
    assert places in host.once()["message"]


def test_a_reversed_secret_reaches_history_and_no_note(tmp_path: Path, compose: Path) -> None:
    """`report: {container_output: none}` keeps the output of programs on the machine."""
    with new_host(tmp_path, compose, report={"container_output": "none"}) as host:
        (host.secrets / f"{host.stack}.env").write_text(f"TOKEN={SECRET}\n")
        (host.secrets / f"{host.stack}.env").chmod(0o600)
        spilled = service("printf %s $TOKEN | rev; echo; exit 3", restart="no", environment={"TOKEN": "${TOKEN}"})
        sha = host.push({"web": spilled})
        assert host.once()["outcome"] == "RolledBack"
        (attempt,) = host.history(sha)
        assert SECRET[::-1] in "".join(attempt["failure"]["log"])
        note = host.note(sha)
        assert note is not None
        assert note.first.endswith("failure Crashed")
        assert SECRET[::-1] not in note.text
