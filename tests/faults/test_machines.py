"""Disks that are full or read-only, deleted journals and images, files of half a gigabyte: with the real agent."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from io import BytesIO
from typing import Any

import pytest

from tests.conftest import BASE
from tests.disks import PAGE, fill, small_disk
from tests.e2e.conftest import compose, every_compose, told
from tests.e2e.host import Host, eventually
from tests.e2e.services import BROKEN, stated
from tests.e2e.together import Together

__all__ = ["compose", "every_compose", "told"]
pytestmark = pytest.mark.engine
together = Together()

LARGEST = """
import resource, subprocess, sys
assert subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode == 0
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
DATA: dict[str, Any] = {"volumes": {"data": {}}}


def push(host: Host, version: str, **more: Any) -> str:
    return host.push({"web": stated(version, **more), "db": stated("1", volumes=["data:/data"])}, **DATA)


def begin(host: Host) -> None:
    push(host, "1")
    assert host.once().code == 0


def quarantined(host: Host) -> list[Any]:
    found: list[Any] = host.run("status", "--no-engine")["quarantinedRevisions"]
    return found


@together.with_one_compose
def test_a_full_disk_and_a_read_only_one_must_quarantine_nothing(host: Host) -> None:
    with small_disk(host.state, 8):
        begin(host)
        for version, left in (("2", 0), ("3", 2 * PAGE), ("4", 10 * PAGE)):
            before = host.ids()
            filler = fill(host.state, left)
            sha = push(host, version)
            turn = host.once()
            if turn.code != 0:
                assert turn.code == 3, turn
                assert turn["reason"] in ("DiskFailed", "FetchFailed")
                assert turn["hint"]
                assert host.states()["web-1"] == host.states()["db-1"] == "running"
            if left == 0:
                assert host.ids() == before
            filler.unlink()
            turn = host.once()
            assert (turn.code, turn["revision"]) == (0, sha)
            assert host.exec("web-1", "echo $VERSION") == version
        before = host.ids()
        sha = push(host, "5")
        subprocess.run(["mount", "-o", "remount,ro", host.state], check=True)
        turn = host.once()
        assert (turn.code, turn["reason"]) == (3, "DiskFailed")
        assert str(host.state) in turn["message"]
        assert host.ids() == before
        subprocess.run(["mount", "-o", "remount,rw", host.state], check=True)
        assert host.once()["revision"] == sha
        assert quarantined(host) == []


@together.with_one_compose
def test_a_journal_that_is_deleted_must_not_bring_back_a_bad_commit(host: Host) -> None:
    begin(host)
    host.push({"web": BROKEN, "db": stated("1", volumes=["data:/data"])}, **DATA)
    assert host.once()["outcome"] == "RolledBack"
    before = {name: item["State"]["StartedAt"] for name, item in host.containers().items()}
    (host.state / "journal.jsonl").unlink()
    for _ in range(2):
        turn = host.once()
        assert turn.code == 1, turn
    assert turn["effects"] == 0
    assert {name: item["State"]["StartedAt"] for name, item in host.containers().items()} == before
    assert turn["reason"] == "RevisionQuarantined"
    assert len(quarantined(host)) == 1, "told to those who only read"


@together.with_one_compose
def test_a_journal_that_is_damaged_under_a_running_agent_must_be_waited_for(host: Host) -> None:
    begin(host)
    journal = host.state / "journal.jsonl"
    whole = journal.read_bytes()

    def status() -> Any:
        return json.loads((host.state / "status.json").read_text())

    with host.started("run") as agent:
        eventually(lambda: status()["agent"]["pid"] == agent.pid, 30)
        newer = b'{"v":2,"kind":"seen","at":"2026-01-01T00:00:00Z"}\n'
        journal.write_bytes(journal.read_bytes() + newer)
        assert eventually(lambda: status()["kind"] == "Error" and status(), 30)["hint"]
        assert host.run("status").code == 4
        sha = push(host, "2")
        time.sleep(2)
        assert agent.poll() is None
        assert host.exec("web-1", "echo $VERSION") == "1", "until then nothing is changed"
        journal.write_bytes(whole)
        eventually(lambda: status().get("lastGoodRevision") == sha, 60)
        assert agent.poll() is None
    assert host.exec("web-1", "echo $VERSION") == "2"


@together.with_one_compose
def test_an_image_that_is_deleted_must_be_named_and_quarantine_nothing(host: Host) -> None:
    tag = f"{host.stack}-own:1"
    dockerfile = f"FROM {BASE}\nLABEL of={host.stack}\n"
    for line in host.engine.build(fileobj=BytesIO(dockerfile.encode()), tag=tag, rm=True, decode=True):
        assert "error" not in line, line
    kept = b"".join(host.engine.get_image(tag))
    push(host, "1", image=tag)
    assert host.once().code == 0
    host.engine.remove_container(host.container("web")["Id"], force=True)
    host.engine.remove_image(tag, force=True)
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["outcome"]) == (3, "Failed"), turn
        assert "image" in turn["message"].lower()
        assert host.states()["db-1"] == "running"
    assert quarantined(host) == []
    host.engine.load_image(kept)
    turn = host.once()
    assert (turn.code, turn["reason"]) == (0, "DriftCorrected")
    assert host.states() == {"db-1": "running", "web-1": "running"}


@together.with_one_compose
def test_a_file_of_half_a_gigabyte_must_not_fill_the_memory(host: Host) -> None:
    begin(host)
    large = host.folder / "large"
    with large.open("wb") as file:
        file.truncate(500 << 20)
    blob = host.repository.git("-c", "core.compression=1", "hash-object", "-w", str(large))
    tree = host.repository.git("ls-tree", host.repository.head())
    made = host.repository.git("mktree", stdin=f"{tree}\n100644 blob {blob}\tlarge\n".encode())
    unused = host.repository.set(host.repository.commit_tree(made, "a large file", host.repository.head()))
    before = host.ids()
    done = subprocess.run(
        [sys.executable, "-c", LARGEST, *host.command("once")], capture_output=True, text=True, check=True,
        env=host.environment(), cwd=host.folder, timeout=host.patience,
    )  # fmt: skip
    assert int(done.stdout) < 200 << 10, "KiB of its largest process"
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Unchanged", unused)
    assert host.ids() == before
    files = {**host.files({"web": stated("1")}), "desired-state/" + host.name + ".yaml": "x"}
    tree = host.repository.tree({path: data for path, data in files.items() if not path.startswith("desired")})
    inner = host.repository.git("mktree", stdin=f"100644 blob {blob}\t{host.name}.yaml\n".encode())
    listed = host.repository.git("ls-tree", tree)
    made = host.repository.git("mktree", stdin=f"{listed}\n040000 tree {inner}\tdesired-state\n".encode())
    host.repository.set(host.repository.commit_tree(made, "a large document", host.repository.head()))
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (1, "Rejected"), turn
    assert host.ids() == before
