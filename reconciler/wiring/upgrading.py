"""The composition root of `upgrade`."""

from __future__ import annotations

import argparse
import json
import os
import pwd
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.act.service import ServiceHands
from reconciler.act.versions import Versions
from reconciler.decide.service.files import restart_commands, service_files
from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.observe.origin import as_owner
from reconciler.process import run
from reconciler.verbs import Answer
from reconciler.verbs.upgrade import Upgrader, Upgrading
from reconciler.wiring.program import CURRENT, versions
from reconciler.wiring.reading import Reading
from reconciler.wiring.service import account_of, platform_of, service

PATIENCE = 120.0
"""Seconds that a verb of a version may take."""


def upgrade(typed: argparse.Namespace, parts: Reading, tell: Callable[[str], None]) -> Answer:
    """Upgrade. Usage if the link `current` does not lead to this program, or the service does not use that link."""
    folder = versions()
    if folder is None:
        told = f"{sys.prefix} is no version beside others that a link `{CURRENT}` leads to"
        raise Usage(Reason.USAGE_INVALID, told, "install it so first (docs/service.md), then run `install` again")
    platform = platform_of(typed.platform)
    hands = ServiceHands(parts.environ)
    files = service_files(platform, service(platform, account_of(None, platform), parts))
    file, verbs = files[0], [item.verb for item in files]
    there = hands.read(file.path)
    if there is None or str(folder / CURRENT / "bin").encode() not in there:
        told = f"{file.path} does not start {folder}/{CURRENT}/bin/reconciler"
        raise Usage(Reason.USAGE_INVALID, told, "run `reconciler install` first")
    shelf = Versions(folder, CURRENT, parts.environ)
    with shelf.alone():
        before = shelf.current()
        upgrader = Upgrader(
            Upgrading(shelf, _asking(parts), lambda: hands.call(restart_commands(platform, verbs)), tell)
        )
        code, document = upgrader.run(shelf.find(typed.WHEEL), show=typed.print)
        if document["outcome"] == "Upgraded":
            shelf.tidy((before, shelf.current()))
    return code, document


def _asking(parts: Reading) -> Callable[..., Mapping[str, Any]]:
    """A function that runs a verb of a version as the agent's account, because only that may read the state folder."""
    config, state = str(parts.settings.path), Path(parts.settings.state)
    account = as_owner(state, groups=True)
    kept = {name: value for name, value in parts.environ.items() if name != "NOTIFY_SOCKET"}
    if account:
        kept["HOME"] = pwd.getpwuid(state.stat().st_uid).pw_dir

    def ask(version: Path, verb: str) -> Mapping[str, Any]:
        argv = [*account, str(version / "bin/reconciler"), "--config", config, "--output", "json", verb]
        done = run(argv, env=kept, timeout=PATIENCE, cwd="/", reason=Reason.INTERNAL_ERROR)
        try:
            found: Mapping[str, Any] = json.loads(done.stdout)
        except ValueError:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            told = f"{version.name} does not answer `{verb}`: {said[-1] if said else f'exit code {done.returncode}'}"
            raise Transient(Reason.INTERNAL_ERROR, told, os.path.join(str(version), "bin/reconciler")) from None
        return found

    return ask
