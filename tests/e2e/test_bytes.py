"""The sizes of a push are judged before anything is written, files are streamed, and unneeded files are removed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tests.disks import PAGE, fill, small_disk
from tests.e2e.host import Host, eventually
from tests.e2e.services import IMAGE, living, stated

pytestmark = pytest.mark.engine

MEBIBYTE = 1 << 20
QUICK = {"gate": {"min_healthy_time": "200ms", "healthy_deadline": "12s", "progress_deadline": "30s"}}


def left_over(host: Host) -> list[str]:
    """Paths in the state folder that unfinished work has left."""
    found = [path for name in ("render", "build") for path in (host.state / name).glob("*")]
    found += (host.state / "trees").glob(".new-*")
    found += (host.state / "mirror.git/objects/pack").glob("tmp_*")
    return sorted(path.relative_to(host.state).as_posix() for path in found)


def used(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(os.lstat(path).st_blocks * 512 for path in folder.rglob("*"))


def bomb(host: Host, compose: str) -> str:
    """Push one blob of 1 MiB under two thousand names. The push has only some kilobytes. Returns the sha."""
    repository = host.repository
    folder = [("100644", "blob", repository.blob(bytes(MEBIBYTE)), b"%03d" % number) for number in range(50)]
    names = [("040000", "tree", repository.raw_tree(folder), b"%02d" % number) for number in range(40)]
    lines = [
        ("040000", "tree", repository.raw_tree(names), b"bomb"),
        ("100644", "blob", repository.blob(compose), b"compose.yaml"),
    ]
    head = repository.head() if repository.git("for-each-ref", "refs/heads/main") else None
    return repository.set(repository.commit_tree(repository.raw_tree(lines), "bomb", head))


def compose_file(host: Host, more: str = "") -> str:
    command = "command: [sleep, infinity]\n    init: true\n    mem_limit: 32m\n    stop_grace_period: 1s"
    return f"name: {host.stack}\nservices:\n  web:\n    image: {IMAGE}\n    {command}\n    {more}\n"


def test_a_tree_bomb_must_cost_nothing_if_unused_and_be_rejected_if_used(host: Host) -> None:
    with small_disk(host.state, 16):
        bomb(host, compose_file(host))
        assert host.once()["outcome"] == "Succeeded"
        assert used(host.state) < 2 * MEBIBYTE
        for more, line in (('volumes: ["./bomb:/b:ro"]', 9), ("build: ./bomb", 9)):
            sha = bomb(host, compose_file(host, more))
            turn = host.once()
            assert (turn.code, turn["outcome"]) == (1, "Rejected")
            found = [item for item in turn["violations"] if item["rule"] == "too-large"]
            assert [(item["path"], item["line"]) for item in found] == [("compose.yaml", line)]
            assert host.validate(sha)["valid"] is False
        assert used(host.state) < 2 * MEBIBYTE
        assert left_over(host) == []


def test_files_of_17_mebibytes_must_arrive_whole(host: Host) -> None:
    data = os.urandom(MEBIBYTE) * 17
    own = living("", volumes=["./big.bin:/big:ro", "./folder:/folder:ro"], configs=[{"source": "c", "target": "/conf"}])
    built = {**living(""), "build": "./app", "image": None}
    services = {"web": own, "app": {key: value for key, value in built.items() if value is not None}}
    files: dict[str, str | bytes] = {
        "big.bin": data, "folder/big.bin": data, "app/big.bin": data,
        "app/Dockerfile": f"FROM {IMAGE}\nCOPY big.bin /big\n",
    }  # fmt: skip
    sha = host.push(services, files, stack=QUICK, configs={"c": {"file": "./big.bin"}})
    assert host.validate(sha)["valid"] is True
    turn = host.once()
    assert turn["outcome"] == "Succeeded", turn["message"]
    digest = hashlib.sha256(data).hexdigest()
    for path in ("/big", "/folder/big.bin", "/conf"):
        assert host.exec("web-1", f"sha256sum {path}").split()[0] == digest
    assert host.exec("app-1", "sha256sum /big").split()[0] == digest
    inodes = {path.stat().st_ino for path in (host.state / "trees").rglob("*") if path.is_file()}
    assert len(inodes) == 1
    assert left_over(host) == []


def test_files_that_do_not_fit_must_be_reported_before_they_are_written(host: Host) -> None:
    with small_disk(host.state, 32):
        host.push({"web": stated("1")})
        assert host.once()["outcome"] == "Succeeded"
        before = host.ids()
        large = {"web": stated("2", volumes=["./big.bin:/big:ro"])}
        host.push(large, {"big.bin": bytes(64 * MEBIBYTE)})
        turn = host.once()
        assert (turn.code, turn["outcome"], turn["reason"]) == (3, "Failed", "DiskFailed")
        assert "needs 64 MiB" in turn["message"]
        assert (host.ids(), left_over(host)) == (before, [])
        assert used(host.state) < 4 * MEBIBYTE
        fill(host.state, 64 * PAGE)
        host.push({"web": stated("3", volumes=["./small:/small:ro"])}, {"small": "x"})
        assert host.once()["outcome"] == "Succeeded", "a small commit must not wait for room"


def test_a_push_that_does_not_fit_must_leave_no_files_and_let_later_pushes_succeed(host: Host) -> None:
    with small_disk(host.state, 32):
        good = host.push({"web": stated("1")})
        assert host.once()["outcome"] == "Succeeded"
        host.push({"web": stated("2")}, {"big.bin": os.urandom(40 * MEBIBYTE)})
        turn = host.once()
        assert (turn.code, turn["outcome"], turn["reason"]) == (3, "Failed", "DiskFailed")
        assert "stays free for others" in turn["hint"]
        assert left_over(host) == []
        assert used(host.state) < 4 * MEBIBYTE
        host.repository.set(good)
        host.push({"web": stated("3")})
        assert host.once()["outcome"] == "Succeeded"


@pytest.fixture
def large(host: Host) -> Host:
    host.push({"web": stated("1", volumes=["./big.bin:/big:ro"])}, {"big.bin": bytes(256 * MEBIBYTE)})
    return host


def test_files_that_a_kill_left_half_written_must_be_removed_by_the_next_turn(large: Host) -> None:
    with large.started("once") as process:
        assert eventually(lambda: list((large.state / "trees").glob(".new-*")), 60, every=0.002)
        process.kill()
        process.wait()
    assert any(name.startswith("trees/.new-") for name in left_over(large))
    large.push({"web": stated("2")})
    assert large.once()["outcome"] == "Succeeded"
    assert left_over(large) == []
