"""The operator's values, never in git: `<secrets_dir>/<stack>.env` and `<secrets_dir>/<stack>/<NAME>`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.formats.dotenv import dotenv
from reconciler.materialise import sync_folder
from reconciler.model.outcome import Reason
from reconciler.ownership import SECRET, SECRETS, SECRETS_OF_STACK, Demand, entry_faults, require, require_contents

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
LARGEST = 1 << 20
"""Bytes that one secret may have; the engine refuses environments that are much smaller."""

MOUNTS = ".mounts"
SCRATCH = ".scratch"
DIGEST = re.compile(r"[0-9a-f]{64}")
ABANDONED = 600.0
"""Seconds after which a scratch file belongs to no living process."""

SETTLED = 2.0
"""Seconds after which a file that changes is sure to get another time stamp (FAT's are the coarsest)."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What the folder held when its files had these stamps; `settled` when the stamps can be trusted."""

    stamps: tuple[tuple[str, int, int, int, int], ...]
    settled: bool
    stacks: Mapping[str, Mapping[str, str]]
    fingerprint: str


class SecretStore:
    """The operator's secrets. `folder` None: there are none. `learned` is told all values whenever they were read.

    Everything raises Usage where a file is readable by others, is not text or is not named like a variable,
    with the command that mends it; Transient where one goes away while it is read.
    """

    def __init__(self, folder: Path | None, learned: Callable[[Iterable[str]], None] = lambda values: None) -> None:
        self._folder, self._learned = folder.absolute() if folder else None, learned
        self._loaded = _Loaded((), True, {}, "")
        self._examined = False

    def variables(self, stack: str) -> Mapping[str, str]:
        """name → value for one stack. A file of its own wins over a line of the env file."""
        return self._load().stacks.get(stack, {})

    def values(self) -> frozenset[str]:
        """Every value of every stack, for masking."""
        return frozenset(value for stack in self._load().stacks.values() for value in stack.values())

    def fingerprint(self) -> str:
        """Digest (sha256, hex) of all names and values; '' without secrets. Cheap while no file changes."""
        return self._load().fingerprint

    def place(self, digest: str) -> Path:
        """Where a value with this sha256 lies once it has been mounted."""
        return self._required() / MOUNTS / digest

    def mount(self, stack: str, name: str) -> Path:
        """A read-only file with the value, for mounting into containers: 0444 in a folder of 0700.

        Its name is the sha256 of the value, so that a container keeps its bytes when the secret changes.
        Transient (FileMissing) where there is no such secret.
        """
        return self.keep(self.value(stack, name).encode())

    def keep(self, data: bytes) -> Path:
        """The same for a text that holds secrets."""
        path = self.place(hashlib.sha256(data).hexdigest())
        if not path.exists():
            _write_atomically(path, data)
        return path

    def mounted(self) -> list[str]:
        """Names of the files that `mount` and `keep` have made and nobody has removed."""
        if self._folder is None:
            return []
        with suppress(OSError):
            return sorted(path.name for path in (self._folder / MOUNTS).iterdir() if DIGEST.fullmatch(path.name))
        return []

    def forget(self, digest: str) -> None:
        """Remove a file that nothing mounts any more; the value stays where the operator has put it."""
        path = self.place(digest)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(path.parent, error) from error

    @contextmanager
    def scratch(self, data: bytes) -> Iterator[Path]:
        """A private file with `data` beside the secrets, gone afterwards; so is what a killed process left."""
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

    def value(self, stack: str, name: str) -> str:
        """Transient (FileMissing) where there is no such secret."""
        try:
            return self.variables(stack)[name]
        except KeyError:
            raise Transient(
                Reason.FILE_MISSING,
                f"{stack} needs the secret {name}, which {self._folder or 'this machine'} does not have",
                f"Put it into {self._folder or 'secrets_dir'}/{stack}/{name} (mode 0600).",
            ) from None

    def _required(self) -> Path:
        if self._folder is None:
            raise _usage("no secrets_dir is set", "Set `secrets_dir` in the agent config.")
        return self._folder

    def _examine(self, folder: Path) -> None:
        """Once: whoever could put something else in its place could do it before we started, too."""
        if not self._examined:
            require(str(folder), SECRETS)
            require_contents(folder, SECRETS)
            self._examined = True

    def _load(self) -> _Loaded:
        if self._folder is None:
            return self._loaded
        self._examine(self._folder)
        paths = tuple(_secret_files(self._folder))
        stamps = tuple(_stamp(path) for path in paths)
        if not (self._loaded.settled and stamps == self._loaded.stamps):
            stacks = _read(self._folder, paths)
            self._learned([value for stack in stacks.values() for value in stack.values()])
            newest = max((max(stamp[1:3]) for stamp in stamps), default=0)
            settled = time.time() - newest / 1e9 > SETTLED
            self._loaded = _Loaded(stamps, settled, stacks, _digest(stacks))
        return self._loaded


def _read(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, str]]:
    """Env files come before folders, so that a file of its own wins."""
    stacks: dict[str, dict[str, str]] = {}
    for path in sorted(paths, key=lambda item: item.parent != folder):
        if path.parent == folder:
            stacks.setdefault(path.stem, {}).update(_env_file(path))
        else:
            stacks.setdefault(path.parent.name, {})[_name(path)] = _text(path).removesuffix("\n")
    return stacks


def _env_file(path: Path) -> dict[str, str]:
    variables, violations = dotenv(_text(path).encode(), str(path))
    if violations:
        first = violations[0]
        # what cannot be read may be part of a secret: it is not quoted
        what, hint = "the line cannot be read as NAME=value", first.hint
        if first.rule in ("reserved-variable", "ignored-variable"):
            what = "a variable of this name steers Compose, Docker or the agent, and is no value of a stack"
            hint = "Remove the line: profiles, files and the name of a stack stand in the Host document."
        elif first.rule == "unset-variable":
            what, hint = "a $ in the value begins a variable that is not set", "Put the value into single quotes."
        raise _usage(f"{path}:{first.line or 1}: {what}", hint)
    return variables


def _secret_files(folder: Path) -> Iterable[Path]:
    """`<stack>.env` and `<stack>/<NAME>`, by path; hidden ones are no secrets."""
    try:
        for entry in sorted(_visible(folder)):
            if entry.is_dir():
                _judge(entry, entry.lstat(), SECRETS_OF_STACK)
                yield from (path for path in sorted(_visible(entry)) if path.is_file())
            elif entry.suffix == ".env":
                yield entry
    except OSError as error:
        raise _usage(
            f"secrets_dir cannot be read: {error}",
            f"Create it (`install -d -m 0700 {folder}`) or correct `secrets_dir` in the agent config.",
        ) from error


def _visible(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def _stamp(path: Path) -> tuple[str, int, int, int, int]:
    try:
        status = path.lstat()
    except OSError as error:
        raise Transient(
            Reason.FILE_MISSING, f"{path} cannot be read: {error.strerror}", "the next turn reads again"
        ) from error
    _judge(path, status, SECRET)
    return (str(path), status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino)


def _judge(path: Path, status: os.stat_result, demand: Demand) -> None:
    for fault in entry_faults(str(path), status, demand):
        raise _usage(fault.message, fault.remedy)


def _name(path: Path) -> str:
    if NAME.fullmatch(path.name):
        return path.name
    raise _usage(
        f"{path}: {path.name!r} is no name of a variable",
        "Rename it to letters, digits and _, not beginning with a digit, or move it away.",
    )


def _text(path: Path) -> str:
    try:
        data = path.read_bytes()
        if len(data) > LARGEST or b"\0" in data:
            raise ValueError(f"larger than {LARGEST} bytes" if len(data) > LARGEST else "a NUL byte in it")
        return data.decode()
    except (OSError, ValueError) as error:
        raise _usage(
            f"{path} cannot be used as a secret: {error}",
            "A secret is UTF-8 text; encode other bytes (`base64`) and decode them in the container.",
        ) from error


def _digest(stacks: Mapping[str, Mapping[str, str]]) -> str:
    if not stacks:
        return ""
    digest = hashlib.sha256()
    for stack in sorted(stacks):
        for name in sorted(stacks[stack]):
            for part in (stack, name, stacks[stack][name]):
                digest.update(f"{len(part.encode())}:{part}".encode())
    return digest.hexdigest()


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
        if time.time() - path.stat().st_mtime > ABANDONED:
            path.unlink(missing_ok=True)


def _unwritable(folder: Path, error: OSError) -> Transient:
    return Transient(
        Reason.FILE_MISSING,
        f"{folder} cannot be written: {error.strerror}",
        "secrets_dir must belong to the agent's user, be writable and have space left.",
    )


def _usage(message: str, hint: str) -> Usage:
    return Usage(Reason.FILE_MISSING, message, hint)
