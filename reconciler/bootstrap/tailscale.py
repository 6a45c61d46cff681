"""`--tailscale`: the machine joins the owner's tailnet, and the laptop then reaches it by its address there.

The client of Tailscale is called as its sources describe it. Tests have only a stand-in for it.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator

from reconciler.bootstrap.engine import apt
from reconciler.bootstrap.model import Change, Lines, Plan, one
from reconciler.model.checks import Check
from reconciler.values import dataclass

FACTS = r"""
if command -v tailscale >/dev/null; then
    printf 'tailscale=yes\n'
    printf 'tailnet=%s\n' "$(timeout 15 tailscale status --json --peers=false 2>/dev/null | base64 | tr -d '\n')"
    printf 'tailnet_address=%s\n' "$(timeout 15 tailscale ip -4 2>/dev/null | head -n 1)"
elif apt-cache policy tailscale 2>/dev/null | grep -q '^  Candidate: [0-9]' ||
    grep -qsF pkgs.tailscale.com /etc/apt/sources.list /etc/apt/sources.list.d/*; then
    printf 'tailscale_package=yes\n'
fi
"""

NAME = "tailscale"
AGAIN = "run the same command again"
RUNNING, NEEDS_LOGIN, NEEDS_APPROVAL = "Running", "NeedsLogin", "NeedsMachineAuth"
KEY = "/run/reconciler-tailscale-key"
"""Where the auth key is for the moment of the login. /run is memory, and only root can read the file."""

LOGIN_TIME, URL_TIME = 60, 20
"""Seconds that a login by key may take, and that the daemon may need for the address to log in by hand."""


@dataclass(frozen=True, slots=True)
class Tailnet:
    """`installed`: the client is there; `package`: apt can install it. `state`: as the client names it, '' if the
    daemon does not answer; `url`: to log in by hand; `address`: IPv4; `name`: in the tailnet, both '' without one."""

    installed: bool = False
    package: bool = False
    state: str = ""
    url: str = ""
    address: str = ""
    name: str = ""


def read(lines: Lines) -> Tailnet:
    """From the output of FACTS."""
    try:
        status = json.loads(base64.b64decode(one(lines, "tailnet")))
    except ValueError:
        status = {}
    status = status if isinstance(status, dict) else {}
    own = status.get("Self")
    address = one(lines, "tailnet_address")
    return Tailnet(
        "tailscale" in lines,
        "tailscale_package" in lines,
        str(status.get("BackendState") or ""),
        str(status.get("AuthURL") or ""),
        address if re.fullmatch(r"[0-9]+(\.[0-9]+){3}", address) else "",
        str(own.get("DNSName") or "").rstrip(".") if isinstance(own, dict) else "",
    )


def plan(found: Tailnet, key: bytes) -> Plan:
    """The changes. `key`: an auth key, or b'' to log in by hand."""
    if not (found.installed or found.package):
        return Plan(notes=("Tailscale is not installed, and no apt source of this machine has it.",))
    return Plan(tuple(_changes(found, key)))


def _changes(found: Tailnet, key: bytes) -> Iterator[Change]:
    yield Change(
        "tailscale-package",
        "Install tailscale",
        arguments={"commands": [apt("update"), apt("install -y --no-install-recommends tailscale")]},
        needed=not found.installed,
        timeout=1800,
    )
    yield Change(
        "tailscale-service", "Start Tailscale's daemon, now and at every boot", "systemd.service",
        {"service": "tailscaled.service", "running": True, "enabled": True}, needed=not found.state,
        hint="see what it says: journalctl -u tailscaled -n 50",
    )  # fmt: skip
    login = found.state not in (RUNNING, NEEDS_APPROVAL)
    with_key = login and bool(key) and found.state != "Stopped"
    yield Change(
        "tailscale-key", f"Send the auth key into {KEY}, for this moment", "files.put",
        {"data": key + b"\n", "dest": KEY, "user": "root", "group": "root", "mode": "600"}, needed=with_key,
    )  # fmt: skip
    # Without options `up` changes no setting that somebody has made.
    by_key = (
        f"trap 'rm -f {KEY}' EXIT; timeout {LOGIN_TIME + 10} "
        f"tailscale up --auth-key=file:{KEY} --timeout={LOGIN_TIME}s </dev/null"
    )
    by_hand = f"timeout {URL_TIME} tailscale up </dev/null >/dev/null 2>&1 || true"
    yield Change(
        "tailscale-up",
        "Join the tailnet" + (" with the auth key" if with_key else ""),
        arguments={"commands": [by_key if with_key else by_hand]},
        needed=login,
        hint="if the auth key is used up, expired or for another tag, make a new one in Tailscale's admin console",
    )


def check(found: Tailnet, reaches: bool, codename: str, system: str) -> Check:
    """The state at the end. `reaches`: the laptop has logged in by the tailnet's address."""
    if not found.installed:
        source = f"https://pkgs.tailscale.com/stable/{system}/{codename}"
        hint = (
            f"on the machine: curl -fsSL {source}.noarmor.gpg | sudo tee /usr/share/keyrings/"
            f"tailscale-archive-keyring.gpg >/dev/null; curl -fsSL {source}.tailscale-keyring.list | sudo tee "
            f"/etc/apt/sources.list.d/tailscale.list; then {AGAIN}"
        )
        return Check(NAME, False, "no apt source of this machine has tailscale", hint)
    if found.state == RUNNING and found.address:
        told = f"{found.address}{f' ({found.name})' if found.name else ''}"
        if reaches:
            return Check(NAME, True, f"{told}, by which --on and tunnel reach it")
        hint = f"log this laptop into the same tailnet (`tailscale up`), then {AGAIN}"
        return Check(NAME, False, f"{told} cannot be reached from this laptop, so hosts.yaml does not name it", hint)
    if found.url:
        return Check(NAME, False, "this machine is not logged in yet", f"open {found.url}, then {AGAIN}")
    hint = {
        NEEDS_APPROVAL: "approve it in Tailscale's admin console",
        NEEDS_LOGIN: "on the machine: sudo tailscale up",
    }.get(found.state, "see `sudo tailscale status` and `journalctl -u tailscaled` on the machine")
    return Check(NAME, False, f"Tailscale's state is {found.state or 'unknown'}", f"{hint}; then {AGAIN}")
