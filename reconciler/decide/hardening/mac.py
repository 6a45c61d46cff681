"""The same for macOS: texts that were never run on a Mac (docs/security.md says so).

macOS reads /etc/ssh/sshd_config.d, too. pf is off there by default, and updates of the system write /etc/pf.conf anew,
so the rules are a file of their own that a daemon loads.
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
    """Each belongs to root."""
    return (
        ServiceFile(ssh.PATH, 0o644, ssh.drop_in(tuple(accounts))),
        ServiceFile(PF_PATH, 0o644, pf(ports)),
        ServiceFile(PF_DAEMON, 0o644, pf_daemon()),
    )


def pf(ports: Iterable[int]) -> bytes:
    """Published ports of containers are listeners of the Mac itself, so these rules hold for them, too. The anchor of
    Apple keeps what the system adds by itself."""
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
    """Loads them at boot and switches pf on."""
    return plistlib.dumps(
        {
            "Label": PF_LABEL,
            "ProgramArguments": ["/sbin/pfctl", "-E", "-f", PF_PATH],
            "RunAtLoad": True,
            "LaunchOnlyOnce": True,
        }
    )
