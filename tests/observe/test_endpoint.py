"""The engine and Compose are found where Docker's own command line would find them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import Transient, Usage
from reconciler.observe.binary import compose_version, find_compose
from reconciler.observe.endpoint import DEFAULT_HOST, engine_host, folders, sockets


def context(home: Path, name: str, host: str | None) -> None:
    folder = home / ".docker/contexts/meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))


def config(home: Path, text: str) -> None:
    (home / ".docker").mkdir(exist_ok=True)
    (home / ".docker/config.json").write_text(text)


def test_the_nearest_says_where_the_engine_is(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert engine_host(None, home) == DEFAULT_HOST
    context(tmp_path, "colima", "unix:///c.sock")
    context(tmp_path, "far", "ssh://me@far")
    assert engine_host(None, home) == DEFAULT_HOST
    config(tmp_path, '{"currentContext": "colima"}')
    assert engine_host(None, home) == "unix:///c.sock"
    assert engine_host(None, {**home, "DOCKER_CONTEXT": "far"}) == "ssh://me@far"
    assert engine_host(None, {**home, "DOCKER_CONTEXT": "default"}) == DEFAULT_HOST
    assert engine_host(None, {**home, "DOCKER_HOST": "tcp://h:1"}) == "tcp://h:1"
    assert engine_host("unix:///own.sock", {**home, "DOCKER_HOST": "tcp://h:1"}) == "unix:///own.sock"


def test_docker_s_config_elsewhere(tmp_path: Path) -> None:
    context(tmp_path, "colima", "unix:///c.sock")
    config(tmp_path, '{"currentContext": "colima"}')
    assert engine_host(None, {"HOME": "/nonexistent", "DOCKER_CONFIG": f"{tmp_path}/.docker"}) == "unix:///c.sock"


def test_a_context_that_leads_nowhere(tmp_path: Path) -> None:
    config(tmp_path, '{"currentContext": "gone"}')
    with pytest.raises(Usage, match="gone"):
        engine_host(None, {"HOME": str(tmp_path)})


def test_a_broken_docker_config_is_named(tmp_path: Path) -> None:
    config(tmp_path, "{")
    with pytest.raises(Usage, match=r"\.docker/config\.json"):
        engine_host(None, {"HOME": str(tmp_path)})


@pytest.fixture
def bind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Makes sockets; an address has room for 107 bytes, so it is bound from its folder."""
    with ExitStack() as opened:

        def make(path: Path) -> str:
            path.parent.mkdir(parents=True, exist_ok=True)
            monkeypatch.chdir(path.parent)
            opened.enter_context(socket.socket(socket.AF_UNIX)).bind(path.name)
            return f"unix://{path}"

        yield make


USUAL = (
    "root/var/run/docker.sock",
    "root/run/user/{uid}/docker.sock",
    "home/.colima/default/docker.sock",
    "home/.colima/work/docker.sock",
    "home/.colima/docker.sock",
    "home/.config/colima/default/docker.sock",
    "home/.orbstack/run/docker.sock",
    "home/.docker/run/docker.sock",
    "home/.docker/desktop/docker.sock",
    "home/.rd/docker.sock",
    "root/run/user/{uid}/podman/podman.sock",
    "root/run/podman/podman.sock",
    "home/.local/share/containers/podman/machine/podman.sock",
)


def test_every_usual_socket_is_found_without_a_login_shell(tmp_path: Path, bind: Any) -> None:
    """No variable but HOME, which the password file has, too."""
    paths = [tmp_path / name.format(uid=os.getuid()) for name in USUAL]
    urls = [bind(path) for path in reversed(paths)]
    assert sockets({"HOME": f"{tmp_path}/home"}, f"{tmp_path}/root") == urls[::-1]


def test_variables_of_a_shell_are_honoured(tmp_path: Path, bind: Any) -> None:
    named = {"COLIMA_HOME": "c", "XDG_RUNTIME_DIR": "r", "XDG_CONFIG_HOME": "x"}
    environ = {"HOME": f"{tmp_path}/home", **{name: f"{tmp_path}/{place}" for name, place in named.items()}}
    own, default, work, config = (
        bind(tmp_path / path)
        for path in ("r/docker.sock", "c/default/docker.sock", "c/work/docker.sock", "x/colima/default/docker.sock")
    )
    assert sockets(environ, f"{tmp_path}/root") == [own, default, work, config]
    assert sockets({**environ, "COLIMA_PROFILE": "work"}, f"{tmp_path}/root") == [own, work, default, config]


def test_what_is_no_socket_or_may_not_be_used_comes_last(tmp_path: Path, bind: Any) -> None:
    closed, opened = bind(tmp_path / "root/var/run/docker.sock"), bind(tmp_path / "home/.orbstack/run/docker.sock")
    (tmp_path / "home/.rd").mkdir()
    (tmp_path / "home/.rd/docker.sock").write_text("")
    environ = {"HOME": f"{tmp_path}/home"}
    assert sockets(environ, f"{tmp_path}/root") == [closed, opened]
    (tmp_path / "root/var/run/docker.sock").chmod(0)
    wanted = [closed, opened] if os.geteuid() == 0 else [opened, closed]
    assert sockets(environ, f"{tmp_path}/root") == wanted


def test_a_home_folder_that_cannot_be_looked_at_is_no_error(tmp_path: Path) -> None:
    """As one of another account; here its name is too long."""
    assert sockets({"HOME": f"{tmp_path}/{'x' * 300}"}, str(tmp_path)) == []


def test_what_containers_must_see(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    own, others = folders(str(tmp_path / "state"), str(tmp_path / "secrets"), ["/etc", "/etc", "/srv/media"])
    assert own == [tmp_path / "state"]
    assert others == [tmp_path / "secrets", Path("/etc"), Path("/srv/media")], "not written into"


def program(path: Path, script: str = "echo 2.30.1", mode: int = 0o755) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(mode)
    return str(path)


def test_compose_is_taken_from_the_user_s_plugins_first(tmp_path: Path) -> None:
    own = program(tmp_path / ".docker/cli-plugins/docker-compose")
    assert find_compose(None, {"HOME": str(tmp_path), "PATH": ""}) == own


def test_the_setting_wins_and_must_be_right(tmp_path: Path) -> None:
    named = program(tmp_path / "compose")
    assert find_compose(named, {"HOME": str(tmp_path)}) == named
    with pytest.raises(Usage, match="absent"):
        find_compose(str(tmp_path / "absent"), {"HOME": str(tmp_path)})
    with pytest.raises(Usage, match="plain"):
        find_compose(program(tmp_path / "plain", mode=0o644), {"HOME": str(tmp_path)})


@pytest.mark.parametrize(("printed", "version"), [("2.26.1-4", (2, 26)), ("v2.20.0", (2, 20)), ("5.0.0-rc.1", (5, 0))])
def test_versions(tmp_path: Path, printed: str, version: tuple[int, int]) -> None:
    assert compose_version(program(tmp_path / "compose", f"echo {printed}")) == version


def test_a_version_is_asked_again_of_a_binary_that_was_replaced(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    path = program(tmp_path / "compose", f"echo x >>{asked}; echo 2.26.1")
    assert [compose_version(path) for _ in range(3)] == [(2, 26)] * 3
    assert asked.read_text() == "x\n"
    Path(program(tmp_path / "newer", "echo 2.40.0")).replace(path)
    assert compose_version(path) == (2, 40)
    Path(program(tmp_path / "older", "echo 2.19.0")).replace(path)
    for _ in range(2):
        with pytest.raises(Transient, match=r"2\.20 or newer"):
            compose_version(path)


@pytest.mark.parametrize("script", ["echo 1.29.2", "echo 2.19.9", "exit 0", "echo 2.26.1; exit 1"])
def test_versions_that_do_not_do(tmp_path: Path, script: str) -> None:
    with pytest.raises(Transient, match=r"2\.20 or newer"):
        compose_version(program(tmp_path / "compose", script))


def test_a_real_one(compose_binary: Path) -> None:
    assert compose_version(str(compose_binary)) >= (2, 20)
