"""The agent as a service of the machine: what its files are made from, and the files themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from reconciler.values import dataclass


class Platform(StrEnum):
    """The service manager. `SYSTEMD_USER`: the one of a single account, for rootless engines."""

    SYSTEMD = "systemd"
    SYSTEMD_USER = "systemd-user"
    LAUNCHD = "launchd"


AGENT, MONITOR, ENGINE_READ = "run", "monitor", "engine-read"
"""The verbs that can be services."""
UPGRADE = "upgrade"
"""The verb that a timer starts; it is no service of its own."""
BESIDE = (MONITOR, ENGINE_READ)


@dataclass(frozen=True, slots=True)
class Service:
    """The values from which the service's files are made. All paths are absolute.

    `program`: the command before `--config FILE run`. `user`, `home`: the account that the agent runs as.
    `writable`: what it writes beside the state folder; a path with a leading `-` may be missing. `used`: every other
    path that it has to see. `foreign`: it runs as root and the watched repository belongs to another account.
    `control_groups`: it limits the memory of builds there. `environment`: no secrets, since everybody can read it.
    `folder`: of the account's own unit files, and `lingers`: its service manager runs without a login; only for
    SYSTEMD_USER. `beside`: verbs of BESIDE that run as services of their own. `self_update`: a timer runs
    `upgrade --self-update`, as root or as the account whose service manager it is.
    """

    program: tuple[str, ...]
    config: str
    user: str
    home: str
    state: str
    writable: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    foreign: bool = False
    control_groups: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: str = ""
    lingers: bool = False
    beside: tuple[str, ...] = ()
    self_update: bool = False


@dataclass(frozen=True, slots=True)
class ServiceFile:
    """One file of the service. `mode`: its permission bits; its owner installs it. `verb`: what it starts, or for a
    timer and its service what they run."""

    path: str
    mode: int
    data: bytes
    verb: str = AGENT


@dataclass(frozen=True, slots=True)
class ServiceCommand:
    """One call of the service manager. `needed`: its failure is an error with the remedy `hint`; otherwise a failure is
    ignored."""

    argv: tuple[str, ...]
    needed: bool = True
    hint: str = "correct what it says and run the same command again; nothing is written twice"


@dataclass(frozen=True, slots=True)
class Failure:
    """How a version's last try ended. `outcome`: TakenBack or Refused; `at`: seconds of the Unix epoch."""

    outcome: str
    message: str
    at: float
