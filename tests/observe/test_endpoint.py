"""The engine and Compose are found where Docker's own command line would find them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from reconciler.errors import Transient, Usage
from reconciler.observe.binary import compose_version, find_compose
from reconciler.observe.endpoint import DEFAULT_HOST, engine_host


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
