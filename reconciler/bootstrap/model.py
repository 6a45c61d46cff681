"""Input and output of a platform's plan: options, facts as lines, and changes as data."""

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
    """One change of the machine. It can be repeated, also after it was cut off at any moment.

    `sentence`: what it does, as an imperative without a full stop. `operation`: MODULE.FUNCTION below
    `pyinfra.operations`; `arguments`: its keyword arguments; `data` (bytes) becomes a file with these bytes.
    `account`: runs it on the machine. `needed` False: it is done already, by the facts, and is not checked again.
    `hint`: what a person does if it fails. `timeout`: seconds of each command.
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
    """`changes`: in order. `refusals`: what a person must do first; with any, nothing is changed. `notes`: sentences
    that the person should read."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()

    def then(self, other: Plan) -> Plan:
        return Plan(self.changes + other.changes, self.refusals + other.refusals, self.notes + other.notes)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options. `name`: the host's. `login`, `home`: the account that ssh logs in as, and its home folder.
    `repository`: `bare`, or the address of a remote one. `engine_memory`: bytes of the engine's virtual machine
    (macOS). `harden`: parts of the hardening; None: all that do not lock out this login. `known_hosts`: host keys of
    the remote repository; empty if ssh is not used for it. `adopt`: make the first commit from what runs. `data_root`:
    the folder of the engine's data; '' is its default.
    """

    name: str
    login: str
    home: str = ""
    repository: str = BARE
    branch: str = "main"
    engine_memory: int | None = None
    harden: tuple[str, ...] | None = ()
    adopt: bool = False
    known_hosts: bytes = b""
    data_root: str = ""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The program and its libraries as wheels. `wheel`: file name of the program's wheel; `folder`: name of the folder
    for this version; `data`: tar archive of all wheels, `count`: their number; `complete`: pip needs no package index.
    `pip`: file name of pip's wheel; '' if the laptop has no pip, so the machine's Python must bring its own."""

    wheel: str
    folder: str
    data: bytes = b""
    complete: bool = True
    count: int = 0
    pip: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The machine for which wheels are chosen. `system`: as `uname -s` says; `python`: major and minor version of the
    Python that will run the program."""

    system: str
    arch: str
    python: tuple[int, int]


def parse(text: str) -> dict[str, list[str]]:
    """Read lines `name=value`; a name may occur several times. Other lines are ignored."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            found.setdefault(name, []).append(value.strip())
    return found


def one(lines: Lines, name: str) -> str:
    """The first value of the name, '' if there is none."""
    values = lines.get(name, ())
    return values[0] if values else ""


def number(lines: Lines, name: str) -> int:
    """The first value of the name as a number, 0 if it is none."""
    value = one(lines, name)
    return int(value) if value.isdecimal() else 0
