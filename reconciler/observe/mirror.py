"""The mirror's folder: made by us, cleaned after killed processes, and deleted if it is damaged.

Only the holder of the state lock fetches, so locks and half-written files in it belong to dead processes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.git import LOCAL_CONFIG, Git, local_config
from reconciler.observe.remote import Remote
from reconciler.process import ProcessTimeout
from reconciler.workspace import room

_FOLDERS = ("objects", "objects/info", "objects/pack", "refs", "refs/heads")
_HEAD = "ref: refs/heads/none\n"
_CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"
_HALF_WRITTEN = ("tmp_", ".tmp-", "incoming-", "tmp_objdir-")
_CHECK_TIMEOUT = 300.0

MALFORMED = 1
"""Exit code of `git fsck` if the packs are whole, and some objects are malformed."""

_MANY_PACKS = 50
"""Pack count from which all packs are repacked into one. Each fetch that brings objects adds a pack."""

_SOME_PACKS = 25
"""Pack count from which an idle `tidy` repacks, when no report about a commit off the branch is pending."""


class Mirror:
    """A bare repository that is a cache: it may be deleted at any time."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.folder = folder
        self._files = {"HEAD": _HEAD, "config": _CONFIG}
        if remote.path is not None:
            self._files[LOCAL_CONFIG] = local_config(remote.path)

    def prepare(self) -> None:
        """Make it, or make it usable again after a killed process. Transient if the disk refuses."""
        try:
            self._prepare()
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            self.discard()
            self._prepare()
        except OSError as error:
            raise self._unusable(error) from error

    def sweep(self) -> int:
        """Remove what a git process left half-written when it was killed or found no space. Returns bytes of the
        largest file."""
        largest = 0
        for path in list(self._left_behind()):
            with suppress(FileNotFoundError):
                largest = max(largest, path.lstat().st_size)
            _remove(path)
        return largest

    def sound(self, git: Git) -> bool:
        """Whether every object is whole, and every ref leads to all objects that it needs. Reads all of it."""
        try:
            code = git.run("fsck", "--full", "--no-dangling", "--no-progress", timeout=_CHECK_TIMEOUT).returncode
            return code in (0, MALFORMED)
        except ProcessTimeout:
            return False

    def discard(self) -> None:
        """Move it aside; `forget` deletes it when there is a new one."""
        try:
            self.forget()
            self.folder.rename(self._aside)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unusable(error) from error

    def drop(self, prefix: str) -> None:
        """Delete the refs below `prefix` ('refs/…/'), so that they are fetched again. Also refs that other programs
        have packed."""
        shutil.rmtree(self.folder / prefix, ignore_errors=True)
        (self.folder / "packed-refs").unlink(missing_ok=True)

    def forget(self) -> None:
        """Delete what `discard` moved aside."""
        if self._aside.is_dir() and not self._aside.is_symlink():
            shutil.rmtree(self._aside)
        else:
            self._aside.unlink(missing_ok=True)

    def pack(self, git: Git) -> None:
        """Merge many packs into one. Nothing is lost, even if it is killed; unreachable commits are kept."""
        if self._are_many(_MANY_PACKS):
            git.run("repack", "-a", "-d", "-k", "-q", timeout=_CHECK_TIMEOUT)

    def tidy(self, git: Git) -> None:
        """Merge packs into one, already from a smaller number on, and drop objects that no ref leads to."""
        if self._are_many(_SOME_PACKS):
            git.run("repack", "-a", "-d", "-q", timeout=_CHECK_TIMEOUT)
            git.run("prune", "--expire=now", timeout=_CHECK_TIMEOUT)

    def _are_many(self, most: int) -> bool:
        """Whether there are more than `most` packs, and space for a second copy of all of them."""
        packs = list(self.folder.glob("objects/pack/*.pack"))
        return len(packs) > most and room(self.folder) > sum(path.stat().st_size for path in packs)

    @property
    def _aside(self) -> Path:
        return self.folder.with_name(self.folder.name + ".broken")

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        for name in _FOLDERS:
            (self.folder / name).mkdir(exist_ok=True)
        for name, text in self._files.items():
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != text.encode():
                path.write_text(text, "utf-8")
        self.sweep()

    def _left_behind(self) -> Iterator[Path]:
        """Called in every turn, so it does not use pathlib's slow globs."""
        yield self.folder / "shallow"
        yield from _named(self.folder, lambda name: name.endswith(".lock"))
        for base, _, names in os.walk(self.folder / "refs"):
            yield from (Path(base, name) for name in names if name.endswith(".lock"))
        objects = self.folder / "objects"
        for folder in (objects, *_named(objects, lambda name: True)):
            yield from _named(folder, lambda name: name.startswith(_HALF_WRITTEN) or name.endswith(".lock"))

    def _unusable(self, error: OSError) -> Transient:
        return Transient(
            Reason.DISK_FAILED,
            f"the mirror {self.folder} cannot be written: {error.strerror}",
            "make room on the disk or fix the folder's owner; the mirror may be deleted, it is made anew",
        )


def _named(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    """Files and folders of the folder whose name `wanted` accepts; nothing if it is no folder."""
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from (folder / name for name in os.listdir(folder) if wanted(name))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
