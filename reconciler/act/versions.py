"""Versions of this program beside each other, in folders of their own, and the link `current` to one of them.

A new version is the old environment, copied, with another wheel in it: that takes seconds and needs no network, unless
the new one needs libraries that the old one has not.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.materialise import remove
from reconciler.model.outcome import Reason
from reconciler.process import Completed, run
from reconciler.workspace import only_one

WHEEL = re.compile(r"reconciler-(?P<version>[0-9][A-Za-z0-9.+!]*)-[^/]*\.whl")
WHEELS = "wheels"
"""Folder beside the versions in which wheels are looked for by their version."""
COMPLETE = ".complete"
"""File in a version's folder that says that the version is complete."""
_PATIENCE = 300.0


class Versions:
    """`folder`: of all versions; `link`: the name of the link in it."""

    def __init__(self, folder: Path, link: str, environ: Mapping[str, str]) -> None:
        self.folder, self._link, self._environ = folder, folder / link, environ

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

    def unpack(self, wheel: Path) -> Path:
        """The folder of this very wheel: made beside the others, unless it is there. Transient where pip fails."""
        if wheel.is_dir():
            return wheel
        found = WHEEL.fullmatch(wheel.name)
        assert found is not None
        made = self.folder / f"{found['version']}-{hashlib.sha256(wheel.read_bytes()).hexdigest()[:8]}"
        if (made / COMPLETE).exists():
            return made
        before = os.umask(0o022)  # hooks run it as the accounts that push
        try:
            self._make(made, wheel)
        finally:
            os.umask(before)
        return made

    def _make(self, made: Path, wheel: Path) -> None:
        try:
            if made.exists():
                remove(made)  # of an upgrade that was cut off
            self._copy(made)
        except OSError as error:
            raise _unwritable(error, self.folder) from error
        self._install(made, wheel)
        (made / COMPLETE).touch()

    def switch(self, version: Path) -> None:
        """Let the link name this version, in one atomic step."""
        draft = self._link.with_name(f".{self._link.name}.new")
        try:
            draft.unlink(missing_ok=True)
            draft.symlink_to(version.name)
            draft.replace(self._link)
        except OSError as error:
            raise _unwritable(error, self._link) from error

    def tidy(self, kept: Sequence[Path]) -> None:
        """Remove versions that an earlier upgrade has made, except `kept`. Nothing else is touched."""
        for item in self.folder.iterdir():
            if (item / COMPLETE).exists() and item not in kept and not item.is_symlink():
                with suppress(OSError):
                    remove(item)

    def _copy(self, made: Path) -> None:
        old, base = self.current(), getattr(sys, "_base_executable", sys.executable)
        self._call([base, "-m", "venv", "--without-pip", str(made)])
        for packages in old.glob("lib/python*/site-packages"):
            shutil.copytree(packages, made / packages.relative_to(old), symlinks=True, dirs_exist_ok=True)

    def _install(self, made: Path, wheel: Path) -> None:
        pip = [str(made / "bin/python"), "-m", "pip", "--disable-pip-version-check", "-q"]
        self._call([*pip, "install", "--no-deps", "--no-index", "--force-reinstall", str(wheel)])
        if self._run([*pip, "check"]).returncode != 0:
            self._call([*pip, "install", "--find-links", str(wheel.parent), str(wheel)])

    def _call(self, argv: Sequence[str]) -> None:
        done = self._run(argv)
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
            told = f"the new version cannot be unpacked: {said[-1] if said else argv[0]}"
            raise Transient(Reason.DISK_FAILED, told, "the old one runs on; see what pip says", said[-6:-1])

    def _run(self, argv: Sequence[str]) -> Completed:
        environ = {**self._environ, "PIP_ROOT_USER_ACTION": "ignore"}
        return run(argv, env=environ, timeout=_PATIENCE, cwd="/", reason=Reason.DISK_FAILED)


def _unwritable(error: OSError, path: Path) -> Transient:
    told = f"{error.filename or path} cannot be written: {error.strerror}"
    return Transient(Reason.DISK_FAILED, told, "run it as the account that owns the folder, most often root")
