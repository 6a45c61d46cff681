"""Docker Engine and Compose from the distribution's packages, where they are missing or too old."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reconciler.bootstrap import engine_settings
from reconciler.bootstrap.linux_facts import LinuxFacts
from reconciler.bootstrap.model import Change, Wanted
from reconciler.model.checks import Check

ENGINE_LEAST, COMPOSE_LEAST = (25,), (2, 20)

NEXT = {"bookworm": "trixie"}
"""Debian's releases with too old an engine, and the release that has a newer one."""

_APT = "DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold"
"""Waits 300 s for dpkg's lock: a fresh machine may be updating itself. Keeps config files that somebody has changed."""


def apt(words: str) -> str:
    """A command that calls apt-get. It also waits 300 s for the locks of the package lists and of the downloads, for
    which apt-get itself does not wait."""
    return (
        f"end=$(($(date +%s) + 300)); until said=$(LC_ALL=C {_APT} {words} 2>&1); do case $said in "
        "*'Could not get lock'*) [ $(date +%s) -lt $end ] ;; *) false ;; esac || "
        "{ printf '%s\\n' \"$said\"; exit 1; }; sleep 5; done"
    )


OTHER_VENDORS = ("docker-ce",)
PODMAN = "podman-docker"
"""Podman under the name `docker`. It conflicts with the engine's packages."""


def at_least(version: str, least: tuple[int, ...]) -> bool:
    """Whether a version like 26.1.5+dfsg1 is `least` or newer; False for ''."""
    found = tuple(int(part) for part in re.findall(r"\d+", version)[: len(least)])
    return bool(found) and found >= least


def packages(facts: LinuxFacts) -> tuple[str, ...]:
    """The packages to install, as arguments of apt; empty if nothing is needed."""
    engine, compose = _lacks_engine(facts), not at_least(facts.compose, COMPOSE_LEAST)
    if not (engine or compose):
        return ()
    if facts.packages & {*OTHER_VENDORS}:
        return ("docker-compose-plugin",)
    if facts.id == "ubuntu":
        return ("docker.io", "docker-compose-v2", "docker-buildx", "iptables") if engine else ("docker-compose-v2",)
    tools = ("docker-compose", "docker-buildx")
    newer = NEXT.get(facts.codename)
    names = ("docker.io", "docker-cli", "containerd", *tools) if engine else tools
    return (*(f"{name}/{newer}" if newer else name for name in names), *(("iptables",) if engine else ()))


def refusals(facts: LinuxFacts) -> Iterator[Check]:
    """Refuse an engine from docker.com that is too old, because its owner must update it; and programs in the engine's
    place."""
    if PODMAN in facts.packages:
        hint = f"if nothing needs it: sudo apt remove {PODMAN}. Containers of Podman stay, and are not adopted"
        yield Check("engine", False, f"`docker` is Podman on this machine (package {PODMAN})", hint)
    if facts.snap:
        hint = "save the data of its volumes, then: sudo snap remove docker. The next run installs Ubuntu's engine"
        told = "the engine is a snap, which sees only home folders, and the agent's state is elsewhere"
        yield Check("engine", False, told, hint)
    if facts.engine and facts.packages & {*OTHER_VENDORS} and _lacks_engine(facts):
        hint = "update it as you installed it: sudo apt update && sudo apt install docker-ce docker-compose-plugin"
        told = f"the engine is Docker {facts.engine} from docker.com; at least {ENGINE_LEAST[0]} is needed"
        yield Check("engine", False, told, hint)


def sources(facts: LinuxFacts) -> Iterator[Change]:
    """Add Debian's next release as a second source. Its pin is so low that apt takes from it only packages that are
    asked for by name, and their later fixes."""
    newer = NEXT.get(facts.codename) if facts.id == "debian" else None
    needed = any("/" in name for name in packages(facts))
    if newer is None:
        return
    mirror = facts.mirror or "http://deb.debian.org/debian/"
    entries = [(mirror, newer), *([(facts.security, f"{newer}-security")] if facts.security else [])]
    text = "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
        "Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n"
        for uri, suite in entries
    )
    for name, path, told, data in (
        # The pin comes first: a run that is cut off between the two must not upgrade everything.
        ("apt-pin", f"/etc/apt/preferences.d/reconciler-{newer}",
         f"Let apt take nothing from Debian {newer} but what is asked for by name",
         f"Package: *\nPin: release n={newer}*\nPin-Priority: 100\n"),
        ("apt-source", f"/etc/apt/sources.list.d/reconciler-{newer}.sources",
         f"Add Debian {newer} as a source of packages: this release's engine or Compose is too old", text),
    ):  # fmt: skip
        yield Change(
            name, told, "files.put",
            {"data": data.encode(), "dest": path, "user": "root", "group": "root", "mode": "644"}, needed=needed,
        )  # fmt: skip


def installs(facts: LinuxFacts) -> bool:
    """Whether the plan installs an engine where there is none."""
    return not facts.dockerd and bool(packages(facts))


def engine_changes(facts: LinuxFacts, asked: Wanted) -> Iterator[Change]:
    """Install and start the engine. apt's package lists must be read before."""
    wanted = packages(facts)
    lacks = _lacks_engine(facts)
    yield from engine_settings.settings(facts, asked, installs(facts))
    what = "Docker Engine and Compose" if lacks else "Compose"
    stop = f"; {facts.containers} containers stop for that moment" if lacks and facts.containers else ""
    yield Change(
        "engine",
        f"Install {what} ({', '.join(item.partition('/')[0] for item in wanted)}){stop}",
        arguments={"commands": [apt(f"install -y --no-install-recommends {' '.join(wanted)}")]},
        needed=bool(wanted),
        hint="see what apt says; `sudo apt-get -f install` on the machine repairs a broken installation",
        timeout=1800,
    )
    yield Change(
        "engine-service",
        "Start the engine, now and at every boot",
        "systemd.service",
        {"service": "docker.service", "running": True, "enabled": True},
        needed=lacks or not facts.engine,
        hint="see what the engine says: journalctl -u docker -n 50",
    )
    yield engine_settings.restart(facts, asked, installs(facts))


def _lacks_engine(facts: LinuxFacts) -> bool:
    if facts.engine:
        return not at_least(facts.engine, ENGINE_LEAST)
    return not facts.dockerd
