"""Versions of this program on a real disk: real wheels, a real pip, a real virtual environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from reconciler.act.versions import COMPLETE, Versions
from reconciler.errors import Transient, Usage

SAYS = "def main():\n    print('{}')\n"


def wheel(path: Path, version: str = "9.1", name: str = "reconciler", more: dict[str, str] | None = None) -> Path:
    """A small wheel, which needs no libraries."""
    about = f"{name}-{version}.dist-info"
    files = {
        "reconciler/__init__.py": "",
        "reconciler/main.py": SAYS.format(version),
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/entry_points.txt": "[console_scripts]\nreconciler = reconciler.main:main\n",
        f"{about}/RECORD": "",
        **(more or {}),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as packed:
        for place, text in files.items():
            packed.writestr(place, text)
    return path


@pytest.fixture
def shelf(tmp_path: Path) -> Versions:
    """A version whose environment has only pip, in a folder with a blank in its name."""
    folder = tmp_path / "my versions"
    packages = Path(f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages")
    import pip

    shutil.copytree(Path(pip.__file__).parent, folder / "old" / packages / "pip")
    (folder / "old/bin").mkdir()
    (folder / "old/bin/reconciler").touch()
    (folder / "current").symlink_to("old")
    return Versions(folder, "current", dict(os.environ), index=False)


def test_a_wheel_becomes_a_version_beside_the_old_one(shelf: Versions, tmp_path: Path) -> None:
    found = wheel(tmp_path / "my wheels/reconciler-9.1-py3-none-any.whl")
    made = shelf.unpack(found)
    assert (made / COMPLETE).exists()
    assert subprocess.check_output([made / "bin/reconciler"], text=True) == "9.1\n"
    assert not list(made.glob("*.whl"))
    assert made == shelf.place(found) == shelf.unpack(found)
    assert shelf.current().name == "old"
    shelf.switch(made)
    assert shelf.current() == made


def test_what_a_failed_unpacking_leaves_is_removed(shelf: Versions, tmp_path: Path) -> None:
    needs = "Metadata-Version: 2.1\nName: reconciler\nVersion: 9.1\nRequires-Dist: nobody-has-this-4b1d\n"
    place = tmp_path / "reconciler-9.1-py3-none-any.whl"
    wheel(place, more={"reconciler-9.1.dist-info/METADATA": needs})
    with pytest.raises(Transient, match="nobody-has-this"):
        shelf.unpack(place)
    assert sorted(item.name for item in shelf.folder.iterdir()) == ["current", "old"]


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("truncated", "is damaged or was sent only in part"),
        ("empty", "is damaged or was sent only in part"),
        ("changed", "is damaged or was sent only in part"),
        ("other program", "is a wheel of flask 9.1"),
        ("other version", "is a wheel of reconciler 8.0"),
        ("leads out", "leads out of the environment"),
        ("absolute", "leads out of the environment"),
        ("folder", "cannot be read"),
    ],
)
def test_a_file_that_is_no_wheel_of_ours_changes_nothing(
    shelf: Versions, tmp_path: Path, fault: str, says: str
) -> None:
    place = tmp_path / "reconciler-9.1-py3-none-any.whl"
    match fault:
        case "other program":
            wheel(place, name="flask")
        case "other version":
            wheel(place, "8.0")
        case "leads out":
            wheel(place, more={"../../evil.py": "x"})
        case "absolute":
            wheel(place, more={"/etc/evil": "x"})
        case "folder":
            place.symlink_to(tmp_path / "nowhere")
        case _:
            data = wheel(place).read_bytes()
            at = data.index(b"print")
            changed = data[:at] + b"PRINT" + data[at + 5 :]
            place.write_bytes({"truncated": data[: len(data) // 2], "empty": b"", "changed": changed}[fault])
    with pytest.raises(Usage, match=says):
        shelf.unpack(place)
    assert sorted(item.name for item in shelf.folder.iterdir()) == ["current", "old"]


def test_a_disk_without_room_is_named_before_anything_is_copied(
    shelf: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.workspace.room", lambda folder: 1000)
    with pytest.raises(Transient, match="may be used"):
        shelf.unpack(wheel(tmp_path / "reconciler-9.1-py3-none-any.whl"))
    assert sorted(item.name for item in shelf.folder.iterdir()) == ["current", "old"]


def test_bytes_that_change_after_the_check_are_not_installed(
    shelf: Versions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = wheel(tmp_path / "reconciler-9.1-py3-none-any.whl")
    copy = shelf._copy

    def swapped(made: Path, more: int) -> None:
        copy(made, more)
        wheel(place, more={"reconciler/main.py": SAYS.format("swapped")})

    monkeypatch.setattr(shelf, "_copy", swapped)
    assert subprocess.check_output([shelf.unpack(place) / "bin/reconciler"], text=True) == "9.1\n"


def test_an_upgrade_that_was_cut_off_is_remembered(shelf: Versions) -> None:
    assert shelf.unproven() is None
    shelf.prove(shelf.current())
    assert shelf.unproven() == shelf.current()
    shelf.prove(None)
    assert shelf.unproven() is None
    for text in ("../old", "", "gone"):
        (shelf.folder / ".unproven").write_text(text)
        assert shelf.unproven() is None
