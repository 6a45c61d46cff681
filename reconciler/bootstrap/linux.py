"""The plan for a Debian or Ubuntu machine."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace

from reconciler.bootstrap import adoption, agent, engine, engine_settings, linux_facts
from reconciler.bootstrap.engine import apt
from reconciler.bootstrap.linux_facts import LinuxFacts
from reconciler.bootstrap.model import Bundle, Change, Lines, Plan, Wanted
from reconciler.bootstrap.places import Places
from reconciler.formats.quantities import shown
from reconciler.model.checks import Check
from reconciler.model.service import Platform

LEAST_FREE = 3 << 30
"""Free bytes that the packages, the program and the first images need."""

PYTHONS = {"22.04": "python3.11"}
"""Ubuntu's releases whose own Python is too old, and the newer one that they have."""

RELEASES = {"debian": (12,), "ubuntu": (22, 4)}
"""The oldest supported releases."""

_REPAIR = (
    "tried=0; until DEBIAN_FRONTEND=noninteractive dpkg --force-confold --configure -a; "
    "do tried=$((tried + 1)); [ $tried -lt 60 ] || exit 1; sleep 5; done"
)
"""dpkg does not wait for its lock by itself, and an earlier run that the laptop has lost may still hold it."""

AUTOMATIC = b'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'

PYTHON_OF = {"12": (3, 11), "13": (3, 13), "22.04": (3, 11), "24.04": (3, 12), "25.10": (3, 13), "26.04": (3, 14)}
"""Release → major and minor version of the Python that it installs."""


def places(wanted: Wanted) -> Places:
    return Places(
        Platform.SYSTEMD, "reconciler", "reconciler", "/home/reconciler", "/usr/bin/python3", branch=wanted.branch
    )


def script(wanted: Wanted) -> str:
    return linux_facts.script(places(wanted), wanted)


def read(lines: Lines) -> LinuxFacts:
    return linux_facts.read(lines)


def python(facts: LinuxFacts) -> tuple[int, int]:
    """The machine's version; if it has none yet or one that is too old, the version that its release installs."""
    major, _, minor = facts.python.partition(".")
    if facts.release in PYTHONS or not minor.isdecimal():
        return PYTHON_OF.get(facts.release, (3, 13))
    return int(major), int(minor)


def plan(facts: LinuxFacts, wanted: Wanted, bundle: Bundle) -> Plan:
    there = replace(places(wanted), python=f"/usr/bin/{PYTHONS.get(facts.release, 'python3')}")
    refusals = (
        *_refusals(facts),
        *engine.refusals(facts),
        *engine_settings.refusals(facts, wanted, engine.installs(facts)),
        *agent.refusals(there, facts.have, wanted),
    )
    changes = (
        *_packages(facts, there, wanted),
        *engine.engine_changes(facts, wanted),
        *_care(facts),
        *_accounts(facts, there, wanted),
        *agent.agent_changes(there, facts.have, wanted, bundle, facts.memory),
    )
    return Plan(changes, refusals, tuple(_notes(facts, wanted)))


def _refusals(facts: LinuxFacts) -> Iterator[Check]:
    oldest = RELEASES.get(facts.id)
    version = tuple(int(part) for part in facts.release.split(".") if part.isdecimal())
    if not facts.apt or oldest is None:
        hint = "install the agent by hand (docs/service.md), or use Debian 12 or Ubuntu 22.04 or later"
        yield Check("system", False, f"{facts.pretty or 'this system'} is neither Debian nor Ubuntu", hint)
    elif version and version < oldest:  # Debian testing and unstable have no number
        least = ".".join(f"{part:02}" if number else str(part) for number, part in enumerate(oldest))
        told = f"{facts.pretty} is too old: {facts.id.capitalize()} {least} or later is needed"
        yield Check("system", False, told, "install a newer release of it")
    if not facts.systemd:
        hint = "start it as a machine or a system container; for a plain container see docs/container.md"
        yield Check("systemd", False, "systemd does not run on this machine", hint)
    if facts.readonly:
        told = f"nothing can be written into {', '.join(facts.readonly)}"
        yield Check("readonly", False, told, "mount it writable: findmnt --target " + facts.readonly[0])
    if facts.account_shell and not facts.account_shell.endswith(("/nologin", "/false")):
        told = "the account reconciler exists on this machine and can log in; the agent's account must not"
        yield Check("account", False, told, "give that account another name there: usermod -l OTHER reconciler")
    if not facts.have.versions and facts.free < LEAST_FREE:
        told = f"only {shown(facts.free)} are free; at least {shown(LEAST_FREE)} are needed"
        yield Check("disk", False, told, "make room: sudo apt clean; df -h; du -xh / | sort -h | tail")


def _packages(facts: LinuxFacts, there: Places, asked: Wanted) -> Iterator[Change]:
    python = there.python.rpartition("/")[2]
    wanted = [python, f"{python}-venv", "git", "sudo", "ca-certificates", "openssh-client"]
    wanted += ["acl"] if adoption.adopts(facts.have, asked) and facts.have.closed else []
    missing = [name for name in wanted if name not in facts.packages]
    yield Change(
        "apt-repair",
        "Finish an installation of packages that was cut off",
        arguments={"commands": [_REPAIR, apt("-y -f install")]},
        needed=facts.broken,
        timeout=1800,
    )
    yield from engine.sources(facts)
    yield Change(
        "package-lists",
        "Read the lists of packages",
        arguments={"commands": [apt("-o Acquire::Languages=none update")]},
        needed=bool(missing or engine.packages(facts) or _lacks_updates(facts) or _lacks_clock(facts)),
        hint="can the machine reach its package mirror? `sudo apt update` there says more",
    )
    yield Change(
        "packages",
        f"Install {', '.join(missing)}",
        arguments={"commands": [apt(f"install -y --no-install-recommends {shlex.join(missing)}")]},
        needed=bool(missing),
        timeout=1800,
    )


def _care(facts: LinuxFacts) -> Iterator[Change]:
    """Changes that keep the machine in order: security updates, and a synchronised clock."""
    yield Change(
        "security-updates",
        "Let the machine install security updates by itself (unattended-upgrades)",
        arguments={"commands": [apt("install -y --no-install-recommends unattended-upgrades")]},
        needed=_lacks_updates(facts) and "unattended-upgrades" not in facts.packages,
        timeout=1800,
    )
    yield Change(
        "security-updates-daily",
        "Look for security updates each day",
        "files.put",
        {
            "data": AUTOMATIC,
            "dest": "/etc/apt/apt.conf.d/20auto-upgrades",
            "user": "root",
            "group": "root",
            "mode": "644",
        },
        needed=_lacks_updates(facts),
    )
    yield Change(
        "clock-package",
        "Install systemd-timesyncd, which sets the clock by the network",
        arguments={"commands": [apt("install -y --no-install-recommends systemd-timesyncd")]},
        needed=_lacks_clock(facts) and not facts.timesyncd,
        timeout=1800,
    )
    yield Change(
        "clock",
        "Set the clock by the network",
        "systemd.service",
        {"service": "systemd-timesyncd.service", "running": True, "enabled": True},
        needed=_lacks_clock(facts),
    )


def _accounts(facts: LinuxFacts, there: Places, wanted: Wanted) -> Iterator[Change]:
    account, group = there.account, there.group
    yield Change(
        "group", f"Make the group {group}", "server.group", {"group": group, "system": True},
        needed=group not in facts.account_groups | facts.login_groups,
    )  # fmt: skip
    yield Change(
        "account",
        f"Make the account {account} for the agent, with the right to use the engine (which is as powerful as root)",
        "server.user",
        {
            "user": account, "group": group, "groups": ["docker"], "append": True, "system": True,
            "home": there.home, "shell": "/usr/sbin/nologin", "ensure_home": True,
        },
        needed=not {group, "docker"} <= facts.account_groups,
    )  # fmt: skip
    yield Change(
        "state",
        f"Make the folder {there.state} for the agent's state",
        "files.directory",
        {"path": there.state, "user": account, "group": group, "mode": "700"},
        needed=not facts.have.running,
    )
    if wanted.login != "root":
        yield Change(
            "login-group",
            f"Let {wanted.login} push to the repository (member of the group {group})",
            "server.user",
            {"user": wanted.login, "groups": [group], "append": True, "ensure_home": False},
            needed=group not in facts.login_groups,
        )
    rule = f"%{group} ALL=({account}) NOPASSWD: ALL\n"
    yield Change(
        "verbs",
        f"Let the group {group} run verbs as {account} without a password (reconciler --on {wanted.name} …)",
        "files.put",
        {"data": rule.encode(), "dest": linux_facts.SUDOERS, "user": "root", "group": "root", "mode": "440"},
        needed=facts.sudoers != rule,
    )


def _lacks_updates(facts: LinuxFacts) -> bool:
    return not facts.unattended or "unattended-upgrades" not in facts.packages


def _lacks_clock(facts: LinuxFacts) -> bool:
    """Whether nothing sets the clock. A machine that is a container uses the clock of its host."""
    return not (facts.container or facts.timekeeper or facts.synchronised)


def _notes(facts: LinuxFacts, wanted: Wanted) -> Iterator[str]:
    if facts.swap:
        yield f"The machine has {shown(facts.swap)} of swap. It is left as it is."
    else:
        yield "The machine has no swap, and is left so: a container that needs more than its limit is ended."
    if facts.overcommit == 2:
        yield "vm.overcommit_memory is 2, and is left so: the kernel refuses memory that programs only reserve."
    else:
        yield f"vm.overcommit_memory is {facts.overcommit}, and is left so. Redis asks for 1; sysctl sets it."
    yield from engine_settings.notes(facts, wanted, engine.installs(facts))
    yield from adoption.notes(facts.have, wanted)
