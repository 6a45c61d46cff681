"""The settings of sshd: a drop-in that is read before any other, and whether the running settings agree with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from reconciler.decide.hardening import WRITTEN

PATH = "/etc/ssh/sshd_config.d/00-reconciler.conf"
"""sshd takes the first value that it reads, and reads these files by name."""

SETTINGS = {
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitEmptyPasswords": "no",
    "PubkeyAuthentication": "yes",
    "AuthenticationMethods": "publickey",
    "PermitRootLogin": "no",
    "X11Forwarding": "no",
    "AllowAgentForwarding": "no",
    "AllowTcpForwarding": "local",  # `reconciler tunnel` needs it
    "LoginGraceTime": "30",
    "ClientAliveInterval": "30",
    "ClientAliveCountMax": "4",
    "LogLevel": "VERBOSE",  # the log names the key of each login
}


def drop_in(accounts: Sequence[str]) -> bytes:
    """The file, for the accounts that may log in."""
    lines = [f"{name} {value}" for name, value in SETTINGS.items()]
    return "\n".join([f"# {WRITTEN}", *lines, f"AllowUsers {' '.join(accounts)}", ""]).encode()


def faults(effective: Mapping[str, Mapping[str, str]], settings: Sequence[str]) -> Iterator[str]:
    """What deviates. `effective`: for each account the output of `sshd -T`, by names in lower case; `settings`: lines
    of the configuration, with file and number, to name the cause."""
    found: dict[str, list[str]] = {}
    for account, values in effective.items():
        for name, wanted in SETTINGS.items():
            value = values.get(name.lower(), "not set")
            if value.lower() != wanted.lower():
                told = f"{name} is {value}, not {wanted}{_cause(name, wanted, settings)}"
                found.setdefault(told, []).append(account)
    for told, accounts in found.items():
        yield told if len(accounts) == len(effective) else f"{told} (for {', '.join(accounts)})"
    if effective and not any(values.get("allowusers") for values in effective.values()):
        yield "AllowUsers is not set, so every account may log in"


def _cause(name: str, wanted: str, settings: Sequence[str]) -> str:
    """The first line of another file that sets it so."""
    for line in settings:
        path, _, rest = line.partition(":")
        number, _, text = rest.partition(":")
        words = re.split(r"[\s=]+", text.strip(), maxsplit=1)
        if path != PATH and words[0].lower() == name.lower() and words[-1].strip().lower() != wanted.lower():
            return f" ({path}:{number})"
    return ""
