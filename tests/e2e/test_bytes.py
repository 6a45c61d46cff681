"""The bytes of a push are judged before they are written, streamed while they are written, and removed when not
needed."""

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
    """Files that unfinished work has left in the state folder."""
    found = [path for name in ("render", "build") for path in (host.state / name).glob("*")]
    found += (host.state / "trees").glob(".new-*")
    found += (host.state / "mirror.git/objects/pack").glob("tmp_*")
    return sorted(path.relative_to(host.state).as_posix() for path in found)


def used(folder: Path) -> int:
    """Bytes on the disk."""
    return sum(os.lstat(path).st_blocks * 512 for path in folder.rglob("*"))


def bomb(host: Host, compose: str) -> str:
    """One blob of a mebibyte under two thousand names, in some kilobytes of push."""
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


def test_a_tree_bomb_must_cost_nothing_where_nobody_uses_it_and_be_refused_where_somebody_does(host: Host) -> None:
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


def test_files_above_the_old_limit_must_arrive_whole_by_a_small_agent(host: Host) -> None:
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


def test_what_does_not_fit_must_be_said_before_it_is_written(host: Host) -> None:
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


def test_a_push_that_does_not_fit_must_fill_nothing_and_be_outlived(host: Host) -> None:
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


def test_a_kill_while_it_is_written_must_leave_nothing_for_the_next_start(large: Host) -> None:
    with large.started("once") as process:
        assert eventually(lambda: list((large.state / "trees").glob(".new-*")), 60)
        process.kill()
        process.wait()
    assert any(name.startswith("trees/.new-") for name in left_over(large))
    large.push({"web": stated("2")})
    assert large.once()["outcome"] == "Succeeded"
    assert left_over(large) == []
