"""The changes of the hardening, and the checks after the second login."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from reconciler.bootstrap.hardening import LOGIN, START, plan, prove, ready
from reconciler.bootstrap.model import Change, Lines, Plan
from reconciler.decide.hardening import PARTS, fail2ban, firewall, guard, ssh
from reconciler.errors import Transient
from reconciler.model.checks import Check
from reconciler.model.outcome import Reason
from reconciler.process import Completed
from tests.bootstrap.facts import WANTED, names

ALL = replace(WANTED, harden=PARTS)
BARE: Lines = {"harden_root": ["yes"], "harden_port": ["22"], "ssh_port": ["22"], "harden_account": ["root", "me"]}


def text(*lines: str) -> str:
    return base64.b64encode("\n".join(lines).encode()).decode()


def closed(ports: Sequence[int] = (22,)) -> dict[str, Sequence[str]]:
    """The output of the script of facts on a hardened machine."""
    files = {
        ssh.PATH: ssh.drop_in(("me",)),
        firewall.PATH: firewall.rules(ports),
        firewall.UNIT_PATH: firewall.unit(),
        fail2ban.JAIL_PATH: fail2ban.jail(ports),
        fail2ban.FILTER_PATH: fail2ban.filters(),
    }
    settings = [f"{name.lower()} {value}" for name, value in ssh.SETTINGS.items()]
    rules = text("table inet reconciler {", f"tcp dport {ports[0]} accept", "}")
    return {
        **BARE,
        "harden_effective": [text(f"user {user}", *settings, "allowusers me") for user in ("root", "me")],
        "harden_file": [base64.b64encode(f"{path}\n".encode() + data).decode() for path, data in files.items()],
        "harden_unit": ["fail2ban active enabled", "reconciler-firewall active enabled"],
        "harden_package": list(fail2ban.PACKAGES),
        "harden_rules": [rules],
        "harden_rules_of_file": [rules],
        "harden_jail": [text("Status for the jail: sshd")],
        "harden_journal": [text("_SYSTEMD_UNIT=ssh.service")],
    }


def staged(made: Plan) -> list[str]:
    """The files of the guarded change."""
    return next(
        change.arguments["data"].decode().splitlines()
        for change in made.changes
        if change.arguments.get("dest") == f"{guard.NEXT}/files"
    )


def test_a_bare_machine_gets_all_parts_and_the_guarded_change_last() -> None:
    made = plan(BARE, ALL)
    assert made.refusals == ()
    assert names(made)[-1] == START
    assert names(made).index("harden-fail2ban-reconciler-local") < names(made).index("harden-packages")
    assert names(made).index("harden-packages") < names(made).index("harden-fail2ban")
    assert staged(made) == [ssh.PATH, firewall.PATH, firewall.UNIT_PATH]
    assert len(set(names(made))) == len(names(made))
    assert made.notes == ("May log in by ssh, by key only: me. No other account, and not root.",)


def test_a_hardened_machine_needs_no_change() -> None:
    assert names(plan(closed(), ALL)) == []


@pytest.mark.parametrize(
    ("lost", "needed", "files"),
    [
        ({"harden_package": ["nftables"]}, ["harden-packages"], []),
        ({"harden_unit": ["fail2ban failed enabled", "reconciler-firewall active enabled"]}, ["harden-fail2ban"], []),
        ({"harden_rules": []}, [], [firewall.PATH, firewall.UNIT_PATH]),
        ({"harden_account": ["root", "me", "other"]}, [], [ssh.PATH]),
        ({"harden_pending": ["yes"]}, [], [ssh.PATH, firewall.PATH, firewall.UNIT_PATH]),
    ],
)
def test_only_what_has_drifted_is_changed(lost: Lines, needed: list[str], files: list[str]) -> None:
    made = plan({**closed(), **lost}, ALL)
    assert [name for name in names(made) if name.startswith(("harden-fail2ban", "harden-packages"))] == needed
    assert (START in names(made)) == bool(files)
    assert not files or staged(made) == files


def test_accounts_in_any_alphabet_may_still_log_in_and_the_others_are_named() -> None:
    made = plan({**BARE, "harden_account": ["jörg", "odd@name"]}, replace(ALL, login="søren"))
    assert made.refusals == ()
    assert made.notes[0].startswith("May log in by ssh, by key only: søren, jörg.")
    assert made.notes[1].startswith("odd@name: has keys, but")
    ours = next(change for change in made.changes if change.arguments.get("dest") == f"{guard.NEXT}/new/1")
    assert "AllowUsers søren jörg" in ours.arguments["data"].decode()


def test_whom_another_allow_users_leaves_out_is_not_let_in() -> None:
    """sshd adds up the lists of all files."""
    settings = text(
        "/etc/ssh/sshd_config:7:AllowUsers me deploy@10.0.0.1",
        f"{ssh.PATH}:15:AllowUsers me other",
        "/etc/ssh/sshd_config.d/z.conf:1:Match User x",
        "/etc/ssh/sshd_config.d/z.conf:2:AllowUsers x",
    )
    made = plan({**BARE, "harden_account": ["me", "other"], "harden_settings": [settings]}, ALL)
    ours = next(change for change in made.changes if change.arguments.get("dest") == f"{guard.NEXT}/new/1")
    assert ours.arguments["data"] == ssh.drop_in(("me",))
    assert made.notes[0] == "May log in by ssh, by key only: me, deploy@10.0.0.1. No other account, and not root."


def test_the_port_of_this_login_stays_open() -> None:
    made = plan({**BARE, "ssh_port": ["2222"]}, ALL)
    rules = next(change for change in made.changes if change.arguments.get("dest") == f"{guard.NEXT}/new/2")
    assert b"tcp dport { 22, 2222 } accept" in rules.arguments["data"]


def test_beside_another_active_firewall_no_rules_are_added() -> None:
    made = plan({**BARE, "harden_ufw": ["active"]}, ALL)
    assert staged(made) == [ssh.PATH]
    assert "ufw is active and stays the firewall; no rules of ours are added." in made.notes


def test_a_match_block_that_allows_more_is_reported_and_needs_no_change() -> None:
    settings = text("/etc/ssh/sshd_config:9:Match User old", "/etc/ssh/sshd_config:10: PasswordAuthentication yes")
    made = plan({**closed(), "harden_settings": [settings]}, ALL)
    assert names(made) == []
    assert "PasswordAuthentication is yes for `Match User old` (/etc/ssh/sshd_config:10)" in made.notes[1]


@pytest.mark.parametrize(("login", "says"), [("root", "you log in as root"), ("me@corp", "cannot be named")])
def test_hardening_that_would_lock_out_this_login_is_refused(login: str, says: str) -> None:
    asked = replace(ALL, login=login)
    (refusal,) = plan(BARE, asked).refusals
    assert says in refusal.message
    assert plan(BARE, asked).changes == ()
    usual = plan(BARE, replace(asked, harden=None))
    assert usual.refusals == ()
    assert staged(usual) == [firewall.PATH, firewall.UNIT_PATH]
    assert "ssh is left as it is" in usual.notes[0]


def test_if_the_session_breaks_the_hint_says_that_the_old_files_return() -> None:
    def broken(script: str) -> Completed:
        raise Transient(Reason.HOST_UNREACHABLE, "the connection broke", "")

    (check,) = prove((START,), broken, lambda: False, lambda seconds: None)
    assert check.ok is False
    assert "by itself" in check.hint


def test_no_parts_give_an_empty_plan() -> None:
    assert plan(BARE, replace(ALL, harden=())) == Plan()


def test_without_a_second_login_the_change_is_refused_before_it_begins() -> None:
    made = plan(BARE, ALL)
    assert ready(made, lambda: True) is None
    refusal = ready(made, lambda: False)
    assert refusal is not None
    assert (refusal.name, refusal.ok) == (LOGIN, False)
    assert ready(plan(closed(), ALL), lambda: False) is None


def proven(logins: Iterator[bool], confirm: int = 0, made: tuple[str, ...] = (START,)) -> tuple[list[str], list[Check]]:
    """The commands that `prove` ran on the machine, and its checks. `logins`: whether each login works."""
    called: list[str] = []

    def run(script: str) -> Completed:
        called.append(script.split()[-1])
        return Completed(confirm if script.endswith("confirm") else 0, b"", b"")

    return called, list(prove(made, run, lambda: next(logins), lambda seconds: None))


def test_the_change_is_confirmed_only_after_a_second_login() -> None:
    called, checks = proven(iter([True]))
    assert (called, [item.ok for item in checks]) == (["confirm"], [True])
    called, checks = proven(iter([False, False, True]))
    assert (called, [item.ok for item in checks]) == (["back"], [False])
    assert "logins work as before" in checks[0].message


def test_a_confirmation_that_comes_too_late_is_reported() -> None:
    called, checks = proven(iter([True, True]), confirm=1)
    assert (called, [item.ok for item in checks]) == (["confirm", "back"], [False])
    assert proven(iter([]), made=("harden-packages",)) == ([], [])


def test_every_change_has_a_sentence_and_a_hint() -> None:
    changes: tuple[Change, ...] = plan(BARE, ALL).changes
    assert all(change.sentence and change.hint and not change.sentence.endswith(".") for change in changes)
