"""`--tailscale`, with a stand-in for the client: it prints and accepts what the sources of Tailscale describe."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from reconciler.bootstrap import entry, tailscale
from reconciler.bootstrap.model import Plan, parse
from reconciler.bootstrap.tailscale import Tailnet
from reconciler.fleet import load_hosts
from reconciler.model.fleet import RemoteHost
from tests.bootstrap.facts import names

STAND_IN = """\
#!/bin/sh
echo "$*" >>"$0.calls"
case "$1 $2" in
"status --json") cat "$0.json" ;;
"ip -4") grep -q '"Running"' "$0.json" || { echo 'no current Tailscale IPs; state: NeedsLogin' >&2; exit 1; }
    echo 100.101.102.103 ;;
up*) case "$*" in *--auth-key=file:*) key=${2#--auth-key=file:}; cat "$key" >"$0.key" ;; *) sleep 1; exit 1 ;; esac ;;
esac
"""
RUNNING = {
    "Version": "1.80.0",
    "BackendState": "Running",
    "AuthURL": "",
    "TailscaleIPs": ["100.101.102.103", "fd7a:115c:a1e0::1"],
    "Self": {"HostName": "mini", "DNSName": "mini.tail1234.ts.net.", "Online": True},
}
LOGGED_OUT = {
    "BackendState": "NeedsLogin",
    "AuthURL": "https://login.tailscale.com/a/0123456789ab",
    "TailscaleIPs": None,
    "Self": {"HostName": "mini", "DNSName": ""},
}
IN = Tailnet(True, False, "Running", "", "100.101.102.103", "mini.tail1234.ts.net")
OUT = Tailnet(True, False, "NeedsLogin", "https://login.tailscale.com/a/0123456789ab")


@pytest.fixture
def client(tmp_path: Path) -> Path:
    program = tmp_path / "bin/tailscale"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return program


def look(client: Path, status: object) -> Tailnet:
    client.with_suffix(".json").write_text(status if isinstance(status, str) else json.dumps(status))
    return tailscale.read(parse(shell(client, tailscale.FACTS)))


def shell(client: Path, script: str) -> str:
    environ = {"PATH": f"{client.parent}:/usr/bin:/bin"}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env=environ).stdout


def command(plan: Plan, name: str) -> str:
    return str(next(item for item in plan.changes if item.name == name).arguments["commands"][0])


def test_the_state_is_read_from_the_client(client: Path) -> None:
    assert look(client, RUNNING) == IN
    assert look(client, LOGGED_OUT) == OUT
    assert look(client, "failed to connect to local tailscaled\n") == Tailnet(True)
    client.unlink()
    assert not tailscale.read(parse(shell(client, tailscale.FACTS))).installed


def test_only_what_is_missing_is_done() -> None:
    key = b"tskey-auth-x"
    assert names(tailscale.plan(IN, key)) == []
    assert names(tailscale.plan(OUT, b"")) == ["tailscale-up"]
    assert names(tailscale.plan(OUT, key)) == ["tailscale-key", "tailscale-up"]
    assert names(tailscale.plan(Tailnet(True, state="Stopped"), key)) == ["tailscale-up"]
    assert names(tailscale.plan(Tailnet(package=True), b"")) == [
        "tailscale-package",
        "tailscale-service",
        "tailscale-up",
    ]
    missing = tailscale.plan(Tailnet(), key)
    assert (names(missing), len(missing.notes)) == ([], 1)


def test_the_key_is_on_no_command_line_and_does_not_stay(client: Path, tmp_path: Path) -> None:
    plan = tailscale.plan(OUT, b"tskey-auth-x")
    [put, up] = [item for item in plan.changes if item.needed]
    assert (put.arguments["data"], put.arguments["mode"]) == (b"tskey-auth-x\n", "600")
    key = tmp_path / "key"
    key.write_bytes(put.arguments["data"])
    shell(client, command(plan, up.name).replace(tailscale.KEY, str(key)))
    assert client.with_suffix(".key").read_text() == "tskey-auth-x\n"
    assert "tskey" not in client.with_suffix(".calls").read_text() + command(plan, up.name) + put.sentence
    assert not key.exists()


def test_without_a_key_the_client_is_asked_without_options(client: Path) -> None:
    shell(client, command(tailscale.plan(OUT, b""), "tailscale-up"))
    assert client.with_suffix(".calls").read_text() == "up\n"


def test_the_check_says_what_is_missing() -> None:
    def told(found: Tailnet, reaches: bool = False) -> tuple[bool | None, str]:
        check = tailscale.check(found, reaches, "bookworm", "debian")
        return check.ok, f"{check.message} {check.hint}"

    assert told(IN, reaches=True) == (
        True,
        "100.101.102.103 (mini.tail1234.ts.net), by which --on and tunnel reach it ",
    )
    for found, part in (
        (IN, "log this laptop into the same tailnet"),
        (OUT, "open https://login.tailscale.com/a/0123456789ab"),
        (Tailnet(True, state="NeedsMachineAuth"), "approve it"),
        (Tailnet(True, state="NeedsLogin"), "sudo tailscale up"),
        (Tailnet(True), "state is unknown"),
        (Tailnet(), "pkgs.tailscale.com/stable/debian/bookworm.noarmor.gpg"),
    ):
        ok, text = told(found)
        assert (ok, part in text) == (False, True), text


def test_the_address_is_entered_into_the_existing_entry(tmp_path: Path) -> None:
    home, host = {"HOME": str(tmp_path)}, RemoteHost("mini", "me@mini", user="reconciler")
    tmp_path.chmod(0o755)
    assert entry.write(host, home)
    way = RemoteHost("mini", "me@mini", address="100.101.102.103", user="reconciler")
    assert entry.set_address(way, home) is None
    assert load_hosts(home) == (way,)
    assert entry.set_address(way, home) is None
    path = tmp_path / ".config/reconciler/hosts.yaml"
    path.write_text("hosts:\n  - name: mini  # mine\n    ssh: me@mini\n")
    fault = entry.set_address(way, home)
    assert fault is not None
    assert "address: 100.101.102.103" in fault.hint
