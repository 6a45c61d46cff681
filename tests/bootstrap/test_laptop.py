"""The parts of a bootstrap that read or write on the laptop: wheels, host keys, the entry in hosts.yaml."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import venv
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

import reconciler
from reconciler.bootstrap import entry, forge_host
from reconciler.bootstrap.linux import places
from reconciler.bootstrap.machine import Machine
from reconciler.bootstrap.model import Target, Wanted
from reconciler.bootstrap.wheels import bundle
from reconciler.errors import Transient, Usage
from reconciler.fleet import load_hosts
from reconciler.model.fleet import RemoteHost
from reconciler.process import Completed, run
from reconciler.ssh import Ssh
from reconciler.wiring import bootstrapping
from tests.bootstrap.facts import WANTED

HERE = Target("Linux", "x86_64", (sys.version_info.major, sys.version_info.minor))
HOST = RemoteHost("mini", "me@target", repository="me@target:/srv/git/home.git", user="reconciler")


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    tmp_path.chmod(0o755)
    return {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


def test_the_running_program_and_its_libraries_are_packed_and_can_be_installed(
    home: dict[str, str], tmp_path: Path
) -> None:
    made = bundle(HERE, None, (), home)
    assert (made.complete, made.folder.partition("-")[0]) == (True, reconciler.__version__)
    assert bundle(HERE, None, {made.folder}, home).data == b"", "the same program is the same version"
    with tarfile.open(fileobj=BytesIO(made.data)) as archive:
        archive.extractall(tmp_path / "wheels", filter="data")
    venv.create(tmp_path / "there", with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(tmp_path / "there"), "install", "-q", "--no-index"]
    pip += ["--no-compile", "--disable-pip-version-check"]
    wheel = tmp_path / "wheels" / made.wheel
    subprocess.run([*pip, "--find-links", str(wheel.parent), str(wheel)], check=True, capture_output=True)
    program = [str(tmp_path / "there/bin/reconciler"), "--version"]
    said = subprocess.run(program, capture_output=True, text=True, check=True, cwd="/", env={"PATH": "/usr/bin:/bin"})
    assert said.stdout.strip() == f"reconciler {reconciler.__version__}"


def test_a_channel_is_a_wheel_or_a_folder_or_the_running_version(home: dict[str, str], tmp_path: Path) -> None:
    wheel = tmp_path / "wheels/reconciler-9.9-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"one")
    there = {f"9.9-{hashlib.sha256(b'one').hexdigest()[:8]}"}
    for channel in (str(wheel), str(wheel.parent)):
        assert bundle(HERE, channel, there, home).folder in there
    own = {bundle(HERE, None, there, home).folder}
    assert bundle(HERE, reconciler.__version__, own, home).folder in own
    wheel.unlink()
    for wrong in ("9.9", str(wheel), str(wheel.parent)):
        with pytest.raises(Usage):
            bundle(HERE, wrong, own, home)


def test_an_entry_is_added_and_the_rest_of_the_file_stays(home: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / ".config/reconciler/hosts.yaml"
    assert entry.write(HOST, home)
    assert (load_hosts(home), path.stat().st_mode & 0o777) == ((HOST,), 0o600)
    assert not entry.write(HOST, home)
    path.write_text("# mine\nhosts:\n    - name: nas  # in the cellar\n      ssh: nas\n")
    assert entry.write(HOST, home)
    assert load_hosts(home) == (RemoteHost("nas", "nas"), HOST)
    assert path.read_text().startswith("# mine\nhosts:\n    - name: nas  # in the cellar\n")
    path.write_text("hosts: [{name: nas, ssh: nas}]\n")
    with pytest.raises(Usage, match="cannot be added to"):
        entry.write(HOST, home)
    assert load_hosts(home) == (RemoteHost("nas", "nas"),)


def test_an_account_may_begin_with_a_letter_of_any_alphabet_and_never_with_a_dash(home: dict[str, str]) -> None:
    host = RemoteHost("mini", "ümit@target")
    assert entry.write(host, home)
    assert load_hosts(home) == (host,)
    assert [bool(bootstrapping._DESTINATION.fullmatch(name)) for name in ("ümit@target", "-oX=y")] == [True, False]


def test_an_existing_entry_that_does_not_fit_is_reported() -> None:
    assert entry.fault(HOST, HOST) is None
    found = entry.fault(RemoteHost("mini", "me@target"), HOST)
    assert found is not None
    assert "user: reconciler" in found.hint
    other = entry.fault(replace(HOST, branch="other"), HOST)
    assert other is not None
    assert "must say `branch: main`" in other.message


def test_a_name_that_belongs_to_another_machine_is_refused(home: dict[str, str]) -> None:
    entry.write(HOST, home)
    assert entry.require_free("mini", "me@target", home) == HOST
    assert entry.require_free("nas", "me@target", home) is None
    with pytest.raises(Usage, match="mini is me@target, not you@target"):
        entry.require_free("mini", "you@target", home)


@pytest.mark.parametrize(
    ("destination", "repository"),
    [
        ("me@target", "me@target:/srv/git/home.git"),
        ("mini", "mini:/srv/git/home.git"),
        ("ssh://me@target:2222", "ssh://me@target:2222/srv/git/home.git"),
        ("me@mini.home.example.org", "me@mini.home.example.org:/srv/git/home.git"),
        ("me@fd00::1", "me@[fd00::1]:/srv/git/home.git"),
    ],
)
def test_the_entry_says_where_to_push(destination: str, repository: str) -> None:
    assert entry.entry(destination, WANTED, places(WANTED)).repository == repository
    remote = Wanted("mini", "me", repository="git@example.org:me/home.git")
    assert entry.entry(destination, remote, places(remote)).repository == "git@example.org:me/home.git"


def test_the_host_key_of_a_forge_is_taken_from_the_laptops_known_hosts(home: dict[str, str], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    kind, key, *_ = (tmp_path / "key.pub").read_text().split()
    program = tmp_path / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {tmp_path}/config "$@"\n')
    program.chmod(0o755)
    (tmp_path / "config").write_text(f"Host *\nUserKnownHostsFile {tmp_path}/none {tmp_path}/known\n")
    (tmp_path / "known").write_text(f"forge.example,other {kind} {key}\n[forge.example]:2222 {kind} {key}2\n")
    environ = {**home, "PATH": f"{program.parent}:/usr/bin:/bin"}
    assert forge_host.known_hosts("git@forge.example:me/home.git", environ).split()[1:] == [kind.encode(), key.encode()]
    assert forge_host.known_hosts("ssh://git@forge.example:2222/me/home.git", environ).endswith(b"2\n")
    assert forge_host.known_hosts("https://forge.example/me/home.git", environ) == b""
    with pytest.raises(Usage, match="does not know the host key of elsewhere") as caught:
        forge_host.known_hosts("git@elsewhere:me/home.git", environ)
    assert "ssh -T git@elsewhere" in caught.value.hint


def with_config(home: dict[str, str], folder: Path, config: str) -> dict[str, str]:
    """The environment of a user whose config of ssh is this text."""
    program = folder / "bin/ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/config "$@"\n')
    program.chmod(0o755)
    (folder / "config").write_text(config)
    return {**home, "PATH": f"{program.parent}:/usr/bin:/bin"}


def test_another_address_is_known_by_the_key_of_the_host_in_the_ssh_config(
    home: dict[str, str], tmp_path: Path
) -> None:
    environ = with_config(home, tmp_path, "Host mini\nHostName mini.lan\nPort 2222\nHost nas\nHostKeyAlias box\n")
    for ssh, known in (
        ("me@mini", "[mini.lan]:2222"),
        ("ssh://me@target:22", "target"),
        ("nas", "box"),
        ("me@fd00::1", "fd00::1"),
    ):
        words = Ssh(RemoteHost("mini", ssh, address="100.64.0.7"), environ).command()
        assert {"HostName=100.64.0.7", f"HostKeyAlias={known}"} <= {*words}


def test_an_ssh_config_that_hangs_does_not_hold_us_up(home: dict[str, str], tmp_path: Path) -> None:
    environ = with_config(home, tmp_path, 'Match exec "sleep 300"\n')
    with pytest.raises(Transient, match="ssh did not end within 1 s"):
        Ssh(RemoteHost("mini", "mini", address="100.64.0.7"), environ, patience=1.0).command()


class Local:
    """This machine in place of another one."""

    def run(self, argv: Sequence[str], *, timeout: float, stdin: bytes | None = None) -> Completed:
        return run(argv, env={"PATH": os.defpath}, timeout=timeout, stdin=stdin)


def test_facts_that_are_cut_off_are_no_facts() -> None:
    """As with a login shell like csh, which cannot read the script."""
    machine = Machine(Local(), "me", 0)
    assert bootstrapping._script(machine, "echo a=1; false") == "a=1\n"
    with pytest.raises(Transient, match="the state of the machine cannot be read: Unmatched") as caught:
        bootstrapping._script(machine, 'echo a=1; echo "Unmatched \'" >&2; exit 0')
    assert "like sh" in caught.value.hint


def test_a_verb_that_changes_the_service_runs_as_the_agents_account_where_the_machine_has_no_service(
    home: dict[str, str],
) -> None:
    host = RemoteHost("mini", "me@target", program="printf")
    for root in (True, False):
        command = Ssh(host, home).reconciler(["%s.", "a b", "$c"], root=root, D="1")
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a b.$c."
    named = Ssh(replace(host, user="reconciler"), home).reconciler(["x"], root=True)
    assert 'exec sudo -n -H -u reconciler -- "$@"' in named[2]
