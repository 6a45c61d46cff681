"""The machine's entry in hosts.yaml of the laptop."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

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
    repository = _pushed_to(destination, places.repository) if wanted.repository == BARE else wanted.repository
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
    try:
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        text = _with(before, line)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.chmod(0o600)
        os.replace(draft, path)
    except OSError as error:
        hint = f"make room or correct who owns it, then run it again; the line to add: {line}"
        raise Transient(Reason.DISK_FAILED, f"{path} cannot be written: {error.strerror}", hint) from error
    return True


def fault(there: RemoteHost, wanted: RemoteHost) -> Check | None:
    """Why verbs cannot use an entry that existed before: it lacks the agent's account. None: they can."""
    if there.user == wanted.user:
        return None
    told = f"the entry of {there.name} in hosts.yaml must say `user: {wanted.user}`, the account of the agent"
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
    }
    usual = {"branch": "main", "repository": "", "user": ""}
    return "{" + ", ".join(f"{key}: {scalar(value)}" for key, value in fields.items() if usual.get(key) != value) + "}"


def scalar(text: str) -> str:
    """The text as a YAML scalar that is also valid inside braces."""
    plain = re.fullmatch(r"[A-Za-z0-9_/][A-Za-z0-9_./@:+~-]*(?<!:)", text)
    return text if plain else "'" + text.replace("'", "''") + "'"


def _pushed_to(destination: str, path: str) -> str:
    return f"{destination.rstrip('/')}{path}" if destination.startswith("ssh://") else f"{destination}:{path}"
