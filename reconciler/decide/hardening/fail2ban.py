"""Bans after wrong logins: a jail for sshd that reads systemd's journal.

By default fail2ban of Debian 12 reads a log file that does not exist, so it does not start. The filter of fail2ban
before 1.1.1 misses `sshd-session`, the process of each login since OpenSSH 9.8.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.hardening import WRITTEN

JAIL_PATH = "/etc/fail2ban/jail.d/reconciler.local"
FILTER_PATH = "/etc/fail2ban/filter.d/reconciler-sshd.conf"

PACKAGES = ("fail2ban", "python3-systemd", "nftables")

RESTART = (
    "systemctl -q enable fail2ban && systemctl restart fail2ban && "
    "timeout 30 sh -c 'until fail2ban-client ping >/dev/null 2>&1; do sleep 0.2; done'"
)

JOURNAL = "_SYSTEMD_UNIT=ssh.service _UID=0 + _SYSTEMD_UNIT=sshd.service _UID=0"
"""Matches only lines of the server itself. Any account can log lines in the name of a program `sshd`, and so could have
any address banned."""


def jail(ports: Iterable[int]) -> bytes:
    """The jail for sshd at these ports. The first ban is short, because it may hit the owner; each further one is
    longer."""
    numbers = ",".join(str(port) for port in sorted(set(ports)))
    return f"""\
# {WRITTEN}
[sshd]
enabled = true
filter = reconciler-sshd
backend = systemd
port = {numbers}
banaction = nftables
maxretry = 5
findtime = 10m
bantime = 10m
bantime.increment = true
bantime.maxtime = 1d
""".encode()


def filters() -> bytes:
    """The distribution's filter, extended to every name of sshd's processes."""
    return f"""\
# {WRITTEN}
[INCLUDES]
before = sshd.conf

[DEFAULT]
_daemon = sshd(?:-session|-auth)?

[Definition]
journalmatch = {JOURNAL}
""".encode()
