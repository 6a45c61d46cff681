"""The firewall of a Mac as a part of `bootstrap`, with the same timed return as on Linux. Never run on a Mac."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.bootstrap.hardening import start
from reconciler.bootstrap.model import Lines, Plan, Wanted, one
from reconciler.decide.hardening import FIREWALL, mac
from reconciler.decide.hardening.facts import read
from reconciler.model.checks import Check

FACTS = f"""
harden_text() {{ printf '%s=%s\\n' "$1" "$(base64 | tr -d '\\n')"; }}
for harden_path in {mac.PF_PATH} {mac.PF_DAEMON}; do
    if [ -r "$harden_path" ]; then
        {{ printf '%s\\n' "$harden_path"; cat "$harden_path"; }} | harden_text harden_file
    fi
done
pfctl -s rules 2>/dev/null | harden_text harden_rules
pfctl -s info 2>/dev/null | sed -n 's/^Status: \\([A-Za-z]*\\).*/harden_pf=\\1/p'
if [ -d /var/lib/reconciler-harden/pending ] || [ -d /var/lib/reconciler-harden/returning ]; then
    echo harden_pending=yes
fi
"""
OPEN = "the ports of a Mac stay open; `--harden firewall` closes them (docs/security.md: never tried on a Mac)"


def plan(lines: Lines, wanted: Wanted) -> Plan:
    """The changes. `lines`: the output of FACTS, with `ssh_port`: the port of this login. Only what `--harden` names is
    hardened, because nobody has tried it on a Mac."""
    facts, asked, port = read(lines), wanted.harden, one(lines, "ssh_port")
    if asked is None:
        return Plan(notes=(OPEN,))
    others = [part for part in asked if part != FIREWALL]
    if others:
        hint = "write `--harden firewall`; docs/security.md says what to do for ssh by hand"
        return Plan(refusals=(Check("hardening", False, f"on a Mac {' and '.join(others)} cannot be hardened", hint),))
    rules = facts.rules.splitlines()
    foreign = next(_foreign(rules), "")
    if FIREWALL not in asked or foreign:
        told = f"pf has rules of others (`{foreign}`) and keeps them; no rules of ours are added."
        return Plan(notes=(told,) if foreign and asked else ())
    change = mac.guarded([int(port) if port.isdecimal() else 22])
    loaded = mac.BLOCK in rules and one(lines, "harden_pf") == "Enabled"
    if loaded and facts.files == change.files and not facts.pending:
        return Plan()
    return Plan(changes=tuple(start(change, mac.installed(), "wheel")))


def _foreign(rules: list[str]) -> Iterator[str]:
    """Rules that are neither macOS's own anchors nor ours. Ours end with BLOCK."""
    if mac.BLOCK not in rules:
        yield from (line.strip() for line in rules if line.strip() and '"com.apple/' not in line)
