"""Files that others could change are rejected before anything is read, by each verb that uses them, with a remedy that
works."""

from __future__ import annotations

import grp
import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import Usage
from reconciler.observe.binary import find_compose
from reconciler.observe.secrets import SecretStore
from reconciler.ownership import CONFIG, PROGRAM, SECRET, SECRETS, STATE, Demand, faults
from tests.repository import Repository

STRANGER = 12345
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")

Spoil = Callable[[Path], object]


def foreign(path: Path) -> None:
    os.chown(path, STRANGER, STRANGER)


def foreign_above(path: Path) -> None:
    foreign(path.parent)


def group(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o020)


def everybody(path: Path) -> None:
    path.chmod(path.stat().st_mode | 0o002)


def everybody_above(path: Path) -> None:
    path.parent.chmod(0o777)


def linked(path: Path) -> None:
    path.rename(path.with_name("real"))
    path.symlink_to(path.with_name("real"))


def linked_by_a_stranger(path: Path) -> None:
    linked(path)
    os.chown(path, STRANGER, STRANGER, follow_symlinks=False)


def linked_to_a_strangers(path: Path) -> None:
    linked(path)
    foreign(path.with_name("real"))


SPOILED: list[Spoil] = [
    foreign, foreign_above, group, everybody, everybody_above, linked_by_a_stranger, linked_to_a_strangers,
]  # fmt: skip


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder on a way that others can walk: /tmp itself is open to all, and only its sticky bit protects us."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        (Path(name) / "own").mkdir(mode=0o755)
        yield Path(name) / "own"


def correct(remedy: str) -> None:
    """Do what the message says, to the letter."""
    command = remedy.partition("run: ")[2] or remedy
    if command.split()[0] in ("chmod", "chown"):
        subprocess.run(command, shell=True, check=True)


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("demand", [CONFIG, PROGRAM, STATE, SECRETS], ids=lambda demand: demand.what)
def test_each_way_in_is_seen_and_its_remedy_closes_it(place: Path, demand: Demand, spoil: Spoil) -> None:
    path = place / "it"
    if demand.ours:
        path.mkdir(mode=0o700)
    else:
        path.write_text("host: mini\n")
    assert faults(str(path), demand) == []
    spoil(path)
    found = faults(str(path), demand)
    assert found
    for fault in found:
        assert str(place) in fault.message
        correct(fault.remedy)
    left = faults(str(path), demand)
    assert all("link" in fault.message for fault in left), "what a command can correct is corrected"


def test_links_that_are_ours_may_lead_to_a_config_and_never_to_state_or_secrets(place: Path) -> None:
    for demand in (CONFIG, STATE, SECRETS):
        path = place / demand.what.replace(" ", "-")
        path.mkdir(mode=0o700)
        linked(path)
        assert [str(path.with_name("real")) in item.remedy for item in faults(str(path), demand)] == (
            [] if demand is CONFIG else [True]
        )
        path.with_name("real").rename(place / f"{path.name}-target")


def test_folders_of_a_group_that_is_the_users_own_may_be_open_to_it(place: Path) -> None:
    """umask 002, where each user has a group of the same name."""
    user = next((item for item in pwd.getpwall() if item.pw_uid and _has_own_group(item)), None)
    if user is None:
        pytest.skip("no user of this machine has a group of their own")
    (place / "above").mkdir()
    (place / "above/it").write_text("x")
    for path in (place / "above", place / "above/it"):
        os.chown(path, user.pw_uid, user.pw_gid)
    (place / "above").chmod(0o775)
    os.seteuid(user.pw_uid)
    try:
        assert faults(str(place / "above/it"), CONFIG) == []
        (place / "above/it").chmod(0o664)
        assert [item.remedy for item in faults(str(place / "above/it"), CONFIG)] == [f"chmod go-w {place}/above/it"]
        (place / "above/it").chmod(0o644)
        (place / "above").chmod(0o777)
        assert faults(str(place / "above/it"), CONFIG)
    finally:
        os.seteuid(0)
    (place / "above").chmod(0o775)
    os.chown(place / "above", user.pw_uid, 0)
    assert faults(str(place / "above/it"), CONFIG)


def _has_own_group(user: pwd.struct_passwd) -> bool:
    with suppress(KeyError):
        group = grp.getgrgid(user.pw_gid)
        return group.gr_name == user.pw_name and not group.gr_mem
    return False


def test_a_way_through_links_and_dots_is_walked_as_the_kernel_walks_it(place: Path) -> None:
    bad = place / "bad"
    (bad / "in").mkdir(parents=True)
    (bad / "in/it").write_text("x")
    bad.chmod(0o777)
    (place / "a").symlink_to("bad/in")
    (place / "b").symlink_to(place / "a")
    for path in ("b/it", "a/../in/it", "bad/in/it"):
        assert [item.remedy for item in faults(f"{place}/{path}", CONFIG)] == [f"chmod go-w {bad}"]
    (place / "round").symlink_to("round")
    assert faults(str(place / "round"), STATE)


def test_what_does_not_exist_is_judged_by_the_folders_above_it(place: Path) -> None:
    assert faults(str(place / "a/b/c"), STATE) == []
    place.chmod(0o777)
    assert [item.remedy for item in faults(str(place / "a/b/c"), STATE)] == [f"chmod go-w {place}"]


def test_a_folder_in_place_of_a_secret_is_not_to_be_closed(place: Path) -> None:
    """chmod 0600 would lock everybody out of it, the agent's programs among them."""
    assert [(item.message, item.remedy) for item in faults(str(place.parent), SECRET)] == [
        (f"the secret {place.parent} is a folder", "Name the file itself.")
    ]


def test_a_program_directly_in_a_sticky_folder_is_refused(place: Path) -> None:
    place.chmod(0o1777)
    (place / "it").write_text("x")
    (place / "below").mkdir()
    (place / "below/it").write_text("x")
    assert faults(str(place / "it"), CONFIG) == faults(str(place / "below/it"), PROGRAM) == []
    assert [item.remedy for item in faults(str(place / "it"), PROGRAM)] == [f"chmod go-w {place}"]


def test_compose_that_others_could_replace_is_not_run(place: Path) -> None:
    program = place / "docker-compose"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_compose(str(program), {}) == str(program)
    with pytest.raises(Usage, match="no absolute path"):
        find_compose("docker-compose", {})
    program.chmod(0o775)
    with pytest.raises(Usage) as refused:
        find_compose(str(program), {})
    assert (refused.value.exit_code, refused.value.hint) == (2, f"chmod go-w {program}")
    only = {"HOME": str(place), "DOCKER_CONFIG": str(place), "PATH": str(place)}
    with suppress(Usage):
        assert find_compose(None, only) != str(program), "another one is taken"


@pytest.mark.parametrize("spoil", [foreign, group, everybody, linked], ids=lambda spoil: spoil.__name__)
@pytest.mark.parametrize("what", ["shop", "shop/TOKEN", "shop.env"])
def test_secrets_that_are_not_ours_alone_are_refused(place: Path, what: str, spoil: Spoil) -> None:
    folder = place / "secrets"
    (folder / "shop").mkdir(mode=0o700, parents=True)
    for name in ("shop/TOKEN", "shop.env"):
        (folder / name).write_text("A=1")
        (folder / name).chmod(0o600)
    assert SecretStore(folder).values()
    spoil(folder / what)
    with pytest.raises(Usage) as refused:
        SecretStore(folder).values()
    assert str(folder / what) in refused.value.message
    if spoil is not linked:
        correct(refused.value.hint)
        assert SecretStore(folder).values()


# -- every verb ------------------------------------------------------------------------------------------------------

USE_STATE = (
    ("plan",), ("once",), ("run",), ("status", "--no-engine"), ("history",), ("resume",), ("suspend", "--reason", "x"),
    ("retry", "main"), ("accept", "main"),
)  # fmt: skip


class Machine:
    """An agent config with everything in its place, and the command line."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "secrets", "etc"):
            (folder / name).mkdir(mode=0o700)
        self.config, self.state, self.secrets = folder / "etc/agent.yaml", folder / "state", folder / "secrets"
        Repository(folder / "home.git").push({"compose.yaml": "services: {web: {image: 'web:1'}}\n"})
        self.config.write_text(json.dumps({
            "host": "mini", "source": {"url": str(folder / "home.git")}, "state": str(self.state),
            "secrets_dir": str(self.secrets), "engine": "unix:///nowhere.sock",
        }))  # fmt: skip

    def run(self, *arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "reconciler", "--config", str(self.config), "--output", "json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout


@pytest.fixture
def machine(place: Path) -> Machine:
    return Machine(place)


@pytest.mark.parametrize("verb", [*USE_STATE, ("doctor",), ("validate", ".")], ids=lambda verb: verb[0])
def test_every_verb_refuses_a_config_that_others_can_change(machine: Machine, verb: tuple[str, ...]) -> None:
    machine.config.chmod(0o666)
    code, said = machine.run(*verb)
    assert (code, f"chmod go-w {machine.config}" in said) == (2, True), said


@pytest.mark.parametrize("verb", USE_STATE, ids=lambda verb: verb[0])
def test_every_verb_that_uses_the_state_folder_refuses_one_that_is_not_ours_alone(
    machine: Machine, verb: tuple[str, ...]
) -> None:
    machine.state.chmod(0o777)
    code, said = machine.run(*verb)
    assert (code, f"chmod go-w {machine.state}" in said) == (2, True), said
    machine.state.chmod(0o700)
    (machine.state / "journal.jsonl").touch()
    foreign(machine.state / "journal.jsonl")
    code, said = machine.run(*verb)
    assert (code, f"chown 0 {machine.state}/journal.jsonl" in said) == (2, True), said
    (machine.state / "journal.jsonl").unlink()
    linked(machine.state)
    code, said = machine.run(*verb)
    assert (code, "is a symbolic link" in said) == (2, True), said


@pytest.mark.parametrize("verb", [*USE_STATE, ("validate", ".")], ids=lambda verb: verb[0])
def test_every_verb_refuses_secrets_that_others_can_change(machine: Machine, verb: tuple[str, ...]) -> None:
    foreign(machine.secrets)
    code, said = machine.run(*verb)
    shown = {"status": 1, "history": 0}.get(verb[0])  # they only read; history warns on stderr
    told = f"chown 0 {machine.secrets}" in said
    assert (code, told) == (2 if shown is None else shown, verb[0] != "history"), said


def test_doctor_tells_of_state_and_secrets_and_looks_at_the_rest(machine: Machine) -> None:
    machine.state.chmod(0o770)
    foreign(machine.secrets)
    code, _ = machine.run("doctor")
    assert code == 1


def test_what_is_written_is_private_whatever_the_umask_is(machine: Machine) -> None:
    before = os.umask(0)
    try:
        machine.run("once")
        machine.run("suspend", "--reason", "x")
    finally:
        os.umask(before)
    written = [path for path in machine.state.rglob("*") if not path.is_symlink()]
    assert {"journal.jsonl", "mirror.git"} <= {path.name for path in written}
    assert [path for path in written if path.stat().st_mode & 0o022] == []
    assert [path for path in machine.state.iterdir() if path.stat().st_mode & 0o077] == []
