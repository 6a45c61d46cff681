"""sshd's settings: a drop-in that is read before all other files, and differences of the effective settings from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from reconciler.decide.hardening import WRITTEN

PATH = "/etc/ssh/sshd_config.d/00-reconciler.conf"
"""sshd uses the first value that it reads, and reads the files of this folder in the order of their names."""

SETTINGS = {
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitEmptyPasswords": "no",
    "PubkeyAuthentication": "yes",
    "AuthenticationMethods": "publickey",
    "PermitRootLogin": "no",
    "X11Forwarding": "no",
    "AllowAgentForwarding": "no",
    "AllowTcpForwarding": "local",  # needed by `reconciler tunnel`
    "LoginGraceTime": "30",
    "ClientAliveInterval": "30",
    "ClientAliveCountMax": "4",
    "LogLevel": "VERBOSE",  # the log names the key of each login
}

OPENING = {
    name.lower(): SETTINGS[name]
    for name in ("PasswordAuthentication", "KbdInteractiveAuthentication", "PermitEmptyPasswords", "PermitRootLogin")
}
"""Settings (names in lower case) that allow more logins if they have another value."""

ACCOUNT = re.compile(r"\w[\w.-]*")
"""Names of accounts that AllowUsers takes literally: `@`, `*`, `?` and `!` have a meaning there."""

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
"""No job of systemd: at boot, sshd's job would wait for the very service that restores the files."""


def drop_in(accounts: Sequence[str]) -> bytes:
    """The drop-in file. `accounts`: those that may log in."""
    lines = [f"{name} {value}" for name, value in SETTINGS.items()]
    return "\n".join([f"# {WRITTEN}", *lines, f"AllowUsers {' '.join(accounts)}", ""]).encode()


def check(account: str) -> str:
    """Shell commands that succeed if the files are valid and every setting is effective for root and this account."""
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


def allowed(account: str, with_keys: Sequence[str], listed: Sequence[str] = ()) -> tuple[str, ...]:
    """Accounts for our AllowUsers: that of this login, and all that can log in by a key today, so nobody is locked out.

    `listed`: AllowUsers of other files. sshd adds ours to these, so ours must not let in whom they leave out.
    """
    others = {name for name in with_keys if ACCOUNT.fullmatch(name) and not listed} - {"root", account}
    return (account, *sorted(others))


def listed(settings: Sequence[str]) -> tuple[str, ...]:
    """The names and patterns in AllowUsers of other files than ours, outside of Match blocks."""
    found = [
        words[1].split()
        for path, block, _, words in _in_blocks(settings)
        if path != PATH and not block and words[0].lower() == "allowusers" and len(words) == 2
    ]
    return tuple(dict.fromkeys(name for names in found for name in names))


def faults(effective: Mapping[str, Mapping[str, str]], settings: Sequence[str]) -> Iterator[str]:
    """Settings that differ. `effective`: account → output of `sshd -T`, names in lower case; `settings`: lines of the
    configuration with file and number, to name the cause."""
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
    """Settings in Match blocks that allow more logins. The effective settings of one account do not show them."""
    for path, block, number, words in _in_blocks(settings):
        wanted = OPENING.get(words[0].lower())
        if block and wanted and words[-1].strip().lower() != wanted:
            yield f"{words[0]} is {words[-1].strip()} for `Match {block}` ({path}:{number})"


def _in_blocks(settings: Sequence[str]) -> Iterator[tuple[str, str, str, list[str]]]:
    """Of each line: its path, the condition of the Match block it is in (or ''), its number, its name and value."""
    block, before = "", ""
    for line in settings:
        path, number, words = _setting(line)
        block, before = ("" if path != before else block), path
        if words[0].lower() == "match":
            block = "" if words[-1].strip().lower() == "all" else words[-1].strip()
        yield path, block, number, words


def _setting(line: str) -> tuple[str, str, list[str]]:
    """Path and number of the line; name and value of the setting."""
    path, _, rest = line.partition(":")
    number, _, text = rest.partition(":")
    return path, number, re.split(r"[\s=]+", text.strip(), maxsplit=1)


def _cause(name: str, wanted: str, settings: Sequence[str]) -> str:
    """Path and number of the first line in another file that sets another value, '' if there is none."""
    for line in settings:
        path, number, words = _setting(line)
        if path != PATH and words[0].lower() == name.lower() and words[-1].strip().lower() != wanted.lower():
            return f" ({path}:{number})"
    return ""
