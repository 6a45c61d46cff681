"""Trees are written completely or not at all, once, and never changed."""

from __future__ import annotations

import os
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.act.trees import TreeStore
from reconciler.decide.mounts.digests import content_digest, tree_digest
from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.materialise import ONCE, remove
from reconciler.model.desired import Tree
from reconciler.observe.secrets import SecretStore
from tests.commits import CommitFiles
from tests.kills import killed_at

FILES = CommitFiles(
    {"conf/nginx.conf": "listen 80;\n", "conf/d/run.sh": b"#!/bin/sh\n\0\xff", "conf.d/other": "no"},
    {"conf/d/run.sh": "100755"},
)
NONE = SecretStore(None)
NOBODY = 65534


def tree(path: str) -> Tree:
    return Tree(tree_digest(FILES, path), path=path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder(tmp_path: Path) -> None:
    effects = Effects()
    store = TreeStore(tmp_path / "trees", effects)
    store.ensure([tree("conf")], FILES, NONE)
    root = store.path(tree("conf").digest)
    assert sorted(path.relative_to(root).as_posix() for path in root.rglob("*")) == ["d", "d/run.sh", "nginx.conf"]
    assert (root / "d/run.sh").read_bytes() == b"#!/bin/sh\n\0\xff"
    assert [mode(root / name) for name in ("", "d", "d/run.sh", "nginx.conf")] == [0o555, 0o555, 0o555, 0o444]
    assert [mode(tmp_path / "trees"), effects.count] == [0o700, 1]


def test_single_files_and_texts(tmp_path: Path) -> None:
    store = TreeStore(tmp_path, Effects())
    text = Tree(content_digest("motd é".encode()), content="motd é")
    empty = Tree(content_digest(b""), content="")
    store.ensure([tree("conf/d/run.sh"), tree("conf/nginx.conf"), text, empty], FILES, NONE)
    assert store.path(text.digest).read_text() == "motd é"
    assert store.path(empty.digest).read_bytes() == b""
    modes = [mode(store.path(item.digest)) for item in (tree("conf/d/run.sh"), tree("conf/nginx.conf"), text)]
    assert modes == [0o555, 0o444, 0o444]


def test_the_whole_repository(tmp_path: Path) -> None:
    store = TreeStore(tmp_path, Effects())
    store.ensure([tree(".")], FILES, NONE)
    assert (store.path(tree(".").digest) / "conf.d/other").read_text() == "no"


def test_equal_large_files_are_one_on_the_disk(tmp_path: Path) -> None:
    """Within a tree, and across trees that are written together. Another mode is another file; small files are
    copies."""
    data = os.urandom(ONCE)
    names = [f"bomb/{number}/{deep}/file" for number in range(20) for deep in range(5)]
    small = {"bomb/a": b"x", "bomb/b": b"x"}
    files = CommitFiles({**dict.fromkeys([*names, "run", "alone"], data), **small}, {"run": "100755"})
    trees = [Tree(tree_digest(files, path), path=path) for path in ("bomb", "bomb/1", "alone", "run")]
    store = TreeStore(tmp_path / "trees", Effects())
    store.ensure(trees, files, NONE)
    bomb, one, alone, run = (store.path(item.digest) for item in trees)
    inodes = {path.stat().st_ino for path in [alone, *one.rglob("file"), *bomb.rglob("file")]}
    assert len(inodes) == 1
    assert all(path.read_bytes() == data for path in (alone, run, *one.rglob("file")))
    assert [mode(path) for path in (alone, run)] == [0o444, 0o555]
    assert run.stat().st_ino not in inodes
    assert [(bomb / name).stat().st_nlink for name in "ab"] == [1, 1]
    store.remove([trees[0].digest])
    assert (alone.read_bytes(), mode(alone)) == (data, 0o444)


def test_what_is_there_stays(tmp_path: Path) -> None:
    effects = Effects()
    store = TreeStore(tmp_path, effects)
    store.ensure([tree("conf"), tree("conf")], FILES, NONE)
    before = store.path(tree("conf").digest).stat().st_ino
    store.ensure([tree("conf")], FILES, NONE)
    store.ensure([tree("conf")], None, NONE)
    assert (store.path(tree("conf").digest).stat().st_ino, effects.count) == (before, 1)


def test_without_the_commit_only_texts_are_written(tmp_path: Path) -> None:
    store = TreeStore(tmp_path, Effects())
    text = Tree(content_digest(b"motd"), content="motd")
    store.ensure([tree("conf"), text], None, NONE)
    assert [path.name for path in tmp_path.iterdir()] == [text.digest]


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    (folder / "shop").mkdir(parents=True, mode=0o700)
    put(folder, "hunter2")
    return folder


def put(folder: Path, value: str) -> None:
    (folder / "shop/TOKEN").write_text(value)
    (folder / "shop/TOKEN").chmod(0o600)


def secret(value: str) -> Tree:
    return Tree(content_digest(value.encode()), secret="TOKEN", stack="shop")


def test_secrets_never_enter_the_state_folder(tmp_path: Path, secrets_dir: Path) -> None:
    effects = Effects()
    store = TreeStore(tmp_path / "trees", effects)
    for _ in range(2):
        store.ensure([secret("hunter2")], FILES, SecretStore(secrets_dir))
    assert (secrets_dir / ".mounts" / secret("hunter2").digest).read_text() == "hunter2"
    assert effects.count == 1
    assert not (tmp_path / "trees").exists()


def test_a_text_that_holds_a_secret_never_does_either(tmp_path: Path, secrets_dir: Path) -> None:
    store = TreeStore(tmp_path / "trees", Effects())
    text = "password: hunter2"
    store.ensure([Tree(content_digest(text.encode()), content=text, stack="shop")], FILES, SecretStore(secrets_dir))
    assert (secrets_dir / ".mounts" / content_digest(text.encode())).read_text() == text
    assert not (tmp_path / "trees").exists()
    with pytest.raises(Transient, match="a secret has changed"):
        store.ensure([Tree(content_digest(b"another"), content=text, stack="shop")], FILES, SecretStore(secrets_dir))


def test_a_secret_that_has_changed(tmp_path: Path, secrets_dir: Path) -> None:
    store = TreeStore(tmp_path / "trees", Effects())
    store.ensure([secret("hunter2")], None, SecretStore(secrets_dir))
    put(secrets_dir, "hunter3")
    store.ensure([secret("hunter2")], None, SecretStore(secrets_dir))
    with pytest.raises(Transient, match="TOKEN has changed"):
        store.ensure([secret("hunter4")], None, SecretStore(secrets_dir))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Transient, match="cannot be written"):
        TreeStore(tmp_path / "file", Effects()).ensure([tree("conf")], FILES, NONE)


def test_what_is_removed_is_gone_and_nothing_else(tmp_path: Path) -> None:
    effects = Effects()
    store = TreeStore(tmp_path / "trees", effects)
    assert store.stored() == []
    store.ensure([tree("conf"), tree("conf/nginx.conf")], FILES, NONE)
    (tmp_path / "trees" / "of-somebody").write_text("")
    store.remove([tree("conf").digest, "e" * 64])
    assert store.stored() == [tree("conf/nginx.conf").digest]
    assert sorted(path.name for path in (tmp_path / "trees").iterdir()) == [*store.stored(), "of-somebody"]
    assert effects.count == 4


REMOVED = """
from pathlib import Path
from reconciler.act.trees import TreeStore
from reconciler.effects import Effects
from tests.act.test_trees import tree
def act(root: Path) -> None:
    TreeStore(root, Effects()).remove([tree("conf").digest])
"""


def test_a_kill_while_removing_leaves_all_or_nothing(tmp_path: Path) -> None:
    store = TreeStore(tmp_path / "trees", Effects())
    place = store.path(tree("conf").digest)
    whole = 0
    for step in range(1, 30):
        store.ensure([tree("conf")], FILES, NONE)
        events = ("os.rename", "os.remove", "os.rmdir", "os.chmod")
        code = killed_at(step, events, REMOVED, tmp_path / "trees")
        assert not place.exists() or (place / "d/run.sh").read_bytes() == FILES.read("conf/d/run.sh")
        whole += place.exists()
        if code == 0:
            break
    assert step > 5
    assert whole == 1
    store.remove([])
    store.ensure([tree("conf")], FILES, NONE)
    assert [path.name for path in (tmp_path / "trees").iterdir()] == [place.name]


KILLED = """
from pathlib import Path
from reconciler.act.trees import TreeStore
from reconciler.effects import Effects
from reconciler.observe.secrets import SecretStore
from tests.act.test_trees import FILES, tree
def act(root: Path) -> None:
    TreeStore(root, Effects()).ensure([tree("conf")], FILES, SecretStore(None))
"""


def test_a_kill_at_any_point_leaves_all_or_nothing(tmp_path: Path) -> None:
    store = TreeStore(tmp_path / "trees", Effects())
    place = store.path(tree("conf").digest)
    for step in range(1, 30):
        events, root = ("open", "os.mkdir", "os.rename", "os.chmod"), tmp_path / "trees"
        code = killed_at(step, events, KILLED, root, str(root))
        if place.exists():
            break
        assert code == -signal.SIGKILL
    assert (place / "d/run.sh").read_bytes() == FILES.read("conf/d/run.sh")
    assert step > 5
    store.ensure([tree("conf/nginx.conf")], FILES, NONE)
    assert {path.name for path in (tmp_path / "trees").iterdir()} == {place.name, tree("conf/nginx.conf").digest}


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of a user who may not override permissions; root becomes that user for the test."""
    folder = Path(tempfile.mkdtemp())
    if os.geteuid() != 0:
        yield folder
        return
    os.chown(folder, NOBODY, NOBODY)
    os.seteuid(NOBODY)
    try:
        yield folder
    finally:
        os.seteuid(0)
        remove(folder)


def test_a_user_without_privileges_can_write_a_folder(unprivileged: Path) -> None:
    store = TreeStore(unprivileged / "trees", Effects())
    store.ensure([tree("conf")], FILES, NONE)
    root = store.path(tree("conf").digest)
    assert [mode(root), (root / "nginx.conf").read_text()] == [0o555, "listen 80;\n"]
    assert [path.name for path in (unprivileged / "trees").iterdir()] == [root.name]


def test_a_path_that_the_commit_does_not_have_becomes_no_empty_folder(tmp_path: Path) -> None:
    store = TreeStore(tmp_path / "trees", Effects())
    moved = Tree("d" * 64, path="web.conf")
    with pytest.raises(Transient, match=r"web\.conf"):
        store.ensure([moved], FILES, NONE)
    assert not store.path(moved.digest).exists()


def test_secrets_that_nothing_mounts_any_more_go_with_the_trees(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    secrets, effects = SecretStore(folder), Effects()
    old, kept = (secrets.place(content_digest(data)) for data in (b"hunter2-old", b"hunter2-new"))
    assert secrets.mount(old.name, b"hunter2-old")
    assert secrets.mount(kept.name, b"hunter2-new")
    store = TreeStore(tmp_path / "trees", effects)
    store.remove([old.name], secrets)
    assert (old.exists(), kept.exists(), effects.count) == (False, True, 1)
    assert secrets.mounted() == [kept.name]
