"""Leftovers of a long life are removed, and files that somebody removed under a container are made again."""

from __future__ import annotations

import hashlib
import shutil
from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import service, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()


@together.with_one_compose
def test_deleted_files_must_come_back_to_the_container_that_mounts_them(host: Host) -> None:
    mounts = ["./site:/site:ro"]
    host.push({"web": stated("1", volumes=mounts), "db": stated("1")}, {"site/index": "hello"})
    assert host.once().code == 0
    before = host.containers()
    shutil.rmtree(host.state / "trees")
    assert host.exec("web-1", "ls /site") == ""
    assert host.once()["reason"] == "DriftCorrected"
    assert host.exec("web-1", "cat /site/index") == "hello"
    after = host.containers()
    started = [name for name in after if after[name]["State"]["StartedAt"] != before[name]["State"]["StartedAt"]]
    assert started == [f"{host.stack}-web-1"]
    assert host.ids() == {name: item["Id"] for name, item in before.items()}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_rotated_secret_must_leave_the_machine_once_nothing_needs_it(host: Host) -> None:
    """Last good and the two good states before it need the old secret. After three more changes nothing needs it."""
    folder = host.secrets / host.stack
    folder.mkdir(mode=0o700)
    document: dict[str, Any] = {"secrets": {"token": {"environment": "TOKEN"}}}
    for n in range(5):
        (folder / "TOKEN").write_text(f"hunter2-{n}")
        (folder / "TOKEN").chmod(0o600)
        host.push({"web": stated(str(n), secrets=["token"])}, **document)
        assert host.once().code == 0
        assert host.exec("web-1", "cat /run/secrets/token") == f"hunter2-{n}"
    kept = {path.name: path.read_text() for path in (host.secrets / ".mounts").iterdir()}
    assert sorted(kept.values()) == ["hunter2-2", "hunter2-3", "hunter2-4"]
    guessed = {hashlib.sha256(text.encode()).hexdigest() for text in kept.values()}
    assert not guessed & kept.keys(), "a name that `docker inspect` shows must confirm no guess"
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_unusable_secrets_are_reported_and_leave_running_containers_alone(host: Host) -> None:
    path = host.secrets / f"{host.stack}.env"
    path.write_text("TOKEN=hunter2\n")
    path.chmod(0o600)
    sha = host.push({"web": service(environment={"TOKEN": "${TOKEN}"})})
    assert host.once().code == 0
    path.chmod(0o644)
    told = host.status()
    assert (told.code, told["health"], [item["name"] for item in told["stacks"]]) == (1, "Degraded", [host.stack])
    assert f"chmod 0600 {path}" in told["message"]
    path.chmod(0o600)
    assert host.status().code == 0
    path.write_text("")
    for _ in range(2):
        assert host.once()["outcome"] == "Held"
    (held,) = [item for item in host.history(sha) if item["outcome"] == "Held"]  # recorded only once
    assert (held["id"], held["reason"], held["endedAt"]) == (None, "FileMissing", None)
    assert "TOKEN" in host.text("history", sha)
    told = host.status()
    assert (told.code, told["health"], told["quarantinedRevisions"]) == (1, "Degraded", [])
    assert f"put TOKEN back into {path}" in told["message"]
    path.write_text("TOKEN=hunter2\n")
    assert host.once()["effects"] == 0
    assert host.status().code == 0
    assert [(item["outcome"], item["endedAt"] is None) for item in host.history(sha)] == [
        ("Held", False),
        ("Succeeded", False),
    ]
