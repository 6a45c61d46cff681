"""Hardening of macOS as texts, which have never run on a Mac (docs/security.md says so). Tests run the script with real
processes on Linux, with stand-ins of `launchctl`, `pfctl` and `sysctl`.

The firewall pf is off by default, and updates of macOS overwrite /etc/pf.conf,
so the rules are in a file of their own that a daemon loads.
"""

from __future__ import annotations

import plistlib
from collections.abc import Iterable

from reconciler.decide.hardening import WRITTEN, guard
from reconciler.formats.packaged import packaged

PF_PATH = "/etc/reconciler-firewall/pf.conf"
PF_LABEL = "dev.reconciler.firewall"
PF_DAEMON = f"/Library/LaunchDaemons/{PF_LABEL}.plist"
RETURN_LABEL = "dev.reconciler.return"
RETURN_DAEMON = f"/Library/LaunchDaemons/{RETURN_LABEL}.plist"
LOG = "/var/log/reconciler-return.log"
BLOCK = "block drop in all"
"""The last of our rules."""

_CHECK = f"/sbin/pfctl -n -f {PF_PATH}\n"
# -E counts who needs pf, and gives a token; -X gives it back, so that pf is off again if it was off before.
_APPLY = f"/sbin/pfctl -E -f {PF_PATH} 2>pending/said || {{ cat pending/said >&2; exit 1; }}\n"
_BACK = f"""\
token=$(sed -n 's/^Token : *//p' returning/said 2>/dev/null || true)
if [ -e {PF_PATH} ]; then
    /sbin/pfctl -f {PF_PATH}
elif [ -e returning/said ]; then
    /sbin/pfctl -f /etc/pf.conf
fi
if [ -n "$token" ]; then /sbin/pfctl -X "$token" || true; fi
"""


def guarded(ports: Iterable[int]) -> guard.Guarded:
    """The change of pf. If the old rules were ours, they are loaded again, else those of the system."""
    return guard.Guarded({PF_PATH: pf(ports), PF_DAEMON: pf_daemon()}, _CHECK, _APPLY, _BACK)


def installed() -> dict[str, tuple[bytes, str]]:
    """The script that undoes a change, and its daemon: path → bytes and mode."""
    return {
        guard.SCRIPT: (packaged("hardening/guard-mac.sh"), "700"),
        RETURN_DAEMON: (_return_daemon(), "644"),
    }


def _return_daemon() -> bytes:
    return plistlib.dumps(
        {
            "Label": RETURN_LABEL,
            "ProgramArguments": ["/bin/sh", guard.SCRIPT, "watch"],
            "RunAtLoad": True,
            "StandardOutPath": LOG,
            "StandardErrorPath": LOG,
        }
    )


def pf(ports: Iterable[int]) -> bytes:
    """The rules. They also apply to published ports of containers, because on a Mac a process of the Mac listens there.
    Apple's anchor keeps rules that macOS adds by itself. Connections that were open before stay open: ssh has rules
    without a state, and the Mac's own connections get one by their next packet."""
    numbers = ", ".join(str(port) for port in sorted(set(ports)))
    return f"""\
# {WRITTEN}
set skip on lo0
scrub-anchor "com.apple/*"
nat-anchor "com.apple/*"
rdr-anchor "com.apple/*"
anchor "com.apple/*"
load anchor "com.apple" from "/etc/pf.anchors/com.apple"
pass out quick all flags any keep state
pass in quick on utun all keep state
pass in quick on bridge all keep state
pass in quick proto {{ icmp, ipv6-icmp, igmp }} all
pass in quick proto tcp from any to any port {{ {numbers} }} flags any no state
pass in quick proto udp from any to any port {{ 68, 546, 5353 }}
{BLOCK}
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
