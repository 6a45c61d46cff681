"""The plan for a Mac with Apple silicon: Homebrew's programs, Colima, and settings that keep the machine awake.

Nothing of it has ever run on a Mac. Tests compare its facts, files and commands as texts, and run its script with real
processes on Linux.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from posixpath import join

from reconciler.bootstrap import agent, mac_facts
from reconciler.bootstrap.mac_colima import Machine, Merged, Mount, Unreadable, merge
from reconciler.bootstrap.mac_facts import BREW, MacFacts, read
from reconciler.bootstrap.model import BARE, LOGIN, Bundle, Change, Plan, Wanted
from reconciler.bootstrap.places import Places
from reconciler.decide.service.colima import colima_commands, colima_list
from reconciler.decide.service.launchd import PROGRAMS
from reconciler.model.checks import Check
from reconciler.model.service import Platform

__all__ = ["places", "plan", "python", "read", "script"]

OLDEST = 13
"""macOS: the first with virtiofs and the virtual machines that Colima's `vz` needs."""
FORMULAE = ("colima", "docker", "docker-compose", "docker-buildx", "git")
PYTHON = 13
"""Minor version of the Python that is installed where Homebrew has none: the libraries have wheels for it."""
PLUGINS = ("docker-compose", "docker-buildx")
POWER = {
    "sleep": 0, "disksleep": 0, "displaysleep": 10, "autorestart": 1, "womp": 1, "powernap": 0, "tcpkeepalive": 1,
}  # fmt: skip
"""Never asleep, on again after a power cut, wakes for the network. `displaysleep` in minutes."""
SHARE = 0.75
"""Share of the Mac's memory for the virtual machine, so that macOS keeps 4 of 16 GiB. The virtual machine never gives
memory back."""
GIB = 1 << 30
LEAST_FOR_MACOS = 2 * GIB
SCRIPT = "/opt/reconciler/colima-boot.sh"
INSTALL_BREW = (
    "on the Mac, as an administrator: "
    '/bin/bash -c "$(curl -fsSL https://raw.githubusercontent.com/Homebrew/install/HEAD/install.sh)"; '
    "then run the same command again"
)
UNTRIED = (
    "no part of the bootstrap was ever run on a Mac: see docs/setup-mac-mini.md for how to check each step by hand"
)


def places(wanted: Wanted) -> Places:
    """The agent runs as the account that owns Colima. Folders that containers see are below its home folder, because
    Colima's virtual machine shares nothing else. The group `admin` has the users of sudo."""
    home = wanted.home
    return Places(
        platform=Platform.LAUNCHD,
        account=wanted.login,
        group="admin",
        home=home,
        python=f"{BREW}/bin/python3",
        secrets=f"{home}/.config/reconciler/secrets",
        state=f"{home}/.local/state/reconciler",
        repository=f"{home}/git/home.git" if wanted.repository == BARE else "",
        branch=wanted.branch,
        logs="tail ~/Library/Logs/reconciler.log",
        engine_logs="tail ~/Library/Logs/colima.log",
    )


def script(wanted: Wanted) -> str:
    return mac_facts.script(places(wanted))


def python(facts: MacFacts) -> tuple[int, int]:
    """The newest version that Homebrew has installed, else the one that the plan installs."""
    return 3, max(facts.pythons, default=PYTHON)


def plan(facts: MacFacts, wanted: Wanted, bundle: Bundle) -> Plan:
    version = f"3.{python(facts)[1]}"
    there = replace(places(wanted), python=f"{BREW}/opt/python@{version}/bin/python{version}")
    machine = _machine(facts, there, wanted)
    refusals = [*_refusals(facts, there, machine), *agent.refusals(there, facts.have, wanted)]
    try:
        merged = merge(facts.colima_yaml, machine, there.home, created=facts.machine)
    except Unreadable as error:
        place = _colima_yaml(facts)
        refusals.append(Check("colima", False, f"{place} cannot be read: {error}", "correct the file, or move it away"))
        merged = Merged(facts.colima_yaml or "")
    memory = int(machine.memory * GIB)
    changes = (*_changes(facts, there, merged), *agent.agent_changes(there, facts.have, wanted, bundle, memory))
    return Plan(changes, tuple(refusals), tuple(_notes(facts, machine, merged)))


def _machine(facts: MacFacts, there: Places, wanted: Wanted) -> Machine:
    memory = wanted.engine_memory if wanted.engine_memory is not None else facts.memory * SHARE
    mounts = (Mount(there.state, True), Mount(there.secrets, False))
    return Machine(max(2, facts.cpus - 2), round(memory / GIB, 1), mounts)


def _refusals(facts: MacFacts, there: Places, machine: Machine) -> Iterator[Check]:
    if facts.chip != "arm64":
        yield Check(
            "mac", False, f"this Mac has a processor of type {facts.chip}, not Apple silicon", "use another one"
        )
    if not facts.macos.partition(".")[0].isdecimal() or int(facts.macos.partition(".")[0]) < OLDEST:
        told = f"macOS {facts.macos or 'of unknown version'} is older than {OLDEST}"
        yield Check("mac", False, told, "update it in System Settings > General > Software Update")
    if not facts.brew_owner:
        yield Check("homebrew", False, "Homebrew is missing", INSTALL_BREW)
    elif facts.brew_owner != there.account:
        told = f"Homebrew belongs to {facts.brew_owner}, but you log in as {there.account}, who cannot install with it"
        yield Check("homebrew", False, told, f"bootstrap {facts.brew_owner}@… instead")
    for path in facts.brew_services:
        told = f"Homebrew starts Colima as well ({path}); two that start it disturb each other"
        yield Check("colima", False, told, "on the Mac: brew services stop colima")
    if machine.memory < 2:
        told = f"{machine.memory:g} GiB are too little for the engine"
        yield Check("memory", False, told, "--engine-memory with at least 2GiB")
    if facts.memory and machine.memory * GIB > facts.memory - LEAST_FOR_MACOS:
        told = f"{machine.memory:g} of {facts.memory / GIB:g} GiB for the engine leave macOS less than 2 GiB"
        yield Check("memory", False, told, "--engine-memory with a smaller value")


def _notes(facts: MacFacts, machine: Machine, merged: Merged) -> Iterator[str]:
    yield UNTRIED
    if facts.filevault:
        yield (
            "FileVault is on: after a power cut the Mac waits for a password before it starts anything. "
            "To boot without a person: sudo fdesetup disable"
        )
    if not facts.automatic_login:
        yield (
            "automatic login is off. The engine and the agent start without a login; other things of yours that start "
            "at login do not. To turn it on: System Settings > Users & Groups"
        )
    if facts.updates:
        yield (
            "macOS installs its updates by itself and then restarts: all containers stop in the middle of the night. "
            "To change it: System Settings > General > Software Update > Automatic Updates"
        )
    if facts.keychain:
        yield (
            "Docker keeps logins to registries in the keychain, which cannot be read by programs that run without a "
            "login. For private images: remove credsStore from ~/.docker/config.json, then docker login again"
        )
    missing = [name for name in POWER if name not in facts.power]
    if missing:
        yield f"this Mac does not know the power settings {', '.join(missing)}, so they were left alone"
    for name in facts.others:
        yield f"{name} is installed; the agent uses Colima, and {name} takes memory beside it while it runs"
    yield (
        f"the virtual machine gets {machine.memory:g} of {facts.memory / GIB:g} GiB of memory and "
        f"{machine.cpus} of {facts.cpus} processors; what it has used once, macOS gets back only by `colima restart`"
    )
    if facts.engine and facts.colima_yaml != merged.text:
        yield "Colima runs and takes its new settings only at `colima restart`, which stops all containers for a while"
    yield from merged.differences


def _colima_yaml(facts: MacFacts) -> str:
    return join(facts.colima, "default", "colima.yaml")


def _changes(facts: MacFacts, there: Places, merged: Merged) -> Iterator[Change]:
    yield from _programs(facts)
    wrong = {name: str(value) for name, value in POWER.items() if set(facts.power.get(name, (value,))) != {value}}
    words = " ".join(f"{name} {value}" for name, value in wrong.items())
    yield Change(
        "power",
        "Keep the Mac awake, and let it start again after a power cut",
        arguments={"commands": [f"pmset -a {words}"]},
        needed=bool(wrong),
        hint="System Settings > Energy has the same settings",
    )
    own = {"user": there.account, "group": there.group}
    # As root, pyinfra would make their missing parent folders belong to root.
    for name, folder in (("state", there.state), ("secrets", there.secrets)):
        yield Change(
            f"{name}-folder",
            f"Make {folder}, which containers will see",
            arguments={"commands": [f"umask 077; mkdir -p {shlex.quote(folder)}"]},
            account=LOGIN,
            needed=name not in facts.folders,
        )
    yield Change(
        "colima-yaml",
        "Describe the virtual machine of the engine",
        "files.put",
        {"dest": _colima_yaml(facts), "data": merged.text.encode(), "mode": "644", **own},
        account=LOGIN,
        needed=facts.colima_yaml != merged.text,
    )
    yield from _daemon(facts, there)
    for name in PLUGINS:
        path, target = f"{there.home}/.docker/cli-plugins/{name}", f"{BREW}/lib/docker/cli-plugins/{name}"
        yield Change(
            name,
            f"Let `docker` find its plugin {name}",
            "files.link",
            {"path": path, "target": target, **own},
            account=LOGIN,
            needed=name not in facts.plugins,
        )


def _programs(facts: MacFacts) -> Iterator[Change]:
    missing = [name for name in FORMULAE if name not in facts.formulae]
    if not facts.pythons:
        missing.append(f"python@3.{PYTHON}")
    brew = f"{BREW}/bin/brew"
    yield Change(
        "homebrew",
        f"Install {', '.join(missing) or 'programs'} by Homebrew",
        arguments={"commands": [f"env NONINTERACTIVE=1 PATH={PROGRAMS} {brew} install {' '.join(missing)}"]},
        account=LOGIN,
        needed=bool(missing),
        hint=f"run on the Mac: brew doctor; brew install {' '.join(missing)}",
        timeout=1800,
    )


def _daemon(facts: MacFacts, there: Places) -> Iterator[Change]:
    script = files("reconciler.bootstrap").joinpath("colima-boot.sh").read_bytes()
    root = {"user": "root", "group": "wheel"}
    made = colima_list(SCRIPT, there.account, there.home, facts.colima)
    put = {"dest": SCRIPT, "data": script, "mode": "755", **root}
    yield Change("colima-boot", "Write the script that starts Colima after a power cut as well", "files.put", put)
    yield Change(
        "colima-daemon",
        "Let launchd start Colima at boot",
        "files.put",
        {"dest": made.path, "data": made.data, "mode": f"{made.mode:o}", **root},
    )
    # A loaded daemon is left as it is: loading it again would stop all containers.
    yield Change(
        "colima-start",
        "Start Colima",
        arguments={"commands": [" ".join(item.argv) for item in colima_commands()]},
        needed=not facts.loaded,
        hint=f"its log on the Mac: {there.home}/Library/Logs/colima.log",
    )
    socket = join(facts.colima, "default", "docker.sock")
    ask = f"curl -s -m 10 --unix-socket {shlex.quote(socket)} http://localhost/_ping"
    yield Change(
        "engine",
        "Wait until the engine answers; the first time, Colima fetches its system",
        arguments={
            "commands": [f'n=0; until [ "$({ask})" = OK ]; do n=$((n + 1)); [ $n -lt 180 ] || exit 1; sleep 5; done']
        },
        needed=not facts.engine,
        hint=f"its log on the Mac: {there.home}/Library/Logs/colima.log",
        timeout=2400,
    )
