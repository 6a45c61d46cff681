"""The machine's entry in hosts.yaml of the laptop."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from reconciler.bootstrap.model import BARE, Wanted
from reconciler.bootstrap.places import Places
from reconciler.errors import Transient, Usage
from reconciler.fleet import hosts_file, load_hosts
from reconciler.model.checks import Check
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def entry(destination: str, wanted: Wanted, places: Places) -> RemoteHost:
    """The entry that `--on` and `deploy` need. `destination`: of ssh."""
    repository = pushed_to(destination, places.repository) if wanted.repository == BARE else wanted.repository
    user = "" if wanted.login == places.account else places.account
    return RemoteHost(wanted.name, destination, repository=repository, branch=wanted.branch, user=user)


def require_free(name: str, destination: str, environ: Mapping[str, str]) -> RemoteHost | None:
    """The existing entry of this name, None if there is none. Usage if it belongs to another machine."""
    found = next((item for item in load_hosts(environ) if item.name == name), None)
    if found is not None and found.ssh != destination:
        hint = f"use the existing entry: bootstrap {found.ssh} --name {name}; or use another --name, or remove it"
        raise Usage(Reason.USAGE_INVALID, f"{hosts_file(environ)}: {name} is {found.ssh}, not {destination}", hint)
    return found


def write(host: RemoteHost, environ: Mapping[str, str]) -> bool:
    """Add the entry; False if the name is there already. Other entries and comments stay. Transient if the file cannot
    be written; Usage if it is not a list with a line for each machine."""
    if any(item.name == host.name for item in load_hosts(environ)):
        return False
    path = hosts_file(environ)
    if path is None:
        raise Usage(Reason.USAGE_INVALID, "HOME is not set", "set it: hosts.yaml lies below it")
    line = _line(host)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    _save(path, _with(before, line), line)
    return True


def _save(path: Path, text: str, line: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o600)
        os.replace(draft, path)
    except OSError as error:
        hint = f"make room or correct who owns it, then run it again; the line to add: {line}"
        raise Transient(Reason.DISK_FAILED, f"{path} cannot be written: {error.strerror}", hint) from error


def set_address(host: RemoteHost, environ: Mapping[str, str]) -> Check | None:
    """Enter `host.address` into the existing entry, which otherwise stays. Returns what to do by hand, if the entry is
    not written as `write` does."""
    (there,) = (item for item in load_hosts(environ) if item.name == host.name)
    if there.address == host.address:
        return None
    path = hosts_file(environ)
    old, new = _line(there), _line(replace(there, address=host.address))
    text = path.read_text(encoding="utf-8") if path is not None else ""
    if path is None or text.count(old) != 1:
        told = f"the entry of {host.name} in hosts.yaml does not name its address in the tailnet"
        return Check("hosts", False, told, f"add `address: {host.address}` to it")
    _save(path, text.replace(old, new), new)
    return None


def fault(there: RemoteHost, wanted: RemoteHost) -> Check | None:
    """Why verbs cannot use an entry that existed before: it does not name the agent's account, or not the branch that
    the agent watches. None: they can."""
    if there.user != wanted.user:
        told = f"the entry of {there.name} in hosts.yaml must say `user: {wanted.user}`, the account of the agent"
    elif there.branch != wanted.branch:
        told = f"the entry of {there.name} in hosts.yaml must say `branch: {wanted.branch}`, which the agent watches"
    else:
        return None
    return Check("hosts", False, told, f"write it so: - {_line(wanted)}")


def _with(before: str, line: str) -> str:
    """The file with one more item at its end: `hosts` is its only key."""
    from reconciler.formats.yamls import document

    if not before.strip() or not document(before.encode(), "hosts.yaml").value:
        return f"{before}hosts:\n  - {line}\n"
    items = re.findall(r"(?m)^( *)- ", before)
    text = before.removesuffix("\n") + f"\n{items[0] if items else '  '}- {line}\n"
    read = document(text.encode(), "hosts.yaml")
    if read.violations or not isinstance(read.value, dict) or len(read.value.get("hosts") or ()) < 2:
        raise Usage(
            Reason.USAGE_INVALID, "hosts.yaml is written in a form that cannot be added to", f"add it by hand: - {line}"
        )
    return text


def _line(host: RemoteHost) -> str:
    fields = {
        "name": host.name,
        "ssh": host.ssh,
        "repository": host.repository,
        "branch": host.branch,
        "user": host.user,
        "address": host.address,
    }
    usual = {"branch": "main", "repository": "", "user": "", "address": ""}
    return "{" + ", ".join(f"{key}: {scalar(value)}" for key, value in fields.items() if usual.get(key) != value) + "}"


def scalar(text: str) -> str:
    """The text as a YAML scalar that is also valid inside braces."""
    plain = re.fullmatch(r"[A-Za-z0-9_/][A-Za-z0-9_./@:+~-]*(?<!:)", text)
    return text if plain else "'" + text.replace("'", "''") + "'"


def pushed_to(destination: str, path: str) -> str:
    """The address for git of a path on the machine."""
    if destination.startswith("ssh://"):
        return f"{destination.rstrip('/')}{path}"
    user, at, host = destination.rpartition("@")
    return f"{user}{at}[{host}]:{path}" if ":" in host else f"{destination}:{path}"
