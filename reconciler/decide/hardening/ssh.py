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

OPENING = {
    name.lower(): SETTINGS[name]
    for name in ("PasswordAuthentication", "KbdInteractiveAuthentication", "PermitEmptyPasswords", "PermitRootLogin")
}
"""Settings that let more logins in, names in lower case."""

ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""Accounts that AllowUsers can name literally: `@`, `*`, `?` and `!` have a meaning there."""

RELOAD = """\
for unit in ssh sshd; do
    if systemctl -q is-active "$unit"; then systemctl reload "$unit"; fi
done
"""
BACK = """\
for unit in ssh sshd; do
    if systemctl -q is-active "$unit"; then kill -HUP "$(systemctl show -p MainPID --value "$unit")"; fi
done
"""
"""No job of systemd: at boot one would wait for the service that puts the files back."""


def drop_in(accounts: Sequence[str]) -> bytes:
    """The file, for the accounts that may log in."""
    lines = [f"{name} {value}" for name, value in SETTINGS.items()]
    return "\n".join([f"# {WRITTEN}", *lines, f"AllowUsers {' '.join(accounts)}", ""]).encode()


def check(account: str) -> str:
    """Shell: the files are valid, and for root and this account every setting counts, whatever other files say."""
    wanted = "\n".join(f"{name} {value}".lower() for name, value in SETTINGS.items())
    return f"""\
sshd -t
for user in root {account}; do
    effective=$(sshd -T -C "user=$user,host=client,addr=192.0.2.1,laddr=192.0.2.2,lport=22")
    while read -r name value; do
        if ! printf '%s\\n' "$effective" | grep -qix "$name $value"; then
            echo "sshd does not take $name $value for $user: another file sets it before {PATH}," >&2
            echo "or in a Match block; \\`grep -rni $name /etc/ssh/sshd_config*\\` shows where" >&2
            exit 1
        fi
    done <<'END'
{wanted}
END
done
"""


def allowed(account: str, with_keys: Sequence[str]) -> tuple[str, ...]:
    """Who may log in: the account of this login, and each that can log in by a key today, so that nobody loses it."""
    others = {name for name in with_keys if ACCOUNT.fullmatch(name)} - {"root", account}
    return (account, *sorted(others))


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
    yield from in_match_blocks(settings)
    if effective and not any(values.get("allowusers") for values in effective.values()):
        yield "AllowUsers is not set, so every account may log in"


def in_match_blocks(settings: Sequence[str]) -> Iterator[str]:
    """What a block opens for some accounts or addresses: the settings for one account do not show it."""
    block, before = "", ""
    for line in settings:
        path, number, words = _setting(line)
        block, before = ("" if path != before else block), path
        if words[0].lower() == "match":
            block = "" if words[-1].strip().lower() == "all" else words[-1].strip()
        wanted = OPENING.get(words[0].lower())
        if block and wanted and words[-1].strip().lower() != wanted:
            yield f"{words[0]} is {words[-1].strip()} for `Match {block}` ({path}:{number})"


def _setting(line: str) -> tuple[str, str, list[str]]:
    """Path, number, and the setting's name and value."""
    path, _, rest = line.partition(":")
    number, _, text = rest.partition(":")
    return path, number, re.split(r"[\s=]+", text.strip(), maxsplit=1)


def _cause(name: str, wanted: str, settings: Sequence[str]) -> str:
    """The first line of another file that sets it so."""
    for line in settings:
        path, number, words = _setting(line)
        if path != PATH and words[0].lower() == name.lower() and words[-1].strip().lower() != wanted.lower():
            return f" ({path}:{number})"
    return ""
