"""The host key of a remote repository, from this laptop's known_hosts: the laptop's owner has checked it once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.observe.remote import parse_remote
from reconciler.process import run

_PATIENCE = 30.0


def known_hosts(url: str, environ: Mapping[str, str]) -> bytes:
    """Lines for the machine's known_hosts; empty if the address does not use ssh. Usage if the address cannot be given
    to git, or the laptop does not know the host."""
    if parse_remote(url).protocol != "ssh":
        return b""
    parts = urlsplit(url) if "://" in url else urlsplit(f"ssh://{url.partition(':')[0]}")
    host, port = parts.hostname or "", parts.port
    name = f"[{host}]:{port}" if port and port != 22 else host
    for file in _files(host, environ):
        done = run(["ssh-keygen", "-F", name, "-f", file], env=environ, timeout=_PATIENCE, reason=Reason.FETCH_FAILED)
        lines = [line for line in done.stdout.splitlines() if line and not line.startswith(b"#")]
        if done.returncode == 0 and lines:
            return b"\n".join(lines) + b"\n"
    who = f"{parts.username}@{host}" if parts.username else host
    more = f" -p {port}" if port else ""
    told = f"this laptop does not know the host key of {name}, so it cannot tell the machine"
    raise Usage(Reason.USAGE_INVALID, told, f"run `ssh{more} -T {who}` once: it shows the key and asks for it")


def _files(host: str, environ: Mapping[str, str]) -> list[str]:
    """Files in which ssh looks for host keys, by the user's own config."""
    done = run(["ssh", "-G", "--", host], env=environ, timeout=_PATIENCE, reason=Reason.FETCH_FAILED)
    found = re.findall(rb"(?m)^(?:user|global)knownhostsfile (.*)$", done.stdout)
    home = environ.get("HOME", "")
    return [re.sub(r"^~(?=/)", home, file) for line in found for file in line.decode(errors="replace").split()]
