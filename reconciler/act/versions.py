"""Versions of this program beside each other, in folders of their own, and the link `current` to one of them.

A new version is the old environment, copied, with another wheel in it: that takes seconds and needs no network, unless
the new one needs libraries that the old one has not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from reconciler.act.wheel import WHEEL, read_wheel
from reconciler.errors import Transient, Usage
from reconciler.materialise import remove, sync_folder, write
from reconciler.model.outcome import Reason
from reconciler.model.service import Failure
from reconciler.ownership import Demand, require
from reconciler.process import Completed, run
from reconciler.workspace import check_room, only_one

WHEELS = "wheels"
"""Folder beside the versions in which wheels are looked for by their version."""
COMPLETE = ".complete"
"""File in a version's folder that says that the version is complete."""
FAILURE = ".failure.json"
"""File in a version's folder that says how its last try ended, for everybody to read."""
UNPROVEN = ".unproven"
"""File beside the versions with the name of the one that returns if the present one does not prove itself."""
OPERATORS = Demand("a wheel for --self-update")
"""Nobody but root, or the account that upgrades, may be able to change such a wheel."""
_PATIENCE = 300.0


class Versions:
    """`folder`: of all versions; `link`: the name of the link in it. `index`: libraries that a new version needs may
    come from pip's package index; otherwise only from beside the wheel."""

    def __init__(self, folder: Path, link: str, environ: Mapping[str, str], *, index: bool = True) -> None:
        self.folder, self._link, self._environ, self._index = folder, folder / link, environ, index

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One upgrade at a time. Locked where another one is under way; Transient where this user may not write."""
        with ExitStack() as held:
            try:
                held.enter_context(only_one(self.folder / ".upgrade.lock", "upgrades it"))
            except OSError as error:
                raise _unwritable(error, self.folder) from error
            yield

    def current(self) -> Path:
        return self._link.resolve()

    def find(self, named: str | None) -> Path:
        """A wheel, or the folder of a version that is there already; None: the newest wheel. Usage where there is
        none. No registry is asked: the name may be somebody else's there."""
        if named is not None and named.endswith(".whl"):
            path = Path(named).absolute()
            if WHEEL.fullmatch(path.name) and path.is_file():
                return path
            raise Usage(Reason.USAGE_INVALID, f"{named} is no wheel of reconciler", "name reconciler-VERSION-….whl")
        there = sorted((self.folder / WHEELS).glob("reconciler-*.whl"), key=lambda item: item.stat().st_mtime)
        wheels = [item for item in there if (found := WHEEL.fullmatch(item.name)) and named in (None, found["version"])]
        if wheels:
            return wheels[-1]
        installed = self.folder / named if named and re.fullmatch(r"[0-9][A-Za-z0-9.+!-]*", named) else None
        if installed is not None and (installed / "bin/reconciler").exists():
            return installed
        told = (
            f"there is no version {named} in {self.folder}" if named else f"there is no wheel in {self.folder}/{WHEELS}"
        )
        raise Usage(Reason.USAGE_INVALID, told, f"name a wheel, or put it into {self.folder}/{WHEELS}")

    def require_own(self, found: Path) -> None:
        """Usage if anybody else could change this wheel or version, or a wheel from which libraries are installed."""
        for path in [found, *(sorted(found.parent.glob("*.whl")) if found.suffix == ".whl" else ())]:
            require(str(path), OPERATORS)

    def place(self, wheel: Path) -> Path:
        """The folder of this very wheel, which may not exist yet. Usage if it is no wheel of this program."""
        return wheel if wheel.is_dir() else self._place(wheel, read_wheel(wheel))

    def unpack(self, wheel: Path) -> Path:
        """The folder of this very wheel: made beside the others, unless it is there. Usage if it is no wheel of this
        program; Transient where pip or the disk fails, and then nothing is left of it."""
        if wheel.is_dir():
            return wheel
        data = read_wheel(wheel)
        made = self._place(wheel, data)
        if (made / COMPLETE).exists():
            return made
        before = os.umask(0o022)  # hooks run it as the accounts that push
        try:
            self._make(made, wheel, data)
        except BaseException:
            with suppress(OSError):
                remove(made)  # a full disk would stay full
            raise
        finally:
            os.umask(before)
        return made

    def _place(self, wheel: Path, data: bytes) -> Path:
        found = WHEEL.fullmatch(wheel.name)
        assert found is not None
        return self.folder / f"{found['version']}-{hashlib.sha256(data).hexdigest()[:8]}"

    def _make(self, made: Path, wheel: Path, data: bytes) -> None:
        try:
            if made.exists():
                remove(made)  # of an upgrade that was cut off
            self._copy(made, len(data))
            copied = made / wheel.name  # the bytes that were judged, even if somebody changes the file meanwhile
            copied.write_bytes(data)
            self._install(made, copied, wheel.parent)
            copied.unlink()
            (made / COMPLETE).touch()
        except shutil.Error as error:  # of copytree: a list of (from, to, why)
            why = str(error.args[0][0][2]) if error.args and error.args[0] else str(error)
            raise _unwritable(OSError(0, why), self.folder) from error
        except OSError as error:
            raise _unwritable(error, self.folder) from error

    def switch(self, version: Path) -> None:
        """Let the link name this version, in one atomic step."""
        draft = self._link.with_name(f".{self._link.name}.new")
        try:
            draft.unlink(missing_ok=True)
            draft.symlink_to(version.name)
            draft.replace(self._link)
        except OSError as error:
            raise _unwritable(error, self._link) from error

    def note(self, version: Path, failure: Failure | None) -> None:
        """Keep how the version's try ended; None: forget it. A full disk does not matter here."""
        path = version / FAILURE
        with suppress(OSError):
            if failure is None:
                path.unlink(missing_ok=True)
                return
            told = {"outcome": failure.outcome, "message": failure.message, "at": failure.at}
            _replace(path, json.dumps(told))

    def noted(self, version: Path) -> Failure | None:
        """How the version's last try ended, if it failed."""
        try:
            found = json.loads((version / FAILURE).read_bytes())
            return Failure(str(found["outcome"]), str(found["message"]), float(found["at"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def unproven(self) -> Path | None:
        """The version that returns if the present one does not prove itself: an upgrade was cut off in between."""
        try:
            name = (self.folder / UNPROVEN).read_text("utf-8").strip()
        except (OSError, ValueError):
            return None
        old = self.folder / name
        return old if name and "/" not in name and (old / "bin/reconciler").exists() else None

    def prove(self, old: Path | None) -> None:
        """From now on the present version has to prove itself, or `old` returns, after a power cut as well. None: it
        has been decided."""
        path = self.folder / UNPROVEN
        try:
            if old is None:
                path.unlink(missing_ok=True)
            else:
                _replace(path, old.name)
        except OSError as error:
            raise _unwritable(error, path) from error

    def tidy(self, kept: Sequence[Path]) -> None:
        """Remove versions that an earlier upgrade has made, except `kept`. Nothing else is touched."""
        for item in self.folder.iterdir():
            if (item / COMPLETE).exists() and item not in kept and not item.is_symlink():
                with suppress(OSError):
                    remove(item)

    def _copy(self, made: Path, more: int) -> None:
        """Copy the present environment. `more`: bytes that are needed beside it."""
        old, base = self.current(), getattr(sys, "_base_executable", sys.executable)
        folders = [*old.glob("lib/python*/site-packages")]
        size = sum(item.lstat().st_size for folder in folders for item in folder.rglob("*"))
        check_room(self.folder, size + 10 * more, "a copy of the present version with the new one in it")
        self._call([base, "-m", "venv", "--without-pip", str(made)])
        for packages in folders:
            shutil.copytree(packages, made / packages.relative_to(old), symlinks=True, dirs_exist_ok=True)

    def _install(self, made: Path, wheel: Path, libraries: Path) -> None:
        """Install the wheel; `libraries`: folder with wheels of libraries."""
        alone = [] if self._index else ["--isolated"]
        pip = [str(made / "bin/python"), "-m", "pip", *alone, "--disable-pip-version-check", "-q"]
        self._call([*pip, "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)])
        if self._run([*pip, "check"]).returncode != 0:
            index = ["--no-index", "--only-binary", ":all:"] if alone else []
            self._call([*pip, "install", *index, "--find-links", str(libraries), str(wheel)])

    def _call(self, argv: Sequence[str]) -> None:
        done = self._run(argv)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            told = f"the new version cannot be unpacked: {said[-1] if said else argv[0]}"
            raise Transient(Reason.DISK_FAILED, told, "the old one runs on; see what pip says", said[-6:-1])

    def _run(self, argv: Sequence[str]) -> Completed:
        environ = {**self._environ, "PIP_ROOT_USER_ACTION": "ignore"}
        return run(argv, env=environ, timeout=_PATIENCE, cwd="/", reason=Reason.DISK_FAILED)


def _replace(path: Path, text: str) -> None:
    """Write the file whole or not at all, so that it outlives a power cut."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    write(draft, text.encode(), 0o644, durable=True)
    draft.replace(path)
    sync_folder(path.parent)


def _unwritable(error: OSError, path: Path) -> Transient:
    told = f"{error.filename or path} cannot be written: {error.strerror}"
    return Transient(Reason.DISK_FAILED, told, "run it as the account that owns the folder, most often root")
