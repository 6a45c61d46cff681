"""The operator's secrets: read strictly, changes noticed cheaply, mounted without passing the state folder."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path
from threading import Event

import pytest

from reconciler.decide.redact import Redactor
from reconciler.errors import Transient, Usage
from reconciler.formats.interpolation import Opaque
from reconciler.observe.secret_files import LARGEST
from reconciler.observe.secrets import ABANDONED, SecretStore
from reconciler.renewal import Continued
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring.assembly import build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "secrets"
    path.mkdir(mode=0o700)
    return path


def put(folder: Path, name: str, data: str | bytes, mode: int = 0o600) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, mode=0o700)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    path.chmod(mode)
    return path


def age(folder: Path) -> None:
    """Make every time stamp old enough to be trusted."""
    for path in folder.rglob("*"):
        os.utime(path, (time.time() - 60, time.time() - 60))


def test_variables_of_one_stack(folder: Path) -> None:
    put(folder, "shop.env", "A=1\nB='two words'\n")
    put(folder, "shop/B", "from its own file\n\n")
    put(folder, "shop/db.password", "hunter2")
    put(folder, "blog.env", "A=other\n")
    put(folder, "shop/.hidden", "no")
    put(folder, "README", "no")
    store = SecretStore(folder)
    assert store.variables("shop") == {"A": "1", "B": "from its own file\n", "db.password": "hunter2"}
    assert store.contents("shop") == {"A": b"1", "B": b"from its own file\n\n", "db.password": b"hunter2"}
    assert (store.variables("unknown"), store.contents("unknown")) == ({}, {})
    assert store.values() == {b"1", b"from its own file\n\n", b"hunter2", b"other"}


def test_a_value_that_is_only_the_name_of_a_stack_is_not_masked(folder: Path) -> None:
    put(folder, "shop.env", "DB=shop\nUSER=blogs\nPASSWORD=shop-hunter2\n")
    put(folder, "blogs/HOST", "shop\n")
    redactor = Redactor()
    store = SecretStore(folder, redactor.register)
    assert store.variables("shop")["DB"] == "shop"
    assert redactor.clean("shop/web shop-hunter2 blogs/web") == "shop/web *** blogs/web"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"word", "word"),
        (b"word\n", "word"),
        (b"word\n\n", "word\n"),
        (b"word\r\n", "word\r"),
        (b"\nword\r", "\nword\r"),
        ("\ufeffw\u00f6rd\n".encode(), "\ufeffw\u00f6rd"),
        (b"a\0b\n", None),
        (b"\xff\xfe\n", None),
        (b"x" * LARGEST, "x" * LARGEST),
    ],
)
def test_bytes_stay_as_they_are_and_a_text_loses_one_newline(folder: Path, data: bytes, text: str | None) -> None:
    put(folder, "shop/KEY", data)
    store = SecretStore(folder)
    assert store.contents("shop")["KEY"] == data
    found = store.variables("shop")["KEY"]
    assert isinstance(found, Opaque) if text is None else found == text
    with store.private("shop", "KEY") as path:
        assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (data, 0o600)
    assert not path.exists()


def test_no_folder_no_secrets() -> None:
    store = SecretStore(None)
    assert (store.variables("shop"), store.values(), store.fingerprint()) == ({}, frozenset(), "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_files_open_to_others_are_refused_with_the_remedy(folder: Path, mode: int) -> None:
    path = put(folder, "shop/TOKEN", "x", mode)
    with pytest.raises(Usage, match="TOKEN") as refused:
        SecretStore(folder).variables("shop")
    assert refused.value.hint == f"chmod 0600 {path}"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("shop.env", b"A=\xff\xfe"),
        ("shop.env", b"A=a\0b"),
        ("shop/TOKEN", b"x" * (LARGEST + 1)),
        ("shop/not a name", b"x"),
        ("shop/1ST", b"x"),
        ("shop.env", b"A='open\n"),
        ("shop.env", b"ok=1\nDOCKER_HOST=tcp://evil\n"),
    ],
)
def test_what_is_no_secret_is_refused_by_name(folder: Path, name: str, data: bytes) -> None:
    path = put(folder, name, data)
    with pytest.raises(Usage) as refused:
        SecretStore(folder).fingerprint()
    assert str(path) in refused.value.message
    assert refused.value.hint


def test_a_line_is_named(folder: Path) -> None:
    path = put(folder, "shop.env", "ok=1\nDOCKER_HOST=tcp://evil\n")
    with pytest.raises(Usage, match=f"{path}:2:"):
        SecretStore(folder).variables("shop")


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="absent") as refused:
        SecretStore(tmp_path / "absent").variables("shop")
    assert "0700" in refused.value.hint


def test_the_fingerprint_follows_the_values(folder: Path) -> None:
    put(folder, "shop/A", "hunter2")
    store = SecretStore(folder)
    first = store.fingerprint()
    assert "hunter2" not in first
    assert SecretStore(folder).fingerprint() == first
    put(folder, "shop/A", "hunter3")
    changed = store.fingerprint()
    put(folder, "blog/A", "hunter3")
    assert len({first, changed, store.fingerprint()}) == 3


def test_a_name_cannot_pass_for_a_value(folder: Path) -> None:
    put(folder, "shop/AB", "C")
    first = SecretStore(folder).fingerprint()
    (folder / "shop/AB").unlink()
    put(folder, "shop/A", "BC")
    assert SecretStore(folder).fingerprint() != first


def test_unchanged_files_are_not_read_again(folder: Path) -> None:
    path = put(folder, "shop/A", "hunter2")
    age(folder)
    store = SecretStore(folder)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    first = store.fingerprint()
    assert store.fingerprint() == first
    path.write_text("hunter3")
    assert store.fingerprint() != first


def test_a_change_within_the_same_instant_is_seen(folder: Path) -> None:
    """A file may be written twice between two ticks of the file system's clock."""
    path = put(folder, "shop/A", "hunter2")
    store = SecretStore(folder)
    first, before = store.fingerprint(), path.stat()
    path.write_text("hunter3")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert store.fingerprint() != first


def test_mounting(folder: Path) -> None:
    put(folder, "shop/TOKEN", "hunter2\n")
    store = SecretStore(folder)
    name, older = (hashlib.sha256(data).hexdigest() for data in (b"hunter2\n", b"hunter2"))
    assert store.mount(name, *store.forms("shop", "TOKEN"))
    path = store.place(name)
    assert (path.parent, path.read_bytes()) == (folder / ".mounts", b"hunter2\n")
    assert store.mount(older, *store.forms("shop", "TOKEN"))
    assert store.place(older).read_bytes() == b"hunter2"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    put(folder, "shop/TOKEN", "hunter3")
    assert not store.mount(name, *store.forms("shop", "TOKEN"))
    assert path.read_bytes() == b"hunter2\n"
    assert store.variables(".mounts") == {}


def test_mounting_what_is_not_there(folder: Path) -> None:
    with pytest.raises(Transient, match="TOKEN") as missing:
        SecretStore(folder).forms("shop", "TOKEN")
    assert f"{folder}/shop/TOKEN" in missing.value.hint


def test_scratch_files_are_private_and_go(folder: Path) -> None:
    store = SecretStore(folder)
    with store.scratch(b"A=1") as path:
        assert path.read_bytes() == b"A=1"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        left = path.with_name("left-by-a-killed-process")
        left.write_text("A=1")
        old = time.time() - ABANDONED - 60
        os.utime(left, (old, old))
        left.with_name("removed-meanwhile").symlink_to("nowhere")
    assert not path.exists()
    with store.scratch(b""):
        assert not left.exists()


def test_what_was_mounted_is_listed_and_forgotten_one_by_one(folder: Path) -> None:
    put(folder, "shop/TOKEN", "hunter2")
    put(folder, "shop/OTHER", "swordfish")
    store = SecretStore(folder)
    assert (store.mounted(), SecretStore(None).mounted()) == ([], [])
    one, two = (store.place(hashlib.sha256(data).hexdigest()) for data in (b"hunter2", b"swordfish"))
    assert store.mount(one.name, b"hunter2")
    assert store.mount(two.name, b"swordfish")
    put(folder, ".mounts/README", "not ours")
    assert store.mounted() == sorted([one.name, two.name])
    store.forget(one.name)
    store.forget(one.name)
    assert (store.mounted(), two.read_text()) == ([two.name], "swordfish")
    assert (folder / "shop/TOKEN").read_text() == "hunter2"
    assert (folder / ".mounts/README").exists()


@pytest.mark.parametrize("how", ["mode", "quote", "folder"])
def test_files_that_turn_bad_are_told_and_what_they_held_counts(folder: Path, how: str) -> None:
    path = put(folder, "shop.env", "A=hunter2\n")
    store = SecretStore(folder)
    known = store.fingerprint()
    assert store.trouble() is None
    if how == "folder":
        folder.rename(folder.with_name("away"))
    else:
        put(folder, "shop.env", "A='hunter3\n" if how == "quote" else "A=hunter3\n", 0o644 if how == "mode" else 0o600)
    trouble = store.trouble()
    assert trouble is not None
    assert trouble.hint
    assert (store.fingerprint(), store.variables("shop")) == (known, {"A": "hunter2"})
    if how == "folder":
        folder.with_name("away").rename(folder)
    else:
        put(folder, "shop.env", "A=hunter3\n")
    assert store.trouble() is None
    assert store.variables("shop") == {"A": "hunter2" if how == "folder" else "hunter3"}
    assert path.exists()


@pytest.mark.parametrize(("data", "mode"), [("A='hunter2\n", 0o600), ("A=hunter2\n", 0o644)])
def test_who_only_reads_goes_on_and_masks_what_cannot_be_used(folder: Path, data: str, mode: int) -> None:
    path = put(folder, "shop.env", data, mode)
    put(folder, "shop/KEY", "swordfish\n")
    masked: set[bytes] = set()
    store = SecretStore(folder, masked.update)
    store.tolerate()
    trouble = store.trouble()
    assert trouble is not None
    assert str(path) in trouble.message
    assert (store.fingerprint(), store.variables("shop")) == ("", {})
    assert {b"hunter2", b"swordfish"} <= masked


def test_a_quote_that_is_not_closed_is_told_with_its_line(folder: Path) -> None:
    path = put(folder, "shop.env", "ok=1\nA='hunter2\nB=2\n")
    with pytest.raises(Usage, match=f"{path}:2: the value begins with a quote that is not closed") as refused:
        SecretStore(folder).fingerprint()
    assert "Add the closing '" in refused.value.hint
    assert "hunter2" not in refused.value.message + refused.value.hint
    put(folder, "shop.env", "A='hunter2\nB='x'\n")
    with pytest.raises(Usage) as refused:
        SecretStore(folder).fingerprint()
    assert "close the quote of a value above" in refused.value.hint


def test_an_agent_that_starts_anew_goes_on_with_bad_secrets(folder: Path, tmp_path: Path) -> None:
    """At a start by a person it is an error; the agent starts anew by itself at any moment."""
    put(folder, "shop.env", 'TOKEN="never-closed\n')
    settings = Settings("mini", SourceSettings(str(tmp_path)), str(tmp_path / "state"), secrets_dir=str(folder))
    with pytest.raises(Usage):
        build(settings, stop=Event(), redactor=Redactor())
    before = Continued(0, 0.0, settings)
    assert build(settings, stop=Event(), redactor=Redactor(), before=before).secrets.trouble() is not None
