"""`doctor --security`: checks the hardening, open ports, and who can read files with secrets."""

from __future__ import annotations

import ipaddress
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from reconciler.decide.hardening import drift
from reconciler.decide.hardening.facts import Facts
from reconciler.errors import ReconcilerError
from reconciler.model.checks import Check, Published
from reconciler.record import summary
from reconciler.values import dataclass
from reconciler.verbs import Answer

Key = tuple[str, Path, int]

TAILNET = (ipaddress.ip_network("100.64.0.0/10"), ipaddress.ip_network("fd7a:115c:a1e0::/48"))
"""Addresses that only members of the owner's tailnet reach."""


@dataclass(frozen=True, slots=True)
class SecurityProbes:
    """Functions that read the machine; each may raise ReconcilerError. `facts`: returns None if hardening is not
    checked (macOS). `state`: the state folder. `keys`: files with secrets: (description, path, mode bits that it must
    not have); a file may be missing. `deploy_key`: whether the remote would accept a push with the deploy key; None if
    there is no such key. `pushes_notes`: the agent pushes notes, so the key must be able to write.
    """

    facts: Callable[[], Facts | None]
    published: Callable[[], Sequence[Published]]
    state: Path
    keys: Sequence[Key]
    deploy_key: Callable[[], bool] | None = None
    pushes_notes: bool = False


def examine(probes: SecurityProbes) -> Answer:
    checks = tuple(_checks(probes))
    return (1 if any(item.ok is False for item in checks) else 0), summary.doctor(checks)


def _checks(probes: SecurityProbes) -> Iterator[Check]:
    try:
        facts = probes.facts()
    except ReconcilerError as error:
        yield Check("hardening", None, f"not checked: {error.message}", error.hint)
    else:
        yield from (
            drift.checks(facts) if facts else [Check("hardening", None, "not checked: only on Linux with systemd")]
        )
    yield _guarded("ports", lambda: _ports(probes.published()))
    yield _guarded("state", lambda: _state(probes.state))
    yield _guarded("keys", lambda: _keys(probes.keys, probes.state))
    if probes.deploy_key is not None:
        writes = probes.deploy_key
        yield _guarded("deploy-key", lambda: _deploy_key(writes(), probes.pushes_notes))


def _guarded(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except ReconcilerError as error:
        return Check(name, None, f"not checked: {error.message}", error.hint)
    except PermissionError as error:
        return Check(name, None, f"not checked: {error.filename} may not be read by this user", "call it with sudo")
    except OSError as error:
        return Check(name, False, f"{error.filename or name}: {error.strerror}", "see who owns it, and its mode")


def _ports(published: Sequence[Published]) -> Check:
    outside = [item for item in published if _outside(item.address)]
    told = sorted({f"{item.container} {item.address or '*'}:{item.port}" for item in outside if not item.managed})
    if told:
        hint = "publish them as 127.0.0.1:PORT:PORT; no firewall of the machine filters what Docker forwards"
        return Check(
            "ports", False, f"open to the network, by containers that are not managed here: {', '.join(told)}", hint
        )
    granted = sorted({f"{item.container} {item.address or '*'}:{item.port}" for item in outside})
    if granted:
        return Check("ports", True, f"open to the network, as the agent config allows: {', '.join(granted)}")
    return Check("ports", True, f"{len(set(published))} published, none of them open to the network")


def _outside(address: str) -> bool:
    if not address:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return True
    return not (found.is_loopback or any(found in net for net in TAILNET))


def _state(folder: Path) -> Check:
    if not folder.exists():
        return Check("state", None, f"not checked: {folder} does not exist yet")
    mode = stat.S_IMODE(folder.stat().st_mode)
    if mode & 0o077:
        return Check("state", False, f"{folder} is open to other users (mode {mode:04o})", f"chmod 700 {folder}")
    return Check("state", True, f"{folder} has mode {mode:04o}")


def _deploy_key(writes: bool, notes: bool) -> Check:
    if not writes:
        return Check("deploy-key", True, "it can only read")
    if notes:
        return Check("deploy-key", True, "it can write, as `notes: {push: true}` needs")
    hint = "remove it at the forge, and register it as one that may only read: reconciler key --register"
    return Check("deploy-key", False, "it can also write, so whoever reads it can change what runs here", hint)


def _keys(keys: Sequence[Key], state: Path) -> Check:
    """Check that each file belongs to root, to this user or to the owner of the state folder, and has none of its
    forbidden mode bits."""
    agent = state.stat().st_uid if state.exists() else os.geteuid()
    wrong, number = [], 0
    for what, path, mask in keys:
        if not path.exists():
            continue
        number += 1
        status, named = path.stat(), shlex.quote(str(path))
        mode = stat.S_IMODE(status.st_mode)
        if mode & mask:
            remedy = f"chmod {0o600 | 0o040 & ~mask:o} {named}"
            wrong.append((f"{what} {path} is open to other users (mode {mode:04o})", remedy))
        elif status.st_uid not in (0, os.geteuid(), agent):
            wrong.append((f"{what} {path} belongs to uid {status.st_uid}", f"chown {agent} {named}"))
    if wrong:
        return Check("keys", False, "; ".join(told for told, _ in wrong), "; ".join(hint for _, hint in wrong))
    return Check("keys", True, f"files with keys and tokens: {number}, each for its owner alone")
