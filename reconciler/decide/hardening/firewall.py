"""The input rules of the machine, in a table of their own. Docker's chains and all other tables stay unchanged.

The kernel forwards packets to published ports of containers, so they never reach these rules. Policies bind such ports
to 127.0.0.1.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.decide.hardening import WRITTEN

FOLDER = "/etc/reconciler-firewall"
PATH = f"{FOLDER}/rules.nft"
UNIT = "reconciler-firewall.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"

OTHERS = ("ufw", "firewalld", "nftables")
"""Other firewalls. If one of them is active, we add no rules."""

CHECK = f"nft -c -f {PATH}\n"
APPLY = f"""\
systemctl daemon-reload
systemctl -q enable {UNIT}
systemctl restart {UNIT}
"""
BACK = f"""\
systemctl daemon-reload
if [ -e {PATH} ]; then
    nft -f {PATH}
else
    rm -f /etc/systemd/system/sysinit.target.wants/{UNIT}
    systemctl --no-block stop {UNIT} 2>/dev/null || true
    nft delete table inet reconciler 2>/dev/null || true
fi
"""


def rules(ports: Iterable[int]) -> bytes:
    """The file for nft. `ports`: sshd's, which stay open."""
    numbers = ", ".join(str(port) for port in sorted(set(ports)))
    return f"""\
# {WRITTEN}
# Further rules: {FOLDER}/*.rules, for instance `tcp dport 8080 accept`; then
# `systemctl reload {UNIT}`.
table inet reconciler
delete table inet reconciler
table inet reconciler {{
    chain input {{
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        ct state invalid drop
        iifname "lo" accept
        meta l4proto {{ icmp, ipv6-icmp, igmp }} accept
        tcp dport {{ {numbers} }} accept
        # Answers to DHCP by broadcast, and names like mini.local.
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
        ip daddr 224.0.0.251 udp dport 5353 accept
        ip6 daddr ff02::fb udp dport 5353 accept
        # Whom the tailnet admits, and containers, which may use the host as before.
        iifname "tailscale0" accept
        iifname "docker0" accept
        iifname "br-*" accept
        include "{FOLDER}/*.rules"
    }}
}}
""".encode()


def unit() -> bytes:
    """The service that loads the rules before the network is up."""
    return f"""\
# {WRITTEN}
[Unit]
Description=reconciler: input rules of this machine
DefaultDependencies=no
RequiresMountsFor={FOLDER}
ConditionPathExists={PATH}
After=local-fs.target nftables.service
Before=network-pre.target shutdown.target
Wants=network-pre.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {PATH}
ExecReload=/usr/sbin/nft -f {PATH}
ExecStop=-/usr/sbin/nft delete table inet reconciler

[Install]
WantedBy=sysinit.target
""".encode()
