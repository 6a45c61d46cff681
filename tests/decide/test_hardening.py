"""The files that close a machine, and what facts of a machine say of drift."""

from __future__ import annotations

import base64
import os
import plistlib
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.bootstrap.model import parse
from reconciler.decide.hardening import drift, fail2ban, firewall, guard, mac, ssh
from reconciler.decide.hardening.facts import Facts, read
from reconciler.formats.packaged import packaged
from tests.golden import CASES, matches
from tests.sshd import SSHD

FOLDER = CASES / "hardening"
ACCOUNTS = ("me", "other")
FILES = {
    "sshd.conf": ssh.drop_in(ACCOUNTS),
    "sshd-check.sh": ssh.check("me").encode(),
    "rules.nft": firewall.rules((22, 2222)),
    "reconciler-firewall.service": firewall.unit(),
    "jail.local": fail2ban.jail((22, 2222)),
    "filter.conf": fail2ban.filters(),
    "reconciler-return.service": guard.installed()[guard.SERVICE_PATH][0],
    "reconciler-return.timer": guard.installed()[guard.TIMER_PATH][0],
    "pf.conf": mac.pf((22,)),
}

RULES = "table inet reconciler {\n\tchain input {\n\t\ttcp dport 22 accept\n\t}\n}\n"
WELL = Facts(
    root=True,
    ports=(22,),
    accounts=("me",),
    effective={
        user: {**{name.lower(): value for name, value in ssh.SETTINGS.items()}, "allowusers": "me"}
        for user in ("root", "me")
    },
    files={
        ssh.PATH: ssh.drop_in(("me",)),
        firewall.PATH: firewall.rules((22,)),
        firewall.UNIT_PATH: firewall.unit(),
        fail2ban.JAIL_PATH: fail2ban.jail((22,)),
        fail2ban.FILTER_PATH: fail2ban.filters(),
    },
    units={"fail2ban": ("active", "enabled"), "reconciler-firewall": ("active", "enabled")},
    rules=RULES,
    rules_of_file=RULES,
    jail="Status for the jail: sshd\n|- Filter\n`- Actions\n   |- Currently banned:\t2\n",
    journal="Current match filter:\n`- _SYSTEMD_UNIT=ssh.service _UID=0\n",
)


@pytest.mark.parametrize("name", FILES)
def test_files(name: str) -> None:
    matches(FOLDER / name, FILES[name].decode())


def test_the_daemon_of_the_mac_loads_the_rules() -> None:
    files = mac.guarded([22]).files
    daemon = plistlib.loads(files[mac.PF_DAEMON])
    assert daemon["ProgramArguments"] == ["/sbin/pfctl", "-E", "-f", mac.PF_PATH]
    assert set(files) == {mac.PF_PATH, mac.PF_DAEMON}


def told(facts: Facts) -> dict[str, tuple[bool | None, str]]:
    return {item.name: (item.ok, item.message) for item in drift.checks(facts)}


def test_a_machine_without_drift() -> None:
    assert told(WELL) == {
        "ssh": (True, "keys only, no root; may log in: me"),
        "firewall": (True, "input rules are loaded, as in the file"),
        "fail2ban": (True, "it runs; banned now: 2"),
    }


def effective(user: str, **changed: str) -> Facts:
    return replace(WELL, effective={**WELL.effective, user: {**WELL.effective[user], **changed}})


@pytest.mark.parametrize(
    ("facts", "name", "says"),
    [
        (effective("me", passwordauthentication="yes"), "ssh", "PasswordAuthentication is yes, not no (for me)"),
        (effective("root", permitrootlogin="without-password"), "ssh", "PermitRootLogin is without-password, not no"),
        (
            replace(
                effective("me", passwordauthentication="yes"),
                settings=("/etc/ssh/sshd_config.d/00-a.conf:3:PasswordAuthentication yes",),
            ),
            "ssh",
            "(/etc/ssh/sshd_config.d/00-a.conf:3)",
        ),
        (
            replace(WELL, effective={"root": {**WELL.effective["root"], "allowusers": ""}}),
            "ssh",
            "AllowUsers is not set",
        ),
        (
            replace(
                WELL,
                settings=(
                    "/etc/ssh/sshd_config:1:Include /etc/ssh/sshd_config.d/*.conf",
                    "/etc/ssh/sshd_config:90:Match Address 192.168.0.0/16",
                    "/etc/ssh/sshd_config:91:    PasswordAuthentication yes",
                    "/etc/ssh/sshd_config:92:Match all",
                    "/etc/ssh/sshd_config:93:    PasswordAuthentication yes",
                    "/etc/ssh/sshd_config.d/50-cloud-init.conf:1:PasswordAuthentication yes",
                ),
            ),
            "ssh",
            "PasswordAuthentication is yes for `Match Address 192.168.0.0/16` (/etc/ssh/sshd_config:91)",
        ),
        (replace(WELL, rules=""), "firewall", "the input rules are not loaded"),
        (
            replace(WELL, rules=RULES.replace("tcp dport 22 accept", "tcp dport 22 accept\n\t\taccept")),
            "firewall",
            f"the loaded rules differ from {firewall.PATH}: added `accept`",
        ),
        (replace(WELL, ports=(22, 2200)), "firewall", "no rule accepts port 2200 of sshd"),
        (replace(WELL, units={**WELL.units, "reconciler-firewall": ("active", "disabled")}), "firewall", "not enabled"),
        (
            replace(WELL, files={path: data for path, data in WELL.files.items() if path != firewall.PATH}),
            "firewall",
            "there are no input rules",
        ),
        (replace(WELL, units={**WELL.units, "fail2ban": ("failed", "enabled")}), "fail2ban", "fail2ban does not run"),
        (replace(WELL, jail=""), "fail2ban", "fail2ban has no jail `sshd`"),
        (replace(WELL, journal="No journal match filter set"), "fail2ban", "does not read systemd's journal"),
        (
            replace(WELL, files={**WELL.files, fail2ban.FILTER_PATH: b"[Definition]\n"}),
            "fail2ban",
            f"{fail2ban.FILTER_PATH} is missing or was changed",
        ),
        (replace(WELL, pending=True), "return", "waits for its confirmation"),
    ],
)
def test_drift_is_named(facts: Facts, name: str, says: str) -> None:
    found = told(facts)
    assert [key for key, (ok, _) in found.items() if not ok] == [name]
    assert says in found[name][1]


def test_what_only_root_can_see_is_no_finding() -> None:
    assert {ok for ok, _ in told(Facts(units=WELL.units)).values()} == {None}


def test_another_firewall_is_not_judged() -> None:
    assert told(replace(WELL, ufw=True, rules=""))["firewall"] == (
        None,
        "not checked: ufw is active and stays the firewall",
    )


def text(name: str, value: str) -> str:
    return f"harden_{name}={base64.b64encode(value.encode()).decode()}"


def test_lines_of_the_script_become_facts() -> None:
    facts = read(
        parse(
            "\n".join(
                [
                    "other=1", "harden_root=yes", "harden_port=22", "harden_port=22", "harden_port=2222",
                    "harden_account=me", text("effective", "user me\nloglevel VERBOSE\nallowusers me\n"),
                    text("effective", "user gone\n"), text("settings", "/etc/ssh/sshd_config:1:Include x\n"),
                    text("file", f"{ssh.PATH}\nA yes\n"), "harden_file=###",
                    "harden_unit=fail2ban active enabled", "harden_unit=ufw inactive ", "harden_pending=yes", "no",
                ]
            )
        )
    )  # fmt: skip
    assert facts.root
    assert facts.pending
    assert (facts.ports, facts.accounts) == ((22, 2222), ("me",))
    assert facts.effective == {"me": {"loglevel": "VERBOSE", "allowusers": "me"}}
    assert facts.files == {ssh.PATH: b"A yes\n"}
    assert facts.active("fail2ban")
    assert facts.enabled("fail2ban")
    assert facts.firewall == ""


def test_nobody_who_logs_in_by_key_loses_it() -> None:
    assert ssh.allowed("me", ["root", "other", "odd@name", "me"]) == ("me", "other")


# -- what sshd and nft themselves say ------------------------------------------------------------------------------


def configuration(folder: Path, distribution: str) -> Path:
    """Debian's own file includes the folder first; `distribution`: what another file of the folder says."""
    if os.geteuid() != 0 or not Path(SSHD).exists():
        pytest.skip("needs root and openssh-server")
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
    (folder / "d").mkdir()
    (folder / "d/00-reconciler.conf").write_bytes(ssh.drop_in(("me",)))
    (folder / "d/50-cloud-init.conf").write_text(distribution)
    main = folder / "sshd_config"
    main.write_text(
        f"Include {folder}/d/*.conf\nHostKey {folder}/key\nPasswordAuthentication yes\nPermitRootLogin yes\n"
    )
    return main


def asked(main: Path) -> dict[str, dict[str, str]]:
    """As look.sh asks."""
    lines = []
    for user in ("root", "me"):
        argv = [SSHD, "-T", "-f", str(main), "-C", f"user={user},host=client,addr=192.0.2.1,laddr=192.0.2.2,lport=22"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines.append(text("effective", f"user {user}\n{said}"))
    return {user: dict(values) for user, values in read(parse("\n".join(lines))).effective.items()}


def test_the_drop_in_wins_over_the_distributions(tmp_path: Path) -> None:
    main = configuration(tmp_path, "PasswordAuthentication yes\nPermitRootLogin yes\nAllowUsers admin\n")
    assert subprocess.run([SSHD, "-t", "-f", str(main)], check=False).returncode == 0
    found = asked(main)
    assert list(ssh.faults(found, ())) == []


def test_a_match_block_that_opens_passwords_is_found(tmp_path: Path) -> None:
    main = configuration(tmp_path, "Match User me\n    PasswordAuthentication yes\n")
    assert list(ssh.faults(asked(main), ())) == ["PasswordAuthentication is yes, not no (for me)"]


def test_nft_takes_the_rules(tmp_path: Path) -> None:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin")
    if nft is None or os.geteuid() != 0:
        pytest.skip("needs root and nft")
    (tmp_path / "rules.nft").write_bytes(firewall.rules((22, 2222)))
    argv = ["unshare", "-n", nft, "-c", "-f", str(tmp_path / "rules.nft")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", ["hardening/guard.sh", "hardening/guard-mac.sh", "hardening/look.sh"])
def test_scripts_are_sound(script: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_bytes(packaged(script))
    subprocess.run(["sh", "-n", str(tmp_path / "script")], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(tmp_path / "script")], check=True)


def test_the_look_changes_nothing_and_answers_without_root() -> None:
    """On whatever machine this is; also without sshd, nft and fail2ban."""
    done = subprocess.run(
        ["sh", "-s"], input=packaged("hardening/look.sh"), capture_output=True, check=True, timeout=60
    )
    facts = read(parse(done.stdout.decode()))
    assert facts.root == (os.geteuid() == 0)
    assert done.stderr == b""
