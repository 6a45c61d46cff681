"""The composition root of `upgrade`."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.act.service import ServiceHands
from reconciler.act.versions import Versions
from reconciler.decide.service.files import restart_commands, service_files, verbs_of
from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.model.service import UPGRADE
from reconciler.model.times import rfc3339
from reconciler.observe.origin import as_owner
from reconciler.process import run
from reconciler.record import summary_service
from reconciler.verbs import Answer
from reconciler.verbs.upgrade import Upgrader, Upgrading
from reconciler.wiring.program import CURRENT, versions
from reconciler.wiring.reading import Reading
from reconciler.wiring.self_update import VERSION, is_older, wanted
from reconciler.wiring.service import account_of, platform_of, service, state_owner

PATIENCE = 120.0
"""Seconds that a verb of a version may take."""
AGAIN = 3600.0
"""Seconds after which --self-update tries a refused version again: the machine may have changed."""


def upgrade(typed: argparse.Namespace, parts: Reading, stop: threading.Event, tell: Callable[[str], None]) -> Answer:
    """Upgrade. Usage if the link `current` does not lead to this program, or the service does not use that link."""
    account = _as_agent(parts.settings.state)
    if typed.self_update and typed.print and not account:
        return wanted(parts)
    folder = versions()
    if folder is None:
        told = f"{sys.prefix} is no version beside others that a link `{CURRENT}` leads to"
        raise Usage(Reason.USAGE_INVALID, told, "install it so first (docs/service.md), then run `install` again")
    platform = platform_of(typed.platform)
    hands = ServiceHands(parts.environ)
    files = service_files(platform, service(platform, account_of(None, platform), parts))
    verbs = [verb for verb in verbs_of(files) if verb != UPGRADE]
    there = hands.read(files[0].path)
    if there is None or str(folder / CURRENT / "bin").encode() not in there:
        told = f"{files[0].path} does not start {folder}/{CURRENT}/bin/reconciler"
        raise Usage(Reason.USAGE_INVALID, told, "run `reconciler install` first")
    shelf, ask, named = (
        Versions(folder, CURRENT, parts.environ, index=not typed.self_update),
        _asking(parts),
        typed.WHEEL,
    )
    commands = restart_commands(platform, verbs)
    upgrading = Upgrading(shelf, ask, lambda seconds: hands.call(commands, seconds), tell, stop)
    if typed.self_update and not typed.print:
        with shelf.alone():
            # First of all, whatever the branch asks for: a version that has not proved itself may be unable to take
            # turns.
            if settled := Upgrader(upgrading).settle():
                return settled
    if typed.self_update:
        code, document = _asked_for(parts, shelf.current(), ask if account else None)
        if typed.print or document["outcome"] != "Shown":
            return code, document
        named = document["to"]
    with shelf.alone():
        before, found = shelf.current(), shelf.find(named)
        if typed.self_update and (told := _hindrance(shelf, found, parts.clock.now())):
            return 1, summary_service.upgrade(before.name, named, "Refused", told, ())
        code, document = Upgrader(upgrading).run(found, show=typed.print)
        if document["outcome"] == "Upgraded":
            shelf.tidy((before, shelf.current()))
    return code, document


def _asked_for(parts: Reading, current: Path, ask: Callable[..., Mapping[str, Any]] | None) -> Answer:
    """The version that the branch asks for. `ask`: asks a process of the agent's account; None: we are that account.

    The answer of that process only chooses among the wheels of root, and never an older version. Transient if it is no
    answer.
    """
    if ask is None or not parts.settings.self_update:
        return wanted(parts)
    document = ask(current, UPGRADE, "--self-update", "--print")
    if document.get("kind") != "Upgrade":
        told = str(document.get("message"))
        raise Transient(Reason.INTERNAL_ERROR, f"the wanted version cannot be read: {told}", str(document.get("hint")))
    version = str(document["to"])
    if document["outcome"] == "Shown" and (not VERSION.fullmatch(version) or is_older(version)):
        raise Transient(Reason.INTERNAL_ERROR, f"{version[:40]!r} is no newer version", "it is not taken")
    return (1 if document["outcome"] == "Refused" else 0), document


def _hindrance(shelf: Versions, found: Path, now: float) -> str:
    """Why this wheel is not tried, '' if it is. Usage if somebody else could change it."""
    shelf.require_own(found)
    failure = shelf.noted(shelf.place(found))
    if failure is None or (failure.outcome == "Refused" and now - failure.at > AGAIN):
        return ""
    when = "it is tried again an hour after that" if failure.outcome == "Refused" else "it is not tried again by itself"
    return f"{found.name} was tried at {rfc3339(failure.at)} ({failure.outcome}: {failure.message}); {when}"


def _as_agent(state: str) -> tuple[str, ...]:
    """The prefix that starts a program as the agent's account; empty if we are it. macOS has sudo, and no setpriv."""
    owner = state_owner(state)
    by_sudo = () if owner is None else ("sudo", "-n", "-H", "-u", owner.pw_name, "--")
    return as_owner(Path(state), groups=True) or by_sudo


def _asking(parts: Reading) -> Callable[..., Mapping[str, Any]]:
    """A function that runs a verb (and its options) of a version as the agent's account, because only that may read the
    state folder."""
    config, state = str(parts.settings.path), Path(parts.settings.state)
    account = _as_agent(parts.settings.state)
    kept = {name: value for name, value in parts.environ.items() if name != "NOTIFY_SOCKET"}
    if account:
        kept["HOME"] = pwd.getpwuid(state.stat().st_uid).pw_dir

    def ask(version: Path, *verb: str) -> Mapping[str, Any]:
        argv = [*account, str(version / "bin/reconciler"), "--config", config, "--output", "json", *verb]
        done = run(argv, env=kept, timeout=PATIENCE, cwd="/", reason=Reason.INTERNAL_ERROR)
        try:
            found: Mapping[str, Any] = json.loads(done.stdout)
        except ValueError:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            told = f"{version.name} does not answer `{verb[0]}`: {said[-1] if said else f'exit code {done.returncode}'}"
            raise Transient(Reason.INTERNAL_ERROR, told, os.path.join(str(version), "bin/reconciler")) from None
        return found

    return ask
