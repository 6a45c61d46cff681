"""~/.config/reconciler/hosts.yaml: the machines that `--on` reaches. Only its reader may be able to change it, because
it can make ssh run any program as its reader."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from reconciler.errors import Usage
from reconciler.formats import schemas
from reconciler.formats.yamls import document
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Reason
from reconciler.ownership import HOSTS, require

FILE = "hosts.yaml"

_SCP = re.compile(r"(?P<ssh>(?:[A-Za-z0-9_][\w.-]*@)?[A-Za-z0-9][\w.-]*):(?!:|//).+")
_URL = re.compile(r"(?P<ssh>ssh://[^/\s]+)/.*")


def hosts_file(environ: Mapping[str, str]) -> Path | None:
    """The path of hosts.yaml; None without a home folder."""
    home = environ.get("HOME", "")
    return Path(home, ".config/reconciler", FILE) if os.path.isabs(home) else None


def load_hosts(environ: Mapping[str, str]) -> tuple[RemoteHost, ...]:
    """All machines, in the order of the file; none without a file. Usage names every mistake with its line."""
    path = hosts_file(environ)
    if path is None or not path.exists():
        return ()
    require(str(path), HOSTS)
    try:
        read = document(path.read_bytes(), str(path))
    except OSError as error:
        told = f"{path} cannot be read: {error.strerror}"
        raise Usage(Reason.USAGE_INVALID, told, "make it yours and readable") from error
    found = [*read.violations, *schemas.check(read, "hosts")]
    if found:
        details = [f"line {item.line}: {item.message}" + (f". {item.hint}" if item.hint else "") for item in found]
        raise Usage(Reason.USAGE_INVALID, f"{path} is not usable", "Correct each of these.", details)
    values = read.value if isinstance(read.value, dict) else {}
    hosts = tuple(RemoteHost(**item) for item in values.get("hosts") or ())
    names = [item.name for item in hosts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Usage(Reason.USAGE_INVALID, f"{path} names {twice[0]} twice", "Remove one of the two entries.")
    return hosts


def host_of_remote(name: str, url: str) -> RemoteHost | None:
    """The machine of a git remote `name` with the address `url`; None if the address does not use ssh."""
    found = _URL.fullmatch(url) or _SCP.fullmatch(url)
    return RemoteHost(name, found["ssh"], repository=name) if found else None


def unknown(name: str, hosts: Iterable[RemoteHost], environ: Mapping[str, str]) -> Usage:
    """The error for a name that is neither in hosts.yaml nor a git remote."""
    names = [item.name for item in hosts]
    near = difflib.get_close_matches(name, names, 1)
    known = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}" if names else ""
    hint = (
        f"add it to {hosts_file(environ)} (docs/hosts.md), or make a git remote of that name: git remote add {name} …"
    )
    return Usage(Reason.USAGE_INVALID, f"there is no host {name}", f"{known}; {hint}" if known else hint)
