"""Hardening of macOS as texts, which have never run on a Mac (docs/security.md says so).

macOS also reads /etc/ssh/sshd_config.d. Its firewall pf is off by default, and updates of macOS overwrite /etc/pf.conf,
so the rules are in a file of their own that a daemon loads.
"""

from __future__ import annotations

import plistlib
from collections.abc import Iterable

from reconciler.decide.hardening import WRITTEN, ssh
from reconciler.model.service import ServiceFile

PF_PATH = "/etc/reconciler-firewall/pf.conf"
PF_LABEL = "dev.reconciler.firewall"
PF_DAEMON = f"/Library/LaunchDaemons/{PF_LABEL}.plist"


def mac_files(accounts: Iterable[str], ports: Iterable[int] = (22,)) -> tuple[ServiceFile, ...]:
    """The files of the hardening. Each belongs to root."""
    return (
        ServiceFile(ssh.PATH, 0o644, ssh.drop_in(tuple(accounts))),
        ServiceFile(PF_PATH, 0o644, pf(ports)),
        ServiceFile(PF_DAEMON, 0o644, pf_daemon()),
    )


def pf(ports: Iterable[int]) -> bytes:
    """The rules. They also apply to published ports of containers, because on a Mac a process of the Mac listens there.
    Apple's anchor keeps rules that macOS adds by itself."""
    numbers = ", ".join(str(port) for port in sorted(set(ports)))
    return f"""\
# {WRITTEN}
set skip on lo0
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
pass out quick all keep state
pass in quick on utun all keep state
pass in quick on bridge all keep state
pass in quick proto {{ icmp, ipv6-icmp, igmp }} all
pass in quick proto tcp from any to any port {{ {numbers} }} keep state
pass in quick proto udp from any to any port {{ 68, 546, 5353 }}
block drop in all
""".encode()


def pf_daemon() -> bytes:
    """The launchd daemon that loads the rules at boot and switches pf on."""
    return plistlib.dumps(
        {
            "Label": PF_LABEL,
            "ProgramArguments": ["/sbin/pfctl", "-E", "-f", PF_PATH],
            "RunAtLoad": True,
            "LaunchOnlyOnce": True,
        }
    )
