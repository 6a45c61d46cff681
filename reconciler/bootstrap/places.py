"""Paths and accounts of the agent on a machine, and which parts of it are installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from posixpath import dirname
from typing import Any

from reconciler.model.service import Platform
from reconciler.values import dataclass

REPOSITORY = "/srv/git/home.git"


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths. `account`, `group`: of the agent; `home`: the account's home folder. `python`: the program that
    makes virtual environments. `repository`: the bare repository, '' if the agent watches a remote one. `logs`,
    `engine_logs`: commands that show the agent's and the engine's log. `command`: a link to the program, in a folder of
    everybody's PATH."""

    platform: Platform
    account: str
    group: str
    home: str
    python: str
    config: str = "/etc/reconciler/reconciler.yaml"
    secrets: str = "/etc/reconciler/secrets"
    state: str = "/var/lib/reconciler"
    versions: str = "/opt/reconciler"
    repository: str = REPOSITORY
    branch: str = "main"
    logs: str = "journalctl -u reconciler"
    engine_logs: str = "journalctl -u docker -n 50"
    command: str = "/usr/local/bin/reconciler"

    @property
    def adopted(self) -> str:
        """The repository with the adopted projects, if the agent watches a remote one."""
        return f"{dirname(self.repository)}/adopted.git"

    @property
    def root_group(self) -> str:
        return "wheel" if self.platform is Platform.LAUNCHD else "root"

    @property
    def program(self) -> str:
        """The program, reached through the link that upgrades move."""
        return f"{self.versions}/current/bin/reconciler"


@dataclass(frozen=True, slots=True)
class Have:
    """The installed parts of the agent. `versions`: complete ones; `current`: the one that the link names. `config`:
    the agent config as a value, None if there is none. `secrets`: their folder exists. `unit`: the service's files are
    those that `install` would write; `running`, `enabled`: state of the service. `repository`: it exists and has our
    hooks; `commit`: its branch has a commit; `safe`: git lets every account use it. `keyed`: the deploy key exists.
    `projects`: Compose projects that run without an agent, with their folders; `closed`: these folders and
    those above them that other accounts cannot enter; `adopted`: they were committed for a remote repository.
    `command`: something has the place of the link to the program."""

    versions: frozenset[str] = frozenset()
    current: str = ""
    config: Mapping[str, Any] | None = field(default=None)
    secrets: bool = False
    unit: bool = False
    running: bool = False
    enabled: bool = False
    repository: bool = False
    commit: bool = False
    safe: bool = False
    keyed: bool = False
    projects: Mapping[str, str] = field(default_factory=dict)
    closed: tuple[str, ...] = ()
    adopted: bool = False
    command: bool = False
