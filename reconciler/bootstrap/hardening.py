"""Hardening as a part of `bootstrap`: its changes, and the second login that confirms them.

The files of ssh and of the firewall are one change. The machine itself restores the old files after a minute unless a
second login has succeeded by then (`decide/hardening/guard.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from reconciler.bootstrap.engine import apt
from reconciler.bootstrap.model import Change, Lines, Plan, Wanted
from reconciler.decide.hardening import FAIL2BAN, FIREWALL, PARTS, SSH, drift, fail2ban, firewall, guard, ssh
from reconciler.decide.hardening.facts import Facts, read
from reconciler.errors import Transient
from reconciler.formats.packaged import packaged
from reconciler.model.checks import Check
from reconciler.process import Completed

__all__ = ["FACTS", "PARTS", "START", "plan", "prove", "ready"]

FACTS = packaged("hardening/look.sh").decode()

START = "harden-start"
"""The change that starts the minute."""

LOGIN = "login"
"""The check that `ready` and `prove` return."""

TRIES = 5
"""Attempts to log in after the old files are back, one second apart."""

KEY = (
    "let the machine know your key (`ssh-copy-id USER@HOST`), and ssh-agent its passphrase (`ssh-add`), until "
    "`ssh -o BatchMode=yes USER@HOST` logs in without a question"
)


def plan(lines: Lines, wanted: Wanted) -> Plan:
    """The changes of the hardening. `lines`: the output of FACTS, with `ssh_port`: the port of this login."""
    facts, asked = read(lines), wanted.harden
    refusals = tuple(_refusals(wanted.login, asked or ()))
    parts = _usual(wanted.login) if asked is None else asked
    if refusals or not parts:
        return Plan(refusals=refusals)
    ports = sorted({*facts.ports, *(int(item) for item in lines.get("ssh_port", ()) if item.isdecimal())}) or [22]
    listed = ssh.listed(facts.settings)
    accounts = ssh.allowed(wanted.login, facts.accounts, listed)
    guarded = []
    if SSH in parts:
        guarded.append((ssh.PATH, _ssh(accounts), [*ssh.faults(facts.effective, ())]))
    if FIREWALL in parts and not facts.firewall:
        guarded.append((firewall.PATH, _firewall(ports), drift.firewall_faults(facts)))
    needed = [
        change
        for path, change, faults in guarded
        if faults or facts.pending or any(facts.files.get(name) != data for name, data in change.files.items())
    ]
    changes = [
        *(_fail2ban(facts, ports) if FAIL2BAN in parts else ()),
        *_packages(facts, parts),
        *(_bans(facts, ports) if FAIL2BAN in parts else ()),
        *(start(guard.join(needed), guard.installed(), "root") if needed else ()),
    ]
    return Plan(changes=tuple(changes), notes=tuple(_notes(facts, wanted, dict.fromkeys((*accounts, *listed)), parts)))


def _usual(login: str) -> tuple[str, ...]:
    """The parts that are hardened by default: all that do not lock out this login."""
    return tuple(part for part in PARTS if part != SSH or not tuple(_refusals(login, PARTS)))


def ready(found: Plan, connect: Callable[[], bool]) -> Check | None:
    """Check a second login before anything is changed: it must work now to work afterwards. None: go on."""
    if not any(change.name == START for change in found.changes) or connect():
        return None
    told = "a second login by key does not work, so the hardening would lock you out; nothing was changed"
    return Check(LOGIN, False, told, f"{KEY}, then run the same command again; or leave all open: --harden none")


def prove(
    made: Collection[str], run: Callable[[str], Completed], connect: Callable[[], bool], pause: Callable[[float], None]
) -> Iterator[Check]:
    """Try a second login directly after the last change, and confirm the change only if it works.

    `made`: names of the changes that were made; `run`: runs a script as root in the open session; `connect`: whether a
    new login by key works; `pause`: waits for so many seconds.
    """
    if START not in made:
        return
    if connect() and run(f"sh {guard.SCRIPT} confirm").returncode == 0:
        yield Check(LOGIN, True, "a second login worked with the new settings; they stay")
        return
    try:
        run(f"sh {guard.SCRIPT} back")
    except Transient:
        told = "no second login worked with the new settings, and the open session broke"
        hint = f"wait {guard.SECONDS} s, until the machine has put the old files back by itself, and run it again"
        yield Check(LOGIN, False, told, hint)
        return
    told = "no second login worked with the new settings, so the old ones are back"
    for _ in range(TRIES):
        if connect():
            hint = "see the log of sshd on the machine (`journalctl -u ssh`) for why, then run the same command again"
            yield Check(LOGIN, False, f"{told}; logins work as before", hint)
            return
        pause(1.0)  # sshd is reading its old files again
    yield Check(LOGIN, False, f"{told}; a new login by key does not work with them either", KEY)


def _refusals(login: str, parts: Sequence[str]) -> Iterator[Check]:
    if SSH not in parts:
        return
    if login == "root":
        hint = "make an account with your key and with sudo on the machine, and name it; or leave `ssh` out of --harden"
        yield Check(SSH, False, "you log in as root, and the hardening of ssh forbids logins as root", hint)
    elif not ssh.ACCOUNT.fullmatch(login):
        hint = "log in with another account, or leave `ssh` out of --harden"
        yield Check(SSH, False, f"the account {login!r} cannot be named in sshd's AllowUsers", hint)


def _notes(facts: Facts, wanted: Wanted, accounts: Iterable[str], parts: Sequence[str]) -> Iterator[str]:
    if SSH in parts:
        yield f"May log in by ssh, by key only: {', '.join(accounts)}. No other account, and not root."
        odd = [name for name in facts.accounts if not ssh.ACCOUNT.fullmatch(name)]
        if odd:
            yield f"{', '.join(odd)}: has keys, but cannot be named in sshd's AllowUsers and cannot log in any more."
        for told in ssh.in_match_blocks(facts.settings):
            yield f"{told}. A block of yours is not changed: remove that line, if nobody needs it."
    elif wanted.harden is None:
        yield f"ssh is left as it is, because its hardening would close the login of {wanted.login} (docs/security.md)."
    if FIREWALL in parts and facts.firewall:
        yield f"{facts.firewall} is active and stays the firewall; no rules of ours are added."


def _ssh(accounts: Sequence[str]) -> guard.Guarded:
    return guard.Guarded({ssh.PATH: ssh.drop_in(accounts)}, ssh.check(accounts[0]), ssh.RELOAD, ssh.BACK)


def _firewall(ports: Sequence[int]) -> guard.Guarded:
    files = {firewall.PATH: firewall.rules(ports), firewall.UNIT_PATH: firewall.unit()}
    return guard.Guarded(files, firewall.CHECK, firewall.APPLY, firewall.BACK)


def _packages(facts: Facts, parts: Sequence[str]) -> Iterator[Change]:
    names = fail2ban.PACKAGES if FAIL2BAN in parts else ("nftables",) if FIREWALL in parts else ()
    missing = [name for name in names if name not in facts.packages]
    yield Change(
        "harden-packages", f"Install {', '.join(missing)}",
        arguments={"commands": [apt("update"), apt(f"install -y --no-install-recommends {' '.join(missing)}")]},
        needed=bool(missing),
        hint="can the machine reach its package mirror? `sudo apt update` there says more",
        timeout=1800,
    )  # fmt: skip


def _put(
    name: str, sentence: str, path: str, data: bytes, mode: str = "644", group: str = "root", *, needed: bool = True
) -> Change:
    given = {"data": data, "dest": path, "user": "root", "group": group, "mode": mode}
    return Change(name, sentence, "files.put", given, needed=needed)


def _jail(ports: Sequence[int]) -> dict[str, bytes]:
    return {fail2ban.FILTER_PATH: fail2ban.filters(), fail2ban.JAIL_PATH: fail2ban.jail(ports)}


def _fail2ban(facts: Facts, ports: Sequence[int]) -> Iterator[Change]:
    """Write the files before the package is installed: fail2ban does not start on Debian 12 without them."""
    for path, data in _jail(ports).items():
        name = path.rpartition("/")[2].replace(".", "-")
        yield _put(f"harden-fail2ban-{name}", f"Write {path}", path, data, needed=facts.files.get(path) != data)


def _bans(facts: Facts, ports: Sequence[int]) -> Iterator[Change]:
    same = all(facts.files.get(path) == data for path, data in _jail(ports).items())
    yield Change(
        "harden-fail2ban", "Start fail2ban with the jail of sshd", arguments={"commands": [fail2ban.RESTART]},
        needed=not same or bool(drift.fail2ban_faults(facts)),
        hint="see `journalctl -u fail2ban` on the machine",
    )  # fmt: skip


def start(change: guard.Guarded, installed: Mapping[str, tuple[bytes, str]], group: str) -> Iterator[Change]:
    """The changes that put the new files in place and start the minute for their confirmation. `installed`: files that
    undo the change, path → bytes and mode. `group`: of root."""
    yield Change(
        "harden-folder", f"Make {guard.HOME}", "files.directory",
        {"path": guard.HOME, "user": "root", "group": group, "mode": "700"},
    )  # fmt: skip
    for path, (data, mode) in installed.items():
        name = path.rpartition("/")[2].replace(".", "-")
        yield _put(f"harden-{name}", f"Write {path}, by which a change returns by itself", path, data, mode, group)
    for path, data in guard.staged(change).items():
        name = path.removeprefix(f"{guard.NEXT}/").replace("/", "-")
        yield _put(f"harden-next-{name}", f"Prepare {path}", path, data, "600", group)
    told = ", ".join(change.files)
    yield Change(
        START, f"Put {told} in place; without a second login within {guard.SECONDS} s the old ones return",
        arguments={"commands": [f"sh {guard.SCRIPT} start"]},
        hint="it says above which file is in the way; nothing was changed",
    )  # fmt: skip
