"""Settings of the engine on Linux: those of a new one, and the folder of its data. Settings that somebody made stay."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from posixpath import dirname
from typing import Any

from reconciler.bootstrap.linux_facts import LinuxFacts
from reconciler.bootstrap.model import Change, Wanted
from reconciler.model.checks import Check

PATH = "/etc/docker/daemon.json"

NEW: Mapping[str, Any] = {
    # json-file, the engine's own default, never rotates.
    "log-driver": "local",
    "log-opts": {"max-size": "10m", "max-file": "3"},
    # Containers keep running while the engine is updated.
    "live-restore": True,
}
"""Settings of an engine that we install, if it has none yet."""

ROOT = "data-root"
EMPTY = "0 0 0"
"""Numbers of containers, images and volumes of an engine whose data can be elsewhere from now on."""

_WAITS = "/etc/systemd/system/docker.service.d/reconciler-data-root.conf"


def settings(facts: LinuxFacts, wanted: Wanted, installed: bool) -> Iterator[Change]:
    """The changes before the engine is installed. `installed`: this run installs it."""
    new = installed and not facts.daemon_json
    moves = _moves(facts, wanted, installed)
    held = {**(NEW if new else facts.daemon or {}), **({ROOT: wanted.data_root} if moves else {})}
    told = "logs rotate, and containers run on while the engine is updated"
    root = f"the engine's data is in {wanted.data_root}"
    says = "; ".join([*([told] if new else ["your settings stay"]), *([root] if moves else [])])
    yield Change(
        "engine-waits",
        f"Let the engine start only after the disk of {wanted.data_root} is mounted",
        "files.put",
        {"data": f"[Unit]\nRequiresMountsFor={wanted.data_root}\n".encode(), "dest": _WAITS, **_OWNER},
        needed=moves,
    )
    yield Change(
        "engine-settings",
        f"Write {PATH}: {says}",
        "files.put",
        {"data": (json.dumps(held, indent=2) + "\n").encode(), "dest": PATH, **_OWNER},
        needed=new or moves,
    )


def restart(facts: LinuxFacts, wanted: Wanted, installed: bool) -> Change:
    """The change after the engine is installed: an engine that was there before reads its settings again."""
    return Change(
        "engine-restart",
        f"Restart the engine, which has no container yet, with its data in {wanted.data_root}",
        arguments={"commands": ["systemctl daemon-reload && systemctl restart docker.service"]},
        needed=_moves(facts, wanted, installed) and not installed,
        hint="see what the engine says: journalctl -u docker -n 50",
    )


def refusals(facts: LinuxFacts, wanted: Wanted, installed: bool) -> Iterator[Check]:
    if not wanted.data_root or facts.engine_root == wanted.data_root:
        return
    if not facts.data_parent:
        hint = f"mount the disk and make the folder first: sudo mkdir -p {dirname(wanted.data_root)}"
        yield Check(ROOT, False, f"{dirname(wanted.data_root)} does not exist on this machine", hint)
    elif facts.daemon_json and facts.daemon is None and _can_move(facts, installed):
        yield Check(ROOT, False, f"{PATH} is no JSON, so nothing can be added to it", "correct it: dockerd --validate")


def notes(facts: LinuxFacts, wanted: Wanted, installed: bool) -> Iterator[str]:
    if facts.daemon_json or not installed:
        but = f", with {ROOT} added" if _moves(facts, wanted, installed) else ""
        yield f"The engine or its settings were there already: {PATH} stays{but}."
        if not _rotates(facts.daemon or {}):
            yield (
                "The logs of its containers grow without limit. "
                f'`"log-driver": "local"` in {PATH} rotates those of new containers.'
            )
    if wanted.data_root and facts.engine_root != wanted.data_root and not _moves(facts, wanted, installed):
        where = _named(facts) or facts.engine_root or "where it is"
        yield (
            f"The engine's data stays in {where}: --data-root is for an engine without containers, images and volumes, "
            "and without such a setting."
        )


def _moves(facts: LinuxFacts, wanted: Wanted, installed: bool) -> bool:
    """Whether the data will be in the wanted folder, and is not yet."""
    if not wanted.data_root or facts.engine_root == wanted.data_root or not _can_move(facts, installed):
        return False
    return _named(facts) in ("", wanted.data_root)


def _can_move(facts: LinuxFacts, installed: bool) -> bool:
    return (installed and not facts.engine) or facts.engine_holds == EMPTY


def _named(facts: LinuxFacts) -> str:
    return str((facts.daemon or {}).get(ROOT) or "")


def _rotates(held: Mapping[str, Any]) -> bool:
    driver, options = held.get("log-driver") or "json-file", held.get("log-opts")
    return driver != "json-file" or (isinstance(options, dict) and "max-size" in options)


_OWNER = {"user": "root", "group": "root", "mode": "644"}
