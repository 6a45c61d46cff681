"""Two hundred commits, each with a build and a mount, every tenth of them bad, must not let the disk fill."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import find_compose
from tests.e2e.host import Host, new_host
from tests.e2e.services import BROKEN
from tests.e2e.test_disk import KEPT, dangling, disk_use, own_images, push, roll

pytestmark = [pytest.mark.engine, pytest.mark.soak, pytest.mark.timeout(7200)]

COMMITS = 200
LOOKS = (3, 20, 100, COMMITS)
PARTS = ("journal.jsonl", "mirror.git", "trees", "rendered", "render", "build")


def measure(host: Host) -> dict[str, int]:
    """KiB on the disk of each part of the state folder, and the number of our images."""
    parts = {name: disk_use(host.state / name) // 1024 for name in PARTS if (host.state / name).exists()}
    return {"state": disk_use(host.state) // 1024, **parts, "images": len(own_images(host)), "lost": dangling(host)}


@pytest.mark.usefixtures("images")
def test_two_hundred_commits_must_leave_a_flat_disk(tmp_path: Path) -> None:
    bad = {key: value for key, value in BROKEN.items() if key != "image"}
    found: dict[int, dict[str, int]] = {}
    with new_host(tmp_path, find_compose()[-1]) as host:
        for n in range(1, COMMITS + 1):
            if n % 10 == 9:
                push(host, f"v{n:04}", **bad)
                assert host.once()["outcome"] == "RolledBack"
            else:
                roll(host, f"v{n:04}")
            if n in LOOKS:
                found[n] = measure(host)
                print(n, found[n])
    for name in ("trees", "rendered", "images", "lost"):
        assert {look[name] for look in found.values()} == {found[3][name]}, name
    assert found[3]["images"] == KEPT
    assert found[COMMITS]["mirror.git"] < 8 * 1024
