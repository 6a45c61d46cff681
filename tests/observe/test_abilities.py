"""What engines say about themselves, and what follows from it.

The answers are shortened to the fields that are read. `Recorded here`: by Docker Engine 26.1.5 of Debian.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler import engine as door
from reconciler.engine import (
    OLDEST_API,
    api_version,
    connect,
    containers_of,
    engine_calls,
    forget_versions,
    plain_events,
)
from reconciler.errors import Away, Transient
from reconciler.model.engine import HOST, REMOTE, VM, engine_of, record_of
from reconciler.observe import abilities

ORDINARY = {
    "ServerVersion": "26.1.5", "Driver": "overlay2", "MemoryLimit": True, "SwapLimit": True, "CgroupDriver": "systemd",
    "CgroupVersion": "2", "OperatingSystem": "Debian GNU/Linux 13 (trixie)", "Name": "mini", "MemTotal": 16 << 30,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"], "KernelVersion": os.uname().release,
}  # fmt: skip
ELSEWHERE = {**ORDINARY, "KernelVersion": "6.10.14-elsewhere"}
ORBSTACK = {**ELSEWHERE, "OperatingSystem": "OrbStack", "Name": "orbstack", "CgroupDriver": "cgroupfs"}
"""orbstack, its own test of the engine's answer (scon/test, expectDockerSystemInfo)."""
DESKTOP = {**ELSEWHERE, "OperatingSystem": "Docker Desktop", "Name": "docker-desktop", "CgroupDriver": "cgroupfs"}
"""dotnet/sdk-container-builds#304, docker/for-mac#7402."""
COLIMA = {**ELSEWHERE, "OperatingSystem": "Ubuntu 24.04.2 LTS", "Name": "colima"}
"""ddev/ddev-intellij-plugin#258; the host name is the profile's id (colima, cmd/start.go)."""
RASPBERRY = {**ORDINARY, "MemoryLimit": False, "SwapLimit": False, "Name": "raspberrypi"}
"""moby/moby#46185: Raspberry Pi OS without cgroup_enable=memory."""
NO_MEMORY_GROUP = {**RASPBERRY, "Driver": "vfs", "CgroupDriver": "cgroupfs", "CgroupVersion": "1"}
"""Recorded here: cgroup v1 without the memory controller mounted."""
ROOTLESS_V1 = {
    **ORDINARY, "MemoryLimit": False, "SwapLimit": False, "CgroupDriver": "none", "CgroupVersion": "1",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
}  # fmt: skip
"""Recorded here: dockerd-rootless.sh on cgroup v1."""
ROOTLESS_CLAIMS = {**ROOTLESS_V1, "MemoryLimit": True, "SwapLimit": True}
"""moby/moby#42151: the fields are true, and no group has a limit."""
ROOTLESS_DELEGATED = {**ROOTLESS_V1, "MemoryLimit": True, "CgroupDriver": "systemd", "CgroupVersion": "2"}


@pytest.mark.parametrize(
    ("info", "product", "machine", "rootless", "limits", "swap"),
    [
        (ORDINARY, "Docker Engine", HOST, False, True, True),
        (ELSEWHERE, "Docker Engine", VM, False, True, True),
        (ORBSTACK, "OrbStack", VM, False, True, True),
        (DESKTOP, "Docker Desktop", VM, False, True, True),
        (COLIMA, "Colima", VM, False, True, True),
        ({**COLIMA, "Name": "colima-work"}, "Colima", VM, False, True, True),
        ({**ELSEWHERE, "Name": "lima-rancher-desktop"}, "Rancher Desktop", VM, False, True, True),
        ({**ORDINARY, "Name": "colima"}, "Docker Engine", HOST, False, True, True),
        (RASPBERRY, "Docker Engine", HOST, False, False, False),
        (NO_MEMORY_GROUP, "Docker Engine", HOST, False, False, False),
        (ROOTLESS_V1, "Docker Engine", HOST, True, False, False),
        (ROOTLESS_CLAIMS, "Docker Engine", HOST, True, False, False),
        (ROOTLESS_DELEGATED, "Docker Engine", HOST, True, True, False),
    ],
)
def test_products(
    info: Mapping[str, Any], product: str, machine: str, rootless: bool, limits: bool, swap: bool
) -> None:
    about = {"ApiVersion": "1.45", "MinAPIVersion": "1.24"}
    found = abilities.read(info, about, "1.44", True, 0.0)
    told = (found.product, found.machine, found.rootless, found.limits, found.swap)
    assert told == (product, machine, rootless, limits, swap)
    assert (found.api, found.oldest_api, found.newest_api) == ("1.44", "1.24", "1.45")
    assert engine_of(json.loads(json.dumps(record_of(found)))) == found


def test_an_engine_behind_an_address_is_another_machine_s() -> None:
    assert abilities.read(ORDINARY, {}, "1.44", False, 0.0).machine == REMOTE


def test_the_clock_is_compared_and_a_small_difference_is_none() -> None:
    at = abilities.read({**ORDINARY, "SystemTime": "2026-11-29T10:00:07Z"}, {}, "1.44", True, 1795946400.0)
    assert (at.ahead, at.is_skewed) == (7.0, True)
    small = abilities.read({**ORDINARY, "SystemTime": "2026-11-29T10:00:01Z"}, {}, "1.44", True, 1795946400.0)
    assert (small.ahead, small.is_skewed) == (1.0, False)
    assert at.differs(small)
    assert not small.differs(abilities.read(ORDINARY, {}, "1.44", True, 0.0))


def test_a_record_of_another_version_is_no_fault() -> None:
    record = record_of(abilities.read(ORDINARY, {}, "1.44", True, 0.0))
    assert engine_of({**record, "more": 1}) is not None
    assert engine_of({name: value for name, value in record.items() if name != "storageDriver"}) is None


# -- which API is spoken -----------------------------------------------------------------------------------------

Serve = Callable[[str], tuple[int, Mapping[str, str], Any]]


@contextmanager
def served(folder: Path, answer: Serve) -> Iterator[tuple[str, list[str]]]:
    """An engine's socket that answers GET requests so. Yields its URL, and the requests so far."""
    path, asked = folder / "e.sock", list[str]()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen(8)

        def serve() -> None:
            while True:
                try:
                    client, _ = listening.accept()
                except OSError:
                    return
                with client:
                    target = client.recv(65536).split(b" ")[1].decode()
                    asked.append(target)
                    status, head, body = answer(target)
                    data = body if isinstance(body, bytes) else json.dumps(body).encode()
                    lines = [f"HTTP/1.0 {status} x", *(f"{name}: {text}" for name, text in head.items())]
                    client.sendall("\r\n".join([*lines, f"Content-Length: {len(data)}", "", ""]).encode() + data)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{path}", asked
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(timeout=5)


def speaks(oldest: str, newest: str, head: Mapping[str, str] | None = None, version: str = "30.0.0") -> Serve:
    def answer(target: str) -> tuple[int, Mapping[str, str], Any]:
        if target == "/version":
            return 200, head or {}, {"Version": version, "MinAPIVersion": oldest, "ApiVersion": newest}
        asked = tuple(map(int, target.split("/")[1].removeprefix("v").split(".")))
        low, high = (tuple(map(int, text.split("."))) for text in (oldest, newest))
        if not low <= asked <= high:
            wrong = f"client version {target.split('/')[1].removeprefix('v')} is too {'old' if asked < low else 'new'}"
            return 400, head or {}, {"message": f"{wrong}. Minimum supported API version is {oldest}"}
        return 200, head or {}, [] if "containers" in target else b"OK"

    return answer


@pytest.fixture(autouse=True)
def _anew() -> Iterator[None]:
    forget_versions()
    yield
    forget_versions()


@pytest.mark.parametrize(
    ("oldest", "newest", "spoken"), [("1.24", "1.45", "1.44"), ("1.44", "1.52", "1.44"), ("1.46", "1.60", "1.46")]
)
def test_the_oldest_version_that_both_speak_is_spoken(tmp_path: Path, oldest: str, newest: str, spoken: str) -> None:
    with served(tmp_path, speaks(oldest, newest)) as (url, asked):
        assert api_version(url) == spoken
        assert connect(url).api_version == spoken
        assert containers_of(url, {}) == b"[]"
        assert containers_of(url, {}) == b"[]"
        assert sum("_ping" in target for target in asked) == 1, "asked once"
        assert all(target.startswith(f"/v{spoken}/") for target in asked[-2:])


def test_an_engine_that_was_upgraded_meanwhile_is_asked_again(tmp_path: Path) -> None:
    """Its minimum is above the version that this process has used until now."""
    now = [speaks("1.24", "1.45")]
    with served(tmp_path, lambda target: now[0](target)) as (url, asked):
        client = connect(url)
        assert client.containers() == []
        now[0] = speaks("1.46", "1.60")
        with pytest.raises(Transient), engine_calls("list containers"):
            client.containers()
        assert (client.containers(), client.api_version) == ([], "1.46")  # the same client
        now[0] = speaks("1.48", "1.60")
        assert containers_of(url, {}) == b"[]"
        assert asked[-1].startswith("/v1.48/")
        assert client.api_version == "1.48"


def test_an_engine_that_was_away_or_ended_its_events_is_asked_again(tmp_path: Path) -> None:
    now = [speaks("1.24", "1.45")]
    with served(tmp_path, lambda target: now[0](target)) as (url, _):
        assert api_version(url) == "1.44"
        with plain_events(url, {}) as events:
            assert events.recv(9) == b"HTTP/1.0 "
            now[0] = speaks("1.46", "1.60")
        assert api_version(url) == "1.46"
        with pytest.raises(Away):
            containers_of(f"unix://{tmp_path}/nobody.sock", {})
        now[0] = speaks("1.47", "1.60")
        assert api_version(url) == "1.47"


def test_an_engine_that_is_too_old_is_named(tmp_path: Path) -> None:
    with served(tmp_path, speaks("1.24", "1.43", version="24.0.7")) as (url, _):
        with pytest.raises(Transient, match=r"24\.0\.7 .* up to 1\.43, and 1\.44 is needed") as caught:
            connect(url)
        assert "Docker Engine 25" in caught.value.hint


@pytest.mark.parametrize("newest", ["1.41", "1.44"])
def test_podman_is_refused_whatever_version_it_claims(tmp_path: Path, newest: str) -> None:
    """Podman 5.4.2 of Debian says 1.41, and answers every version."""
    head = {"Libpod-Api-Version": "5.4.2"}

    def answer(target: str) -> tuple[int, Mapping[str, str], Any]:
        return speaks("1.24", newest, head, "5.4.2")("/version") if target == "/version" else (200, head, b"OK")

    with served(tmp_path, answer) as (url, _), pytest.raises(Transient, match=r"is Podman 5\.4\.2, which"):
        api_version(url)


def test_an_engine_that_starts_is_waited_for(tmp_path: Path) -> None:
    with served(tmp_path, lambda target: (503, {}, {"message": "starting"})) as (url, _), pytest.raises(Away):
        api_version(url)
    with pytest.raises(Away):
        api_version(f"unix://{tmp_path}/nobody.sock")


def test_a_filter_in_front_of_the_engine_may_forbid_the_question(tmp_path: Path) -> None:
    with served(tmp_path, lambda target: (403, {}, b"no")) as (url, _):
        assert api_version(url) == OLDEST_API


@pytest.mark.engine
def test_the_real_engine(engine: docker.APIClient, tmp_path: Path) -> None:
    url = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    found, info = abilities.look(url), engine.info()
    assert (found.version, found.storage, found.memory) == (info["ServerVersion"], info["Driver"], info["MemTotal"])
    assert (found.limits, found.machine, found.is_skewed) == (True, HOST, False)
    assert door.descriptions(url)[1]["ApiVersion"] == found.newest_api
