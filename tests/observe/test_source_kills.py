"""No kill of a fetch and no damage of the mirror makes a later fetch fail."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.source import HEADS, GitSource
from tests.observe.sources import mirror_of, source
from tests.repository import Repository

ROUNDS, MOST, KILLS = 40, 400, 10
"""So many rounds, or more of them until so many were killed in the middle: a fetch may be faster than the first."""


def contents(number: int) -> dict[str, str]:
    chance = random.Random(number)
    return {f"folder{n % 5}/file{n}": chance.randbytes(400).hex() for n in range(20)}


def fetch_and_die(theirs: Repository, after: float) -> bool:
    """Fetch in a process that is killed so many seconds later. Whether it was killed in the middle."""
    victim = os.fork()
    if victim == 0:
        source(theirs).fetch()
        os._exit(0)
    time.sleep(after)
    os.kill(victim, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL


def test_killed_at_any_moment_the_next_fetch_works(theirs: Repository) -> None:
    start = time.monotonic()
    theirs.push(contents(0))
    source(theirs).fetch()
    usual = time.monotonic() - start
    chance, killed = random.Random(7), 0
    for number in range(1, MOST + 1):
        if number > ROUNDS and killed >= KILLS:
            break
        sha = theirs.push(contents(number))
        killed += fetch_and_die(theirs, chance.uniform(0, 1.1 * usual))
        ours = source(theirs)
        assert ours.fetch().sha == sha
        assert {path: text.decode() for path, text in read_all(ours, sha).items()} == contents(number)
    assert killed >= KILLS, "the kills came too late to prove anything"
    # A child of the last killed one may be writing for another moment.
    until = time.monotonic() + 20
    while (left := left_behind(theirs)) and time.monotonic() < until:
        time.sleep(0.1)
    assert left == []


def test_the_first_fetch_killed_at_any_moment_is_begun_anew(theirs: Repository) -> None:
    sha = theirs.push(contents(0))
    for number in range(15):
        fetch_and_die(theirs, 0.002 * number)
        assert read_all(source(theirs), source(theirs).fetch().sha)
        assert source(theirs).fetch().sha == sha
        # Not deleted: a child of the killed one may be writing to it for another moment.
        mirror_of(theirs).rename(mirror_of(theirs).with_name(f"killed-{number}"))


def test_tidying_killed_at_any_moment_loses_nothing(theirs: Repository) -> None:
    ours, chance, killed = source(theirs), random.Random(11), 0
    for number in range(27):
        theirs.push(contents(number))
        ours.fetch()
    for number in range(12):
        mirror, copy = mirror_of(theirs), theirs.folder.parent / "copy"
        shutil.copytree(mirror, copy)
        victim = os.fork()
        if victim == 0:
            ours.tidy()
            os._exit(0)
        time.sleep(chance.uniform(0, 0.08))
        os.kill(victim, signal.SIGKILL)
        killed += os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1]) == -signal.SIGKILL
        assert read_all(source(theirs), theirs.head()) == {k: v.encode() for k, v in contents(26).items()}, number
        while writing(mirror):
            time.sleep(0.05)
        assert ours._mirror.sound(ours.git)
        # Not deleted: a child of the killed one may be writing to it for another moment.
        mirror.rename(mirror.with_name(f"killed-{number}"))
        copy.rename(mirror)
    assert killed >= 4, "the kills came too late to prove anything"


def writing(mirror: Path) -> bool:
    """Whether a git process that outlived its killed parent still works on the mirror."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if f"--git-dir={mirror}".encode() in process.read_bytes().split(b"\0"):
                return True
    return False


def read_all(ours: GitSource, sha: str) -> dict[str, bytes]:
    files = ours.files(sha)
    return {path: files.read(path) for path in files.entries}


def left_behind(theirs: Repository) -> list[Path]:
    mirror = mirror_of(theirs)
    source(theirs)._mirror.prepare()
    names = [Path(folder, name) for folder, folders, files in os.walk(mirror) for name in (*folders, *files)]
    return [path for path in names if path.suffix == ".lock" or path.name.startswith(("tmp_", "incoming-"))]


@pytest.mark.parametrize("news", [True, False], ids=["with news", "without news"])
def test_what_killed_processes_leave_is_swept(theirs: Repository, news: bool) -> None:
    theirs.push(contents(0))
    source(theirs).fetch()
    mirror = mirror_of(theirs)
    litter = [
        "config.lock", "packed-refs.lock", "HEAD.lock", "shallow.lock", "refs/fetched/main.lock",
        "objects/pack/tmp_pack_Ab3d5F", "objects/pack/.tmp-123-pack-abc.pack", "objects/pack/multi-pack-index.lock",
        "objects/aa/tmp_obj_Xyz", "objects/tmp_objdir-incoming-x/pack/pack-1.pack", "objects/incoming-y/x",
    ]  # fmt: skip
    for name in litter:
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_text("left")
    if news:
        theirs.push(contents(1))
    assert source(theirs).fetch().sha == theirs.head()
    assert [name for name in litter if (mirror / name).exists()] == []


def test_what_an_own_git_process_leaves_is_swept_by_the_next_quiet_fetch(theirs: Repository) -> None:
    theirs.push(contents(0))
    ours = source(theirs)
    ours.fetch()
    ours.fetch()
    lock = mirror_of(theirs) / "refs/fetched/main.lock"
    assert ours.git.run("update-ref", "refs/x", "no sha").returncode != 0
    lock.write_text("left")
    assert ours.fetch().sha == theirs.head()
    assert not lock.exists()


# -- damage ------------------------------------------------------------------------------------------------------------


def delete_objects(mirror: Path) -> None:
    for path in [*mirror.glob("objects/pack/*"), *mirror.glob("objects/??/*")]:
        path.unlink()


def cut_packs(mirror: Path) -> None:
    for path in mirror.glob("objects/pack/*.pack"):
        path.chmod(0o644)
        os.truncate(path, path.stat().st_size // 2)


def flip_bytes(mirror: Path) -> None:
    for path in mirror.glob("objects/pack/*.pack"):
        path.chmod(0o644)
        data = bytearray(path.read_bytes())
        for position in range(20, len(data) - 20, 7):
            data[position] ^= 0x5A
        path.write_bytes(data)


def delete_indexes(mirror: Path) -> None:
    for path in mirror.glob("objects/pack/*.idx"):
        path.unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        (mirror / name).parent.mkdir(parents=True, exist_ok=True)
        (mirror / name).write_text(text)

    damage.__name__ = f"{name} says {text[:12]!r}"
    return damage


def remove(name: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        path = mirror / name
        path.rename(mirror.parent / "removed")

    damage.__name__ = f"{name} is gone"
    return damage


def file_for_folder(mirror: Path) -> None:
    remove("refs")(mirror)
    (mirror / "refs").write_text("")


def file_for_mirror(mirror: Path) -> None:
    mirror.rename(mirror.parent / "removed")
    mirror.write_text("")


def branch_in_the_way(mirror: Path) -> None:
    head = (mirror / HEADS / "main").read_text()
    (mirror / HEADS / "main").unlink()
    (mirror / HEADS / "main").mkdir()
    (mirror / HEADS / "main" / "old").write_text(head)


DAMAGES = [
    delete_objects, cut_packs, flip_bytes, delete_indexes, file_for_folder, file_for_mirror, branch_in_the_way,
    write("HEAD", "garbage\0"), write("config", "[core\ngarbage"), write("config", "[core]\n\tfsmonitor = touch x\n"),
    write("packed-refs", "garbage"), write(HEADS + "main", "garbage\n"), write(HEADS + "main", "1" * 40 + "\n"),
    write(HEADS + "main", ""), write("refs/reconciler/good", "2" * 40 + "\n"), write("refs/reconciler/good", "x"),
    write("refs/notes/reconciler/mini", "3" * 40 + "\n"), write("objects/info/alternates", "/nowhere\n"),
    write("shallow", "garbage\n"), remove("HEAD"), remove("config"), remove("objects"), remove("refs"),
]  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("news", [True, False], ids=["with news", "without news"])
def test_a_damaged_mirror_heals(theirs: Repository, damage: Callable[[Path], None], news: bool) -> None:
    theirs.push(contents(0))
    source(theirs).fetch()
    damage(mirror_of(theirs))
    if news:
        theirs.push(contents(1))
    ours = source(theirs)
    head = ours.fetch()
    assert head.sha == theirs.head()
    assert {path: text.decode() for path, text in read_all(ours, head.sha).items()} == contents(int(news))
    again = source(theirs)
    assert again.fetch().sha == head.sha
    assert mirror_of(theirs).stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("damage", [delete_objects, cut_packs, flip_bytes], ids=lambda damage: damage.__name__)
def test_damage_between_listing_and_reading_heals(theirs: Repository, damage: Callable[[Path], None]) -> None:
    sha = theirs.push(contents(0))
    ours = source(theirs)
    ours.fetch()
    files = ours.files(sha)
    damage(mirror_of(theirs))
    assert {path: files.read(path).decode() for path in files.entries} == contents(0)


def test_who_does_not_fetch_corrects_nothing(theirs: Repository) -> None:
    sha = theirs.push(contents(0))
    source(theirs).fetch()
    reader = source(theirs)
    files = reader.files(sha)
    flip_bytes(mirror_of(theirs))
    damaged = sorted(mirror_of(theirs).rglob("*"))
    for look in (lambda: files.read("folder0/file0"), lambda: reader.files(sha)):
        with pytest.raises(Transient, match="damaged or being made anew"):
            look()
    assert sorted(mirror_of(theirs).rglob("*")) == damaged


def test_damage_while_the_remote_is_away_is_transient(theirs: Repository) -> None:
    sha = theirs.push(contents(0))
    ours = source(theirs)
    ours.fetch()
    files = ours.files(sha)
    delete_objects(mirror_of(theirs))
    theirs.folder.rename(theirs.folder.with_name("away"))
    with pytest.raises(Transient) as caught:
        files.read("folder0/file0")
    assert caught.value.reason is Reason.FETCH_FAILED
    theirs.folder.with_name("away").rename(theirs.folder)
    assert read_all(source(theirs), source(theirs).fetch().sha)


def test_a_sound_mirror_keeps_its_pins_when_a_fetch_fails(theirs: Repository) -> None:
    sha = theirs.push(contents(0))
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    for path in theirs.folder.glob("objects/??/*"):
        path.unlink()
    theirs.folder.joinpath("refs/heads/main").write_text("1" * 40 + "\n")
    with pytest.raises(Transient):
        ours.fetch()
    assert ours.pins("") == {"good": sha}
    assert read_all(ours, sha)


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_FSIZE as Linux has it")
def test_a_disk_that_refuses_quarantines_nothing(theirs: Repository) -> None:
    import resource

    sha = theirs.push(contents(0))
    ours = source(theirs)
    ours.fetch()
    ours.pin("good", sha)
    theirs.push({"big": random.Random(1).randbytes(300_000)})
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        with pytest.raises(Transient):
            ours.fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert ours.pins("") == {"good": sha}
    assert ours.fetch().sha == theirs.head()
    assert not list(mirror_of(theirs).rglob("tmp_*"))
