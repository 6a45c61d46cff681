"""The composition root of `bootstrap`, which works from the laptop."""

from __future__ import annotations

import argparse
import getpass
import json
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.config_checks import is_branch
from reconciler.errors import Transient, Usage
from reconciler.later import extra
from reconciler.model.checks import Check
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.observe.line import Line
from reconciler.record.text.layout import plural
from reconciler.ssh import Ssh
from reconciler.verbs import Answer

if TYPE_CHECKING:
    from reconciler.bootstrap.machine import Machine
    from reconciler.bootstrap.model import Wanted
    from reconciler.bootstrap.places import Places
    from reconciler.bootstrap.run import Done

EXTRA = f"{extra('bootstrap')} installs what it needs"

FACTS = 120.0
"""Seconds that the script of facts may take. An engine that hangs takes 45 of them."""

_DESTINATION = re.compile(r"[A-Za-z0-9_\[\u0080-\uffff][^\s\x00-\x1f]{0,254}")
_BRANCH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")
_SHELL = "the login shell there must be like sh (csh is not), and print nothing by itself (see ~/.bashrc there)"
_END = "dev.reconciler.end"
_FIRST_LOOK = 'uname -s; uname -m; id -un; id -u; echo "$HOME"'

Tell = Callable[[str], None]


def bootstrap(typed: argparse.Namespace, environ: Mapping[str, str], tell: Tell) -> Answer:
    """Set up a machine. Usage if the options do not fit it; Transient if it cannot be reached."""
    try:
        from reconciler.bootstrap.driver import Driver
    except ImportError as error:
        raise Usage(Reason.USAGE_INVALID, f"the library {error.name} is not installed", EXTRA) from error
    from reconciler.bootstrap import adoption, entry, forge_host, hardening, mac_hardening, tailscale
    from reconciler.bootstrap.machine import become_root
    from reconciler.bootstrap.model import BARE, Plan, Target, Wanted, parse
    from reconciler.bootstrap.platforms import PARTS
    from reconciler.bootstrap.run import Bootstrap
    from reconciler.bootstrap.wheels import bundle

    _require(typed)
    known = entry.require_free(typed.name, typed.HOST, environ)
    known_hosts = forge_host.known_hosts(typed.repository, environ) if typed.repository != BARE else b""
    host = known or RemoteHost(typed.name, typed.HOST)
    ask = None if typed.output == "json" or not (sys.stdin.isatty() and sys.stderr.isatty()) else getpass.getpass
    ssh = _connected(host, environ, ask is not None)
    system, arch, login, uid, home = _first_look(ssh)
    part = PARTS.get(system)
    if part is None:
        hint = f"systems that can be set up: {', '.join(PARTS)}; for others see docs/service.md"
        raise Usage(Reason.USAGE_INVALID, f"{typed.HOST} runs {system}", hint)
    if typed.engine_memory is not None and system != "Darwin":
        told = f"--engine-memory is for the virtual machine of a Mac, and {typed.HOST} runs {system}"
        raise Usage(Reason.USAGE_INVALID, told, "leave it out: the engine has all of the machine's memory")
    linux = system == "Linux"
    if not linux:
        _require_linux(typed, system)
    key = _tailscale_key(typed, environ)
    machine = become_root(ssh, login, int(uid), typed.HOST, ask)
    wanted = Wanted(
        typed.name, login, home, typed.repository, typed.branch, typed.engine_memory, harden=typed.harden,
        known_hosts=known_hosts, adopt=typed.adopt, data_root=typed.data_root or "",
    )  # fmt: skip
    places = part.places(wanted)
    closes = hardening.FACTS + tailscale.FACTS if linux else mac_hardening.FACTS
    lines = parse(_script(machine, part.script(wanted) + closes)) | {"ssh_port": [_port(ssh)]}
    facts = part.read(lines)
    target = Target(system, arch, part.python(facts))
    plan = part.plan(facts, wanted, bundle(target, typed.channel, facts.have.versions, environ))
    if key is not None:
        plan = plan.then(tailscale.plan(tailscale.read(lines), key))
    plan = plan.then(hardening.plan(lines, wanted) if linux else mac_hardening.plan(lines, wanted))
    work = Bootstrap(typed.name, Driver(machine, typed.name), tell)
    if typed.dry_run:
        return work.rehearse(plan)
    refusal = hardening.ready(plan, ssh.logs_in_anew)
    if refusal is not None:
        plan = plan.then(Plan(refusals=(refusal,)))
    made = entry.entry(typed.HOST, wanted, places)
    after = _After(made, ssh, machine, wanted, places, environ, tell)
    if any(change.name == adoption.ADOPT and change.needed for change in plan.changes):
        after.adopted = frozenset(facts.have.projects)
        after.lives = _script(machine, adoption.LIVES)
    if key is not None:
        after.tailnet = (facts.codename, facts.id)
    return work.run(plan, after)


class _After:
    """The work after the changes: the entry in hosts.yaml, and the checks.

    `adopted`: projects that the run adopts; `lives`: their containers before. `tailnet`: codename and id of the
    machine's system, if it joins one.
    """

    adopted: frozenset[str] = frozenset()
    lives = ""
    tailnet: tuple[str, str] | None = None

    def __init__(
        self,
        host: RemoteHost,
        ssh: Ssh,
        machine: Machine,
        wanted: Wanted,
        places: Places,
        environ: Mapping[str, str],
        tell: Tell,
    ) -> None:
        self._host, self._ssh, self._machine = host, ssh, machine
        self._wanted, self._places, self._environ, self._tell = wanted, places, environ, tell

    def __call__(self, made: frozenset[str], done: Done) -> Iterator[Check]:
        from reconciler.bootstrap import adoption, checks, entry, hardening
        from reconciler.fleet import hosts_file, load_hosts

        # This comes first, because the machine undoes the change after a minute.
        yield from hardening.prove(made, self._machine.run, self._ssh.logs_in_anew, time.sleep)
        if entry.write(self._host, self._environ):
            self._tell(f"Wrote {self._host.name} into {hosts_file(self._environ)}")
        if self.tailnet is not None:
            yield self._tailnet_check(*self.tailnet)
        if "login-group" in made:
            # Group memberships are those of the login, so a new one is needed.
            self._ssh.close()
            self._ssh.connect()
        self._tell("Check the connection, the engine and the first turn …")
        line = Line(self._ssh)
        yield from checks.connection(line)
        with line.echo() as echo:
            round_trip = echo.round_trip() or 0.0
        yield checks.engine(self._machine, self._places, round_trip)
        found = [*checks.doctor(self._machine, self._places)]
        yield from found
        (host,) = (item for item in load_hosts(self._environ) if item.name == self._host.name)
        fault = entry.fault(host, self._host)
        if fault is not None:
            yield fault
            return
        verbs = Ssh(host, self._environ)
        yield checks.first_turn(
            host.name, lambda: verbs.run(verbs.reconciler(["status", "--output", "json"]), timeout=60.0)
        )
        if self.adopted:
            if adoption.ADOPT in made:
                done.following.append(self._told())
            yield adoption.kept(self.lives, _script(self._machine, adoption.LIVES), self.adopted)
        lacks_key = any(item.name == "branch" and item.ok is False for item in found) and self._wanted.known_hosts
        done.following += self._next(host, bool(lacks_key))

    def _told(self) -> str:
        """How to read what `init` said about the projects: it is the message of their commit."""
        where = self._places.repository if self._wanted.repository == "bare" else self._places.adopted
        show = f"git --git-dir={where} log -1 refs/heads/{self._places.branch}"
        said = self._machine.run(show, self._places.account).stdout.decode(errors="replace")
        left = said.count("\n    left out: ")
        out = f"; {plural(left, 'project')} left out, with the reason" if left else ""
        return f"read what was adopted, and where its secrets are{out}: ssh {shlex.quote(self._host.ssh)} {show}"

    def _tailnet_check(self, codename: str, system: str) -> Check:
        """Enter the machine's address in the tailnet into hosts.yaml, if the laptop reaches it."""
        from reconciler.bootstrap import entry, tailscale
        from reconciler.bootstrap.model import parse

        found = tailscale.read(parse(_script(self._machine, tailscale.FACTS)))
        way = replace(self._host, address=found.address)
        reaches = found.state == tailscale.RUNNING and bool(found.address) and Ssh(way, self._environ).logs_in_anew()
        if reaches:
            fault = entry.set_address(way, self._environ)
            if fault is not None:
                return fault
        return tailscale.check(found, reaches, codename, system)

    def _next(self, host: RemoteHost, lacks_key: bool) -> Iterator[str]:
        from reconciler.bootstrap import entry

        if lacks_key:
            verb = f"{self._places.program} --config {shlex.quote(self._places.config)} --output json key"
            public = json.loads(self._machine.run(verb, self._places.account).stdout or "{}").get("publicKey", "")
            yield f"let the forge know this deploy key, which may only read: {public}"
            again = f"reconciler bootstrap {self._host.ssh} --name {host.name}"
            yield f"then again: {again} --repository {self._wanted.repository}"
        if self.adopted and self._wanted.repository != "bare":
            there = entry.pushed_to(self._host.ssh, self._places.adopted)
            yield (
                f"take the adopted projects into a clone, look through them, and push: git pull "
                f"--allow-unrelated-histories {shlex.quote(there)} {self._wanted.branch}"
            )
        if host.repository and self._wanted.repository == "bare":
            name = shlex.quote(host.name)
            yield f"git clone -o {name} {shlex.quote(host.repository)} {name}, or in a clone: git remote add {name} …"
            yield f"add stacks to desired-state/{host.name}.yaml, commit, and: git push {name} {host.branch}"
        yield f"look at it at any time: reconciler --on {host.name} status"


def _require_linux(typed: argparse.Namespace, system: str) -> None:
    """Usage for options that this version has only for Linux."""
    hints = {
        "adopt": "run `reconciler init` on it, in the folder of the projects (docs/adoption.md)",
        "data_root": "the engine's data is in Colima's virtual machine",
        "tailscale": "install Tailscale there yourself, and write `address` into hosts.yaml (docs/hosts.md)",
    }
    for name, hint in hints.items():
        if getattr(typed, name):
            told = f"--{name.replace('_', '-')} is for Linux, and {typed.HOST} runs {system}"
            raise Usage(Reason.USAGE_INVALID, told, hint)


def _tailscale_key(typed: argparse.Namespace, environ: Mapping[str, str]) -> bytes | None:
    """The auth key, b'' without one; None if the machine is not to join a tailnet."""
    if not (typed.tailscale or typed.tailscale_key):
        return None
    if typed.tailscale_key is None:
        return environ.get("TS_AUTHKEY", "").strip().encode()
    try:
        key = Path(typed.tailscale_key).read_bytes().strip()
    except OSError as error:
        told = f"{typed.tailscale_key} cannot be read: {error.strerror}"
        raise Usage(Reason.USAGE_INVALID, told, "name a file with an auth key") from error
    if not key or len(key.split()) != 1:
        raise Usage(Reason.USAGE_INVALID, f"{typed.tailscale_key} holds no auth key", "write the key alone into it")
    return key


def _require(typed: argparse.Namespace) -> None:
    from reconciler.bootstrap.entry import NAME

    if not NAME.fullmatch(typed.name):
        hint = "small letters, digits, _ and -, the first a letter or digit, at most 63 characters"
        raise Usage(Reason.USAGE_INVALID, f"--name {typed.name!r} cannot be the name of a host", hint)
    if not _BRANCH.fullmatch(typed.branch) or not is_branch(typed.branch):
        hint = "write a branch like main or team/main: letters, digits, ., _, / and -, the first a letter or digit"
        raise Usage(Reason.USAGE_INVALID, f"--branch {typed.branch!r} cannot be watched", hint)
    if not _DESTINATION.fullmatch(typed.HOST):
        hint = "write USER@HOST, a host of your ssh config, or ssh://USER@HOST:PORT"
        raise Usage(Reason.USAGE_INVALID, f"{typed.HOST!r} is nothing that ssh can go to", hint)


def _connected(host: RemoteHost, environ: Mapping[str, str], ask: bool) -> Ssh:
    """A connection. `ask`: at a terminal, ssh itself shows an unknown host key and asks about it. Transient with ssh's
    message if it fails."""
    ssh = Ssh(host, environ)
    try:
        ssh.connect(ask=ask)
    except Transient:
        if not ask:
            try:
                ssh.run(["true"], timeout=60.0)
            except Transient as error:
                hint = f"run `ssh {host.ssh}` at a terminal: it asks for an unknown host key, and says what is wrong"
                raise Transient(error.reason, error.message, hint) from error
        raise
    return ssh


def _first_look(ssh: Ssh) -> tuple[str, str, str, str, str]:
    done = ssh.run(["sh", "-c", _FIRST_LOOK], timeout=60.0)
    words = done.stdout.decode(errors="replace").splitlines()
    if done.returncode != 0 or len(words) != 5 or not words[3].isdecimal():
        said = done.stderr.decode(errors="replace").strip() or "it answers in no way that is understood"
        raise Transient(
            Reason.HOST_UNREACHABLE,
            f"{ssh.host.ssh}: {said}",
            _SHELL,
        )
    system, arch, login, uid, home = words
    return system, arch, login, uid, home


def _port(ssh: Ssh) -> str:
    """The machine's port to which this login has connected."""
    said = ssh.run(["sh", "-c", 'echo "$SSH_CONNECTION"'], timeout=60.0).stdout.decode(errors="replace").split()
    return said[3] if len(said) == 4 else ""


def _script(machine: Machine, script: str) -> str:
    """The script's output. Transient if it did not run to its end: missing facts would look like a bare machine."""
    done = machine.run(f"{script}\necho {_END}", timeout=FACTS)
    told, end, _ = done.stdout.decode(errors="replace").rpartition(f"{_END}\n")
    if not end:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        raise Transient(Reason.HOST_UNREACHABLE, f"the state of the machine cannot be read: {why}", _SHELL)
    return told
