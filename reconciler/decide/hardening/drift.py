"""Differences between a machine and the result of `bootstrap --harden`, each with a remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator

from reconciler.decide.hardening import FAIL2BAN, FIREWALL, SSH, fail2ban, firewall, ssh
from reconciler.decide.hardening.facts import Facts
from reconciler.model.checks import Check

AGAIN = "run `reconciler bootstrap USER@HOST --name NAME --harden {}` from the laptop again"
LINE = "correct the line that is named; otherwise "
ONLY_ROOT = "not checked: only root can see it; call `sudo reconciler doctor --security`"


def checks(facts: Facts) -> Iterator[Check]:
    """A check for each part of the hardening, and one if a change waits for its confirmation."""
    yield _ssh(facts)
    yield _firewall(facts)
    yield _fail2ban(facts)
    if facts.pending:
        told = "a change of ssh or firewall waits for its confirmation"
        yield Check(
            "return", False, told, "it returns by itself within a minute; at once: systemctl start reconciler-return"
        )


def firewall_faults(facts: Facts) -> list[str]:
    """Faults of our own table. The rules of another firewall are not judged."""
    found = []
    if firewall.PATH not in facts.files:
        return ["there are no input rules"]
    if not facts.rules:
        found.append("the input rules are not loaded")
    elif facts.rules_of_file and facts.rules != facts.rules_of_file:
        found.append(f"the loaded rules differ from {firewall.PATH}: {_difference(facts.rules_of_file, facts.rules)}")
    if not facts.enabled(firewall.UNIT.removesuffix(".service")):
        found.append(f"{firewall.UNIT} is not enabled, so the rules are gone after a boot")
    shut = [port for port in facts.ports if not re.search(rf"tcp dport [^;\n]*\b{port}\b", facts.rules)]
    if facts.rules and shut:
        found.append(f"no rule accepts port {shut[0]} of sshd")
    return found


def fail2ban_faults(facts: Facts) -> list[str]:
    found = []
    if not facts.active("fail2ban"):
        return ["fail2ban does not run"]
    if fail2ban.JAIL_PATH not in facts.files:
        found.append(f"{fail2ban.JAIL_PATH} is missing")
    if facts.files.get(fail2ban.FILTER_PATH) != fail2ban.filters():
        found.append(f"{fail2ban.FILTER_PATH} is missing or was changed")
    if not facts.jail:
        found.append("fail2ban has no jail `sshd`")
    elif "_SYSTEMD_UNIT" not in facts.journal:
        found.append("the jail `sshd` does not read systemd's journal")
    if not facts.enabled("fail2ban"):
        found.append("fail2ban is not enabled, so it does not run after a boot")
    return found


def _ssh(facts: Facts) -> Check:
    if not facts.effective:
        return Check(SSH, None, "not checked: there is no sshd" if facts.root else ONLY_ROOT)
    allowed = next((values["allowusers"] for values in facts.effective.values() if "allowusers" in values), "")
    found = list(ssh.faults(facts.effective, facts.settings))
    return _check(SSH, found, f"keys only, no root; may log in: {allowed}")


def _firewall(facts: Facts) -> Check:
    if not facts.root:
        return Check(FIREWALL, None, ONLY_ROOT)
    if facts.firewall:
        return Check(FIREWALL, None, f"not checked: {facts.firewall} is active and stays the firewall")
    return _check(FIREWALL, firewall_faults(facts), "input rules are loaded, as in the file")


def _fail2ban(facts: Facts) -> Check:
    if not facts.root:
        return Check(FAIL2BAN, None, ONLY_ROOT)
    banned = re.search(r"Currently banned:\s*(\d+)", facts.jail)
    return _check(FAIL2BAN, fail2ban_faults(facts), f"it runs; banned now: {banned[1] if banned else 'nobody'}")


def _check(name: str, faults: list[str], well: str) -> Check:
    hint = (LINE if name == SSH else "") + AGAIN.format(name)
    return Check(name, False, "; ".join(faults), hint) if faults else Check(name, True, well)


def _difference(wanted: str, found: str) -> str:
    """The first line that is missing, and the first that should not be there."""
    lines = [item for item in difflib.ndiff(wanted.splitlines(), found.splitlines()) if item[:1] in "+-"]
    words = {"-": "missing", "+": "added"}
    first = {words[item[0]]: " ".join(item[1:].split()) for item in reversed(lines)}
    return ", ".join(f"{what} `{line}`" for what, line in sorted(first.items(), reverse=True))
