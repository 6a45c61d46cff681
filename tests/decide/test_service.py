"""The files of the service: golden texts, systemd's own judgement of them, and what launchd would read."""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.decide.service.files import (
    MARKS,
    forget_commands,
    restart_commands,
    service_files,
    start_commands,
    stop_commands,
)
from reconciler.model.service import AGENT, BESIDE, ENGINE_READ, MONITOR, UPGRADE, Platform, Service, ServiceCommand
from tests.golden import CASES, matches

PLAIN = Service(
    program=("/opt/reconciler/current/bin/reconciler",),
    config="/etc/reconciler/reconciler.yaml",
    user="root",
    home="/root",
    state="/var/lib/reconciler",
    writable=("-/srv/git/home.git", "-/etc/reconciler/secrets"),
)
SERVICES = {
    "root": (Platform.SYSTEMD, PLAIN),
    "other-account": (Platform.SYSTEMD, replace(PLAIN, foreign=True, control_groups=True)),
    "user": (Platform.SYSTEMD, replace(PLAIN, user="reconciler", home="/var/lib/reconciler")),
    "rootless": (
        Platform.SYSTEMD_USER,
        replace(
            PLAIN,
            user="me",
            home="/home/me",
            folder="/home/me/.config/systemd/user",
            environment={"DOCKER_HOST": "unix:///run/user/1000/docker.sock"},
        ),
    ),
    "mac": (
        Platform.LAUNCHD,
        replace(
            PLAIN,
            config="/Users/me/.config/reconciler/reconciler.yaml",
            user="me",
            home="/Users/me",
            state="/Users/me/.local/state/reconciler",
            environment={"DOCKER_HOST": "unix:///Users/me/.colima/default/docker.sock"},
        ),
    ),
}
MOST_EXPOSED = 3.0
"""Out of ten, which `systemd-analyze security` gives to a service without any protection."""


BESIDE_IT = {
    "beside": (Platform.SYSTEMD, replace(PLAIN, beside=BESIDE)),
    "beside-user": (Platform.SYSTEMD, replace(SERVICES["user"][1], beside=BESIDE)),
    "beside-rootless": (Platform.SYSTEMD_USER, replace(SERVICES["rootless"][1], beside=BESIDE)),
    "beside-mac": (Platform.LAUNCHD, replace(SERVICES["mac"][1], beside=(MONITOR,))),
    "self-update": (Platform.SYSTEMD, replace(PLAIN, self_update=True)),
    "self-update-rootless": (Platform.SYSTEMD_USER, replace(SERVICES["rootless"][1], self_update=True)),
}


def unit(service: Service, platform: Platform = Platform.SYSTEMD, verb: str = AGENT) -> str:
    found = [item for item in service_files(platform, service) if item.verb == verb and item.path.endswith("service")]
    (file,) = found
    return file.data.decode()


@pytest.mark.parametrize("name", SERVICES)
def test_files_are_as_written(name: str) -> None:
    platform, service = SERVICES[name]
    (file,) = service_files(platform, service)
    matches(CASES / "service" / f"{name}.txt", f"{file.path} {file.mode:o}\n{file.data.decode()}")
    assert any(mark in file.data for mark in MARKS)


@pytest.mark.parametrize("name", BESIDE_IT)
def test_files_beside_the_agent_are_as_written(name: str) -> None:
    platform, service = BESIDE_IT[name]
    agent, *files = service_files(platform, service)
    assert agent == service_files(platform, replace(service, beside=(), self_update=False))[0]
    assert all(any(mark in file.data for mark in MARKS) for file in files)
    texts = [f"{file.path} {file.mode:o}\n{file.data.decode()}" for file in files]
    matches(CASES / "service" / f"{name}.txt", "\n".join(texts))


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        *((name, AGENT) for name in ("root", "other-account", "user")),
        *((name, verb) for name in ("beside", "beside-user") for verb in BESIDE),
        ("self-update", UPGRADE),
    ],
)
def test_systemd_itself_finds_the_unit_well_closed(name: str, verb: str, tmp_path: Path) -> None:
    _require_systemd()
    (tmp_path / "reconciler.service").write_text(unit({**SERVICES, **BESIDE_IT}[name][1], verb=verb))
    done = _analyze("security", "--offline=true", str(tmp_path / "reconciler.service"))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED, done.stdout


def test_systemd_itself_understands_any_path_and_value(tmp_path: Path) -> None:
    """It reports settings that it does not know, and words that it cannot read."""
    _require_systemd()
    program = tmp_path / 'my %h $HOME program\'s "copy"' / "reconciler"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    odd = replace(
        PLAIN,
        program=(str(program),),
        config=f"{tmp_path}/a b/50%.yaml",
        state=f"{tmp_path}/it's mine",
        writable=(f"-{tmp_path}/back\\slash", "-/srv/#1;2"),
        environment={"DOCKER_HOST": 'unix:///tmp/a "b" %n.sock'},
    )
    for name, (platform, service) in {**SERVICES, "odd": (Platform.SYSTEMD, odd)}.items():
        if platform is Platform.LAUNCHD:
            continue
        service = replace(service, program=(str(program),), user="root", beside=BESIDE, self_update=True)
        folder = tmp_path / name
        folder.mkdir()
        for file in service_files(platform, service):
            (folder / Path(file.path).name).write_bytes(file.data)
        units = [str(path) for path in sorted(folder.iterdir())]
        assert len(units) == 5
        done = _analyze("verify", "--recursive-errors=no", "--man=no", *units)
        assert (done.returncode, done.stderr) == (0, ""), name


def test_an_agent_that_is_not_root_has_no_capability_at_all() -> None:
    assert "\nCapabilityBoundingSet=\n" in unit(SERVICES["user"][1])


def test_another_accounts_repository_is_the_only_reason_to_become_that_account() -> None:
    assert "CAP_SETUID" not in unit(PLAIN)
    assert "SystemCallFilter=~@privileged" in unit(PLAIN)
    foreign = unit(replace(PLAIN, foreign=True))
    assert "CAP_SETUID" in foreign
    assert "SystemCallFilter=~@privileged" not in foreign


@pytest.mark.parametrize(
    "service",
    [
        replace(PLAIN, state="/tmp/state"),
        replace(PLAIN, writable=("-/var/tmp/home.git",)),
        replace(PLAIN, used=("/tmp/docker.sock",)),
        replace(PLAIN, config="/tmp/reconciler.yaml"),
    ],
)
def test_what_lies_in_a_shared_tmp_stays_visible(service: Service) -> None:
    assert "PrivateTmp=yes" in unit(PLAIN)
    assert "PrivateTmp=no" in unit(service)


def test_launchd_gets_a_list_that_it_can_read() -> None:
    (file,) = service_files(*SERVICES["mac"])
    read = plistlib.loads(file.data)
    assert read["ProgramArguments"][-3:] == ["--config", "/Users/me/.config/reconciler/reconciler.yaml", "run"]
    assert (read["UserName"], read["KeepAlive"], read["RunAtLoad"]) == ("me", True, True)
    assert read["ExitTimeOut"] > 20
    assert read["EnvironmentVariables"]["HOME"] == "/Users/me"
    assert "/opt/homebrew/bin" in read["EnvironmentVariables"]["PATH"].split(":")
    assert read["EnvironmentVariables"]["RECONCILER_LOG_FILE"] == read["StandardErrorPath"]
    assert file.path.startswith("/Library/LaunchDaemons/")


def test_what_only_reads_the_engine_has_no_network_and_writes_its_state_alone() -> None:
    text = unit(BESIDE_IT["beside"][1], verb=ENGINE_READ)
    assert "\nRestrictAddressFamilies=AF_UNIX\n" in text
    assert "\nPrivateNetwork=yes\n" in text
    for verb in BESIDE:
        assert "\nReadWritePaths=/var/lib/reconciler\n" in unit(BESIDE_IT["beside"][1], verb=verb)
        assert "CAP_SETUID" not in unit(replace(PLAIN, foreign=True, beside=BESIDE), verb=verb)


VERBS = (AGENT, *BESIDE)


@pytest.mark.parametrize("platform", Platform)
def test_the_service_is_ended_before_its_files_go(platform: Platform) -> None:
    started = _lines(start_commands(platform, PLAIN, VERBS))
    stopped, restarted = _lines(stop_commands(platform, VERBS)), _lines(restart_commands(platform, VERBS))
    assert set(restarted) <= {*started, *_KICKS}
    assert len(restarted) == 3
    assert all("disable --now" in line or "bootout" in line for line in stopped)
    assert not any("restart" in line for line in _lines(forget_commands(platform, VERBS)))
    assert any("enable-linger" in line for line in started) is (platform is Platform.SYSTEMD_USER)
    later = _lines(start_commands(platform, PLAIN, VERBS, now=False))
    assert set(later) < set(started)
    assert not any("restart" in line or "bootstrap" in line for line in later)


@pytest.mark.parametrize("platform", Platform)
def test_what_runs_beside_the_agent_may_fail_at_an_upgrade(platform: Platform) -> None:
    assert [item.needed for item in restart_commands(platform, VERBS)] == [True, False, False]


_KICKS = [f"launchctl kickstart -k system/dev.reconciler{suffix}" for suffix in ("", ".monitor", ".engine-read")]


def _lines(commands: Iterable[ServiceCommand]) -> list[str]:
    return [" ".join(item.argv) for item in commands]


def _require_systemd() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")


def _analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "SYSTEMD_COLORS": "0", "SYSTEMD_LOG_LEVEL": "warning"}
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, env=environment, timeout=60)
