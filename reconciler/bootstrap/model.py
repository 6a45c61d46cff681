"""What a platform's part gets and returns: options, facts as lines, and changes as data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from reconciler.model.checks import Check
from reconciler.values import dataclass

Lines = Mapping[str, Sequence[str]]
"""Name → values, in order: the output of a script of facts."""

ROOT = "root"
LOGIN = ""
"""The account that ssh logs in as."""

BARE = "bare"
"""`--repository`: a bare repository on the machine."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the machine. It can be repeated, and cut off at any moment and then repeated.

    `sentence`: what it does, as an imperative without a full stop. `operation`: MODULE.FUNCTION below
    `pyinfra.operations`; `arguments`: its keyword arguments, where `data` (bytes) stands for a file of these bytes.
    `account`: who does it there. `needed` False: the facts say that it is done, and nothing is looked at.
    `hint`: what a person does where it fails. `timeout`: seconds of each command.
    """

    name: str
    sentence: str
    operation: str = "server.shell"
    arguments: Mapping[str, Any] = field(default_factory=dict)
    account: str = ROOT
    needed: bool = True
    hint: str = "correct what it says and run the same command again: what is done is not done twice"
    timeout: float = 600.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes`: in order. `refusals`: what a person must do first; nothing is changed then. `notes`: facts that the
    person should know, as sentences."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def then(self, other: Plan) -> Plan:
        return Plan(self.changes + other.changes, self.refusals + other.refusals, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options. `login`, `home`: the account of ssh and its home folder. `repository`: `bare`, or the address of a
    remote one. `engine_memory`: bytes of the engine's virtual machine (macOS). `harden`: parts of the hardening; None:
    those that fit this login. `known_hosts`: the keys of a remote repository's host; empty where it is not by ssh.
    """

    name: str
    login: str
    home: str = ""
    repository: str = BARE
    branch: str = "main"
    engine_memory: int | None = None
    tailscale: bool = False
    harden: tuple[str, ...] | None = ()
    adopt: bool = False
    known_hosts: bytes = b""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The program and its libraries as wheels. `wheel`: the file name of the program's own; `folder`: the name of its
    version's folder; `data`: a tar archive with all of them; `complete`: nothing is left to a package index. `pip`:
    the file name of pip's wheel; '' where the laptop has no pip, and the machine's Python must bring its own."""

    wheel: str
    folder: str
    data: bytes = b""
    complete: bool = True
    count: int = 0
    pip: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What one needs to know before the platform's own facts. `python`: major and minor version of the machine's
    Python that the program will run with."""

    system: str
    arch: str
    python: tuple[int, int]


def parse(text: str) -> dict[str, list[str]]:
    """Lines `name=value`; the same name may occur several times. Other lines are left out."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            found.setdefault(name, []).append(value.strip())
    return found


def one(lines: Lines, name: str) -> str:
    """The only value, '' where there is none."""
    values = lines.get(name, ())
    return values[0] if values else ""


def number(lines: Lines, name: str) -> int:
    """0 where it is no number."""
    value = one(lines, name)
    return int(value) if value.isdecimal() else 0
