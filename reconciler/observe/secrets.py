"""The operator's values, never in git: `<secrets_dir>/<stack>.env` and `<secrets_dir>/<stack>/<NAME>`.

A mounted secret has the bytes of its file. As `${NAME}` it is the text without one final newline, because editors add
one.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.materialise import sync_folder
from reconciler.model.outcome import Reason
from reconciler.observe.secret_files import as_text, digest, read, salvaged, secret_files, stamp, unusable
from reconciler.ownership import SECRETS, require, require_contents
from reconciler.values import dataclass

MOUNTS = ".mounts"
SCRATCH = ".scratch"
DIGEST = re.compile(r"[0-9a-f]{64}")
ABANDONED = 86_400.0
"""Seconds after which a scratch file belongs to no living process; a build needs its secrets until its end."""

SETTLED = 2.0
"""Seconds after which a changed file is sure to have another time stamp (FAT has the coarsest)."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Content of the folder when its files had these stamps; `settled` if the stamps can be trusted."""

    stamps: tuple[tuple[str, int, int, int, int], ...]
    settled: bool
    stacks: Mapping[str, Mapping[str, bytes]]
    texts: Mapping[str, Mapping[str, str]]
    fingerprint: str


class SecretStore:
    """The operator's secrets. `folder` None: there are none. `learned` gets all values whenever they were read,
    except those that are only the name of a stack, as databases often have: all output would show this stack as `***`.
    `seal`: a digest of a value → the name under which it is mounted, from which nobody can guess the value.

    Every method raises Usage if a file is readable by others, too large, or not named like a variable, with the command
    that corrects it; Transient if a file disappears while it is read. Earlier contents count until the files can be
    read again, and `trouble` says why.
    """

    def __init__(
        self,
        folder: Path | None,
        learned: Callable[[Iterable[bytes]], None] = lambda values: None,
        seal: Callable[[str], str] = str,
    ) -> None:
        self._folder, self._learned, self._seal = folder.absolute() if folder else None, learned, seal
        self._loaded = _Loaded((), True, {}, {}, "")
        self._examined = self._known = False
        self._trouble: Usage | None = None

    def trouble(self) -> Usage | None:
        """The fault that prevents reading the files."""
        try:
            self._load()
        except Usage as error:
            return error
        return self._trouble

    def tolerate(self) -> None:
        """For readers only: files that cannot be used count as empty, but their values are masked."""
        self._known = True
        if self.trouble() is not None and self._folder is not None:
            self._learned(salvaged(self._folder))

    def variables(self, stack: str) -> Mapping[str, str]:
        """Variable → text for one stack. A separate file wins over a line of the env file.

        A value that is no UTF-8 text or contains NUL is Opaque: it exists, but cannot be used in a text.
        """
        return self._load().texts.get(stack, {})

    def contents(self, stack: str) -> Mapping[str, bytes]:
        """Variable → bytes for one stack, for mounting."""
        return self._load().stacks.get(stack, {})

    def values(self) -> frozenset[bytes]:
        """Every value of every stack, for masking."""
        return frozenset(value for stack in self._load().stacks.values() for value in stack.values())

    def fingerprint(self) -> str:
        """Digest (sha256, hex) of all names and values; '' without secrets. Cheap while no file changes."""
        return self._load().fingerprint

    def place(self, name: str) -> Path:
        """Path of the value that is mounted under this name."""
        return self._required() / MOUNTS / name

    def mount(self, name: str, *contents: bytes) -> bool:
        """Make a read-only file for mounting (0444 in a folder of 0700) with the one of `contents` that has this name.
        False if none has it.

        The name follows from the bytes, so containers keep their file when the secret changes.
        """
        for data in contents:
            if self._seal(hashlib.sha256(data).hexdigest()) == name:
                _write_atomically(self.place(name), data)
                return True
        return False

    def forms(self, stack: str, name: str) -> tuple[bytes, bytes]:
        """A secret's bytes as they are, and as older versions mounted them: without a final newline.

        Transient (FileMissing) if there is no such secret.
        """
        data = self._content(stack, name)
        return data, data.removesuffix(b"\n")

    def mounted(self) -> list[str]:
        """Names of the files that `mount` has made and nobody has removed."""
        if self._folder is None:
            return []
        with suppress(OSError):
            return sorted(path.name for path in (self._folder / MOUNTS).iterdir() if DIGEST.fullmatch(path.name))
        return []

    def forget(self, digest: str) -> None:
        """Remove a file that nothing mounts any more. The operator's file stays."""
        path = self.place(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path.parent, error) from error

    @contextmanager
    def scratch(self, data: bytes) -> Iterator[Path]:
        """A private file with `data` beside the secrets. It is removed afterwards, and so are those of killed
        processes."""
        folder = self._required() / SCRATCH
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            _sweep(folder)
            descriptor, name = tempfile.mkstemp(dir=folder)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            yield Path(name)
        finally:
            os.unlink(name)

    @contextmanager
    def private(self, stack: str, name: str) -> Iterator[Path]:
        """A private file with the bytes of a secret, removed afterwards. Transient (FileMissing) if there is none."""
        with self.scratch(self._content(stack, name)) as path:
            yield path

    def _content(self, stack: str, name: str) -> bytes:
        try:
            return self.contents(stack)[name]
        except KeyError:
            raise Transient(
                Reason.FILE_MISSING,
                f"{stack} needs the secret {name}, which {self._folder or 'this machine'} does not have",
                f"Put it into {self._folder or 'secrets_dir'}/{stack}/{name} (mode 0600).",
            ) from None

    def _required(self) -> Path:
        if self._folder is None:
            raise unusable("no secrets_dir is set", "Set `secrets_dir` in the agent config.")
        return self._folder

    def _examine(self, folder: Path) -> None:
        """Checked once. Somebody who can replace it later could have replaced it before the agent's start."""
        if not self._examined:
            require(str(folder), SECRETS)
            require_contents(folder, SECRETS)
            self._examined = True

    def _load(self) -> _Loaded:
        if self._folder is not None:
            try:
                self._refresh(self._folder)
            except Usage as error:
                if not self._known:
                    raise
                self._trouble = error
            else:
                self._known, self._trouble = True, None
        return self._loaded

    def _refresh(self, folder: Path) -> None:
        self._examine(folder)
        paths = tuple(secret_files(folder))
        stamps = tuple(stamp(path) for path in paths)
        if not (self._loaded.settled and stamps == self._loaded.stamps):
            stacks = read(folder, paths)
            public = {name.encode() for name in stacks}
            self._learned([value for own in stacks.values() for value in own.values() if value.strip() not in public])
            newest = max((max(stamp[1:3]) for stamp in stamps), default=0)
            settled = time.time() - newest / 1e9 > SETTLED
            texts = {stack: {name: as_text(data) for name, data in own.items()} for stack, own in stacks.items()}
            self._loaded = _Loaded(stamps, settled, stacks, texts, digest(stacks))


def _write_atomically(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            os.fchmod(descriptor, 0o444)
            stream.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _sweep(folder: Path) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process has removed it
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _unwritable(folder: Path, error: OSError) -> Transient:
    return Transient(
        Reason.SECRETS_UNUSABLE,
        f"{folder} cannot be written: {error.strerror}",
        "secrets_dir must belong to the agent's user, be writable and have space left.",
    )
