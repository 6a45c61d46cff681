"""Hardening of a real machine: it closes what it promises, and locks nobody out. Run it with

pytest -m soak tests/target/test_hardening.py
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.conftest import BASE
from tests.e2e.host import eventually
from tests.target.owner import Owner, owner
from tests.target.target import IMAGE, Target, image

pytestmark = [pytest.mark.engine, pytest.mark.soak]

BOOTSTRAP = ("bootstrap", "me@target", "--name", "mini")
SERVER = (
    "perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(LocalPort => {}, Listen => 5, ReuseAddr => 1); "
    'while ($c = $s->accept) {{ print $c "hello\\n"; close $c }}\''
)
DROP_IN = "/etc/ssh/sshd_config.d/00-reconciler.conf"
PENDING = "/var/lib/reconciler-harden/pending"


@pytest.fixture(scope="module")
def machine(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A machine with an engine, and with a container that publishes a port on loopback."""
    image(engine, tmp_path_factory.mktemp("target"))
    made = Target(engine, IMAGE)
    try:
        made.start()
        made.load(BASE)
        made.put("/root/serve", f"#!/bin/sh\n{SERVER.format(80)}\n".encode(), 0o755)
        made.run(f"docker run -d --restart always -v /root/serve:/serve -p 127.0.0.1:8080:80 {BASE} /serve")
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def me(machine: Target) -> Iterator[Owner]:
    """The owner of a machine that reconciles and is not hardened. The laptop's new logins go through a wrapper of ssh.
    The file `new` has one line per login: whether it works, has no key, or hangs."""
    with owner(machine) as made:
        made.account("me", sudo="ALL=(ALL) NOPASSWD: ALL")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made.folder / "wrong")], check=True)
        own = made.folder / "ssh_config"
        (made.folder / "wrong_config").write_text(own.read_text().replace(f"{made.folder}/key", f"{made.folder}/wrong"))
        (made.folder / "bin/ssh").write_text(
            f'#!/bin/sh\nconfig={own}\ncase "$*" in *ControlPath=none*)\n'
            f"how=$(head -n 1 {made.folder}/new); sed -i 1d {made.folder}/new\n"
            '[ "$how" != hang ] || exec sleep 1000\n'
            f'[ "$how" != no ] || config={made.folder}/wrong_config\n'
            'esac\nexec /usr/bin/ssh -F "$config" "$@"\n'
        )
        new_logins(made)
        made.document(*BOOTSTRAP, "--harden", "none")
        yield made


def new_logins(me: Owner, *how: str) -> None:
    """Say how the next logins end. After these, every login works."""
    (me.folder / "new").write_text("".join(f"{item}\n" for item in how))


def checks(found: Any) -> dict[str, Any]:
    print(json.dumps(found["checks"]))
    return {item["name"]: item for item in found["checks"]}


def open_machine(machine: Target) -> bool:
    """Whether the machine is as before hardening."""
    settings = machine.run(
        "sshd -T | grep -Ec '^(passwordauthentication yes|permitrootlogin without-password)$' || true"
    )
    rules = machine.answers("nft list table inet reconciler")
    return settings == "2" and not rules and not machine.answers(f"test -e {DROP_IN}")


def dockers(machine: Target) -> str:
    """Docker's rules, without counters. (The machine has no nft before it is hardened.)"""
    return machine.run("for t in nat filter; do iptables-save -t $t; done | sed -e '/^#/d' -e 's/ \\[[0-9:]*\\]$//'")


def serves(machine: Target, port: int) -> bool:
    return machine.answers(f"exec 3<>/dev/tcp/127.0.0.1/{port}; timeout 5 head -n 1 <&3 | grep -q hello")


def logs_in(me: Owner, account: str, *options: str) -> str:
    """'' if the login works; else the message of ssh."""
    argv = [
        "/usr/bin/ssh", "-F", str(me.folder / "ssh_config"), "-o", "BatchMode=yes", "-o", "ControlPath=none",
        "-o", "ConnectTimeout=10", *options, f"{account}@target", "true",
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    return done.stderr.strip() if done.returncode else ""


def test_without_a_key_that_works_nothing_is_changed(machine: Target, me: Owner) -> None:
    new_logins(me, "no")
    found = me.document(*BOOTSTRAP, code=1)
    assert "nothing was changed" in checks(found)["login"]["message"]
    assert found["changes"] == []
    assert open_machine(machine)
    assert not machine.answers("test -e /var/lib/reconciler-harden")


def test_the_old_files_return_if_the_key_is_not_accepted_afterwards(machine: Target, me: Owner) -> None:
    rules = dockers(machine)
    new_logins(me, "yes", "no")
    found = me.document(*BOOTSTRAP, code=1)
    assert "logins work as before" in checks(found)["login"]["message"]
    assert "harden-start" in [item["name"] for item in found["changes"]]
    assert open_machine(machine)
    assert logs_in(me, "me") == ""
    assert logs_in(me, "root") == ""
    assert (dockers(machine), serves(machine, 8080)) == (rules, True)


def killed_in_the_middle(machine: Target, me: Owner) -> None:
    """Start hardening, and kill the laptop's process while it tries the second login."""
    new_logins(me, "yes", "hang")
    running = subprocess.Popen(
        me.command(*BOOTSTRAP), env=me.environment, cwd=me.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        eventually(lambda: machine.answers(f"test -d {PENDING} && grep -q . {DROP_IN}"), seconds=120)
        eventually(lambda: (me.folder / "new").read_text() == "", seconds=60)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
        me.close()
    assert not open_machine(machine)


def test_the_old_files_return_if_the_laptop_dies(machine: Target, me: Owner) -> None:
    killed_in_the_middle(machine, me)
    begun = time.monotonic()
    eventually(lambda: open_machine(machine), seconds=120)
    print(f"back after {time.monotonic() - begun:.0f} s")
    assert logs_in(me, "me") == ""
    assert machine.run("systemctl is-failed reconciler-return || true") != "failed"


def test_the_old_files_return_at_boot_after_a_power_cut(machine: Target, me: Owner) -> None:
    killed_in_the_middle(machine, me)
    machine.reboot()
    assert open_machine(machine)
    eventually(lambda: logs_in(me, "me") == "", seconds=30)
    assert "taken back" in machine.run("journalctl -b -u reconciler-return")
    eventually(lambda: serves(machine, 8080), seconds=60)


def test_with_a_working_key_hardening_stays_and_dockers_rules_are_untouched(machine: Target, me: Owner) -> None:
    rules = dockers(machine)
    machine.put("/root/outside", f"#!/bin/sh\n{SERVER.format(9999)}\n".encode(), 0o755)
    machine.run("systemd-run -q --unit outside /root/outside")
    eventually(lambda: serves(machine, 9999), seconds=30)
    found = me.document(*BOOTSTRAP)
    assert checks(found)["login"]["ok"]
    assert "May log in by ssh, by key only: me. No other account, and not root." in found["notes"]
    assert not machine.answers(f"test -e {PENDING}")
    assert machine.run("systemctl is-active reconciler-return.timer || true") == "inactive"
    assert logs_in(me, "me") == ""
    assert "Permission denied" in logs_in(me, "root")
    assert "Permission denied (publickey)" in logs_in(me, "me", "-o", "PubkeyAuthentication=no")
    assert (dockers(machine), serves(machine, 8080), serves(machine, 9999)) == (rules, True, True)
    outside = ["timeout", "5", "bash", "-c", f"exec 3<>/dev/tcp/{machine.address}/9999"]
    assert subprocess.run(outside, capture_output=True).returncode != 0
    exposure = re.search(r"level for \S+: ([0-9.]+)", machine.run("systemd-analyze security reconciler"))
    assert exposure
    assert float(exposure[1]) <= 3


def test_a_second_run_changes_nothing(machine: Target, me: Owner) -> None:
    files = "stat -c '%n %Y %i' /etc/ssh/sshd_config.d/* /etc/fail2ban/jail.d/* /etc/reconciler-firewall/*"
    before = machine.run(files)
    assert me.document(*BOOTSTRAP, "--dry-run")["changes"] == []
    assert me.document(*BOOTSTRAP)["changes"] == []
    assert machine.run(files) == before


def test_hardening_stays_after_a_reboot(machine: Target, me: Owner) -> None:
    machine.reboot()
    eventually(lambda: logs_in(me, "me") == "", seconds=30)
    assert "Permission denied" in logs_in(me, "root")
    eventually(lambda: serves(machine, 8080), seconds=60)
    assert security(machine)["firewall"]["ok"]


def security(machine: Target) -> dict[str, Any]:
    return checks(
        json.loads(machine.run("/opt/reconciler/current/bin/reconciler doctor --security --output json || true"))
    )


DRIFT = {
    "ssh": (
        "echo PasswordAuthentication yes > /etc/ssh/sshd_config.d/00-a.conf",
        "rm /etc/ssh/sshd_config.d/00-a.conf",
    ),
    "firewall": ("nft flush chain inet reconciler input", "systemctl reload reconciler-firewall"),
    "fail2ban": ("systemctl stop fail2ban", "systemctl start fail2ban"),
    "ports": (f"docker run -d --name open -p 8081:80 {BASE} sleep 1000", "docker rm -f open"),
    "state": ("chmod 755 /var/lib/reconciler", "chmod 700 /var/lib/reconciler"),
    "keys": (
        "install -m 644 /dev/null /etc/reconciler/secrets/shop.env",
        "rm /etc/reconciler/secrets/shop.env",
    ),
}


def test_doctor_names_each_drift_and_nothing_else(machine: Target, me: Owner) -> None:
    eventually(lambda: {item["ok"] for item in security(machine).values()} == {True}, seconds=30)
    for name, (change, restore) in DRIFT.items():
        machine.run(change)
        assert [key for key, item in security(machine).items() if item["ok"] is False] == [name]
        machine.run(restore)
    assert "00-a.conf" not in machine.run("ls /etc/ssh/sshd_config.d")
    eventually(lambda: {item["ok"] for item in security(machine).values()} == {True}, seconds=30)


def test_wrong_logins_are_banned_and_only_those(machine: Target, me: Owner) -> None:
    login = f"ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o ConnectTimeout=5 nobody-$i@{machine.address} true"
    script = f"for i in 1 2 3 4 5 6; do {login}; done; hostname -i; sleep 1; timeout 5 {login.replace('$i', '7')}"
    machine.run("for i in 1 2 3 4 5 6 7 8; do echo 'Failed password for root from 198.51.100.9 port 22 ssh2' | "
                "runuser -u me -- systemd-cat -t sshd; done")  # fmt: skip
    attacker = ["docker", "run", "--rm", "--network", machine.name, "--entrypoint", "bash", IMAGE, "-c", script]
    said = subprocess.run(attacker, capture_output=True, text=True, timeout=120)
    address = said.stdout.split()[0]
    eventually(lambda: address in machine.run("fail2ban-client status sshd"), seconds=30)
    assert "198.51.100.9" not in machine.run("fail2ban-client status sshd")
    assert security(machine)["fail2ban"]["message"].endswith("banned now: 1")
    assert address in machine.run("nft list table inet f2b-table")
    assert logs_in(me, "me") == ""


def test_the_filter_knows_every_name_of_sshds_processes(machine: Target, me: Owner) -> None:
    for name in ("sshd", "sshd-session", "sshd-auth"):
        line = f"Nov 29 10:00:00 target {name}[12]: Invalid user x from 203.0.113.5 port 5555"
        assert "1 matched" in machine.run(f"fail2ban-regex '{line}' /etc/fail2ban/filter.d/reconciler-sshd.conf")
