"""The plan for a Debian or Ubuntu machine follows from its facts."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.bootstrap import agent, linux, linux_facts
from reconciler.bootstrap.engine import apt
from reconciler.bootstrap.model import BARE, parse
from reconciler.bootstrap.places import Have
from reconciler.decide.read.parse import host_document
from reconciler.formats.yamls import document
from reconciler.settings import load_settings
from tests.bootstrap.facts import BUNDLE, GIB, WANTED, facts, names, plan
from tests.fakes.source import TextFiles

FINISHED = facts(
    packages=frozenset({"python3", "python3-venv", "git", "sudo", "ca-certificates", "openssh-client",
                        "unattended-upgrades", "docker.io"}),
    engine="26.1.5+dfsg1", compose="2.26.1", dockerd=True, unattended=True, timekeeper="systemd-timesyncd",
    account_groups=frozenset({"reconciler", "docker"}), login_groups=frozenset({"me", "reconciler"}),
    sudoers="%reconciler ALL=(reconciler) NOPASSWD: ALL\n", python="3.11",
    have=Have(
        versions=frozenset({BUNDLE.folder}), current=BUNDLE.folder,
        config={"host": "mini", "source": {"url": "/srv/git/home.git"}}, secrets=True, unit=True, running=True,
        enabled=True, repository=True, commit=True, safe=True, command=True,
    ),
)  # fmt: skip


def test_a_bare_machine_gets_everything_in_an_order_that_works() -> None:
    made = names(plan())
    assert made.index("apt-pin") < made.index("apt-source") < made.index("package-lists") < made.index("engine")
    assert made.index("engine-settings") < made.index("engine") < made.index("account") < made.index("state")
    assert made.index("program") < made.index("repository") < made.index("first-commit") < made.index("service")
    assert plan().refusals == ()
    assert len(set(names(plan()))) == len(made)


def test_a_finished_machine_needs_no_change() -> None:
    assert names(plan(FINISHED)) == []


@pytest.mark.parametrize(
    ("lost", "needed"),
    [
        ({"engine": "20.10.24"}, ["apt-pin", "apt-source", "package-lists", "engine", "engine-service"]),
        ({"compose": "2.5.0"}, ["apt-pin", "apt-source", "package-lists", "engine"]),
        ({"engine": ""}, ["engine-service"]),
        ({"timekeeper": ""}, ["package-lists", "clock-package", "clock"]),
        ({"timekeeper": "", "container": True}, []),
        ({"broken": True}, ["apt-repair"]),
        ({"login_groups": frozenset({"me"})}, ["login-group"]),
        ({"have": replace(FINISHED.have, running=False)}, ["state", "service"]),
        ({"have": replace(FINISHED.have, unit=False)}, ["service"]),
        ({"have": replace(FINISHED.have, current="")}, ["current"]),
        ({"have": replace(FINISHED.have, command=False)}, ["command"]),
        ({"have": replace(FINISHED.have, commit=False)}, ["first-commit"]),
    ],
)
def test_only_missing_parts_are_changed(lost: dict[str, object], needed: list[str]) -> None:
    assert names(plan(replace(FINISHED, **lost))) == needed  # type: ignore[arg-type]


def test_an_engine_from_docker_com_is_not_replaced() -> None:
    ce = replace(FINISHED, packages=FINISHED.packages - {"docker.io"} | {"docker-ce"}, engine="27.5.1", compose="")
    engine = next(change for change in plan(ce).changes if change.name == "engine")
    assert "docker-compose-plugin" in engine.arguments["commands"][0]
    assert [item.name for item in plan(replace(ce, engine="24.0.9")).refusals] == ["engine"]


def test_another_version_is_installed_by_upgrade() -> None:
    newer = replace(BUNDLE, folder="0.3.0-00000000")
    made = {change.name: change for change in plan(FINISHED, bundle=newer).changes if change.needed}
    assert [*made] == ["versions-folder", "wheels", "upgrade"]
    assert made["upgrade"].arguments["commands"][-1].endswith(f" upgrade /opt/reconciler/wheels/{BUNDLE.wheel}")
    unpacked = replace(FINISHED, have=replace(FINISHED.have, versions=frozenset({BUNDLE.folder, newer.folder})))
    assert names(plan(unpacked, bundle=newer)) == ["upgrade"]


@pytest.mark.parametrize(
    ("found", "refused", "told"),
    [
        (facts(id="fedora", apt=False), "system", "neither Debian nor Ubuntu"),
        (facts(id="debian", release="11"), "system", "Debian 12 or later"),
        (facts(id="ubuntu", release="20.04"), "system", "Ubuntu 22.04 or later"),
        (facts(systemd=False), "systemd", "systemd does not run"),
        (facts(free=1 << 30), "disk", "only 1 GiB"),
        (facts(readonly=("/opt",)), "readonly", "findmnt --target /opt"),
        (facts(account_shell="/bin/bash"), "account", "exists on this machine"),
        (facts(have=Have(config={"host": "nas", "source": {"url": "/srv/git/home.git"}})), "name", "nas, not of mini"),
        (facts(have=Have(config={"host": "mini", "source": {"url": "https://x/y"}})), "repository", "https://x/y"),
        (
            facts(have=Have(config={"host": "mini", "source": {"url": "/srv/git/home.git", "branch": "next"}})),
            "branch",
            "the branch next, not main",
        ),
    ],
)
def test_a_machine_that_does_not_fit_is_refused_with_the_reason(
    found: linux_facts.LinuxFacts, refused: str, told: str
) -> None:
    made = {item.name: f"{item.message} {item.hint}" for item in plan(found).refusals}
    assert told in made[refused]


def test_the_agent_config_and_the_first_commit_are_valid(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("config")
    folder.chmod(0o755)
    path = folder / "reconciler.yaml"
    path.write_bytes(agent.config(linux.places(WANTED), WANTED))
    path.chmod(0o640)
    settings = load_settings(str(path), {})
    assert (settings.host, settings.source.url, settings.trust) == ("mini", "/srv/git/home.git", "owner")
    for memory, budget in ((16 * GIB, 14 * GIB), (4 * GIB, 3 * GIB), (1 * GIB, GIB // 2)):
        text = agent.first_document("mini", memory)
        found, wrong = host_document(TextFiles({"desired-state/mini.yaml": text}), "mini", "")
        assert found is not None
        assert (wrong, found.memory.budget, found.stacks) == ((), budget, ())


def test_facts_are_read_from_lines() -> None:
    def packed(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    unit = "[Unit]\n"
    printed = json.dumps({"files": [{"path": "/etc/x.service", "content": unit}]})
    there = f"{packed(unit)} /etc/x.service"
    lines = parse(f"print={packed(printed)}\nunit={there}\nconfig={packed('host: mini')}\nsafe=yes\nnoise\n=x\n")
    have = linux_facts.have(lines)
    assert (have.unit, have.config, have.safe, have.commit) == (True, {"host": "mini"}, True, False)
    assert not linux_facts.have(parse(f"print={packed(printed)}\nunit={packed('other')} /etc/x.service\n")).unit
    assert linux_facts.have(parse("config=%%%\n")).config is None
    assert document(b"host: mini", "x").value == {"host": "mini"}
    assert WANTED.repository == BARE


def test_apt_is_called_again_while_somebody_else_reads_the_package_lists(tmp_path: Path) -> None:
    """apt-get waits for dpkg's lock by itself, and for no other."""
    (tmp_path / "apt-get").write_text(
        '#!/bin/sh\necho call >>"$0.calls"\n[ $(wc -l <"$0.calls") -lt 2 ] || exit $(cat "$0.code")\n'
        "echo 'E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)' >&2; exit 100\n"
    )
    (tmp_path / "apt-get").chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    environ = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    for code in ("0", "7"):
        (tmp_path / "apt-get.code").write_text(code)
        (tmp_path / "apt-get.calls").write_text("")
        done = subprocess.run(["sh", "-c", apt("update")], env=environ, capture_output=True)
        assert (done.returncode, (tmp_path / "apt-get.calls").read_text()) == (int(code != "0"), "call\ncall\n")
