"""Nothing runs from the working folder, which may be a clone of what others push."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.environment import leave_working_folder
from reconciler.errors import Usage

VERBS = (
    ("validate",), ("plan",), ("once",), ("run",), ("status",), ("history",), ("doctor",), ("resume",),
    ("suspend", "--reason", "x"), ("retry", "main"), ("accept", "main"), ("init", "--host", "mini"),
)  # fmt: skip


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with programs that would leave a marker, named by everything that a pusher could think of."""
    clone = tmp_path / "clone"
    (clone / "tools/cli-plugins").mkdir(parents=True)
    for name in ("tools/compose", "git", "docker-compose", "setpriv", "tools/cli-plugins/docker-compose", "ssh-keygen"):
        (clone / name).write_text(f"#!/bin/sh\necho {name} >>{tmp_path}/marker\n")
        (clone / name).chmod(0o755)
    for name in ("yaml", "loguru", "docker", "jsonschema", "signal", "gitdb"):
        (clone / f"{name}.py").write_text(f"open({str(tmp_path / 'marker')!r}, 'a').write({name!r})\n")
    (clone / "reconciler.yaml").write_text(
        "host: evil\nsource: {url: /evil.git}\nstate: /proc/self/cwd/state\ncompose: /proc/self/cwd/tools/compose\n"
    )
    (clone / ".env").write_text("PATH=.\nRECONCILER_COMPOSE=./tools/compose\n")
    (clone / ".envrc").write_text("export RECONCILER_COMPOSE=./tools/compose\n")
    (clone / "compose.yaml").write_text("services: {web: {image: 'web:1', mem_limit: 32m}}\n")
    return clone


def run(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RECONCILER_")}
    usual = {"HOME": str(clone.parent / "home"), "PATH": f".::{clone.name}:{os.environ['PATH']}:"}
    return subprocess.run(
        [sys.executable, "-m", "reconciler", *arguments], cwd=clone, text=True, capture_output=True, timeout=60,
        env={**kept, **usual, "DOCKER_HOST": "unix:///nowhere/docker.sock", **environment}, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_no_verb_takes_a_config_or_a_program_from_the_working_folder(clone: Path, verb: tuple[str, ...]) -> None:
    named = {"RECONCILER_CONFIG": ""} if verb[0] != "init" else {"HOME": str(clone.parent / "home")}
    more = ("--config", str(clone.parent / "new.yaml")) if verb[0] == "init" else ()
    done = run(clone, *verb, *more, **named)
    assert not (clone.parent / "marker").exists(), (clone.parent / "marker").read_text()
    assert "evil" not in done.stdout
    assert "Traceback" not in done.stderr
    if not more:
        assert done.stderr.count(f"{clone}/reconciler.yaml is ignored") == 1
        assert f"--config {clone}/reconciler.yaml" in done.stderr
    if verb[0] not in ("validate", "init"):
        assert (done.returncode, "there is no agent config" in done.stderr) == (2, True)


def test_named_it_is_the_operators_word(clone: Path) -> None:
    done = run(clone, "status", "--config", "reconciler.yaml")
    assert "is ignored" not in done.stderr
    assert "no agent config" not in done.stderr


def test_paths_of_the_environment_that_count_from_the_working_folder_are_dropped_or_refused() -> None:
    environ = {"PATH": f".::bin:/usr/bin:{os.curdir}/x:/bin"}
    leave_working_folder(environ)
    assert environ == {"PATH": "/usr/bin:/bin"}
    for name in ("HOME", "DOCKER_CONFIG", "DOCKER_CERT_PATH", "TMPDIR"):
        with pytest.raises(Usage, match=rf"\${name} is 'x'"):
            leave_working_folder({name: "x", "PATH": "/bin"})
    only = {"PATH": "."}
    leave_working_folder(only)
    assert only == {"PATH": os.defpath}
