"""Reads the files of secrets_dir, strictly."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.formats.dotenv import UNCLOSED, dotenv
from reconciler.formats.interpolation import Opaque
from reconciler.model.outcome import Reason
from reconciler.ownership import SECRET, SECRETS_OF_STACK, Demand, entry_faults

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
LARGEST = 1 << 20
"""Largest secret in bytes; the engine refuses environments that are much smaller."""


def read(folder: Path, paths: Iterable[Path]) -> dict[str, dict[str, bytes]]:
    """Env files come before folders, so that a separate file wins."""
    stacks: dict[str, dict[str, bytes]] = {}
    for path in sorted(paths, key=lambda item: item.parent != folder):
        if path.parent == folder:
            stacks.setdefault(path.stem, {}).update(_env_file(path))
        else:
            stacks.setdefault(path.parent.name, {})[_name(path)] = _bytes(path)
    return stacks


def as_text(data: bytes) -> str:
    try:
        return Opaque() if b"\0" in data else data.decode().removesuffix("\n")
    except UnicodeDecodeError:
        return Opaque()


def _env_file(path: Path) -> dict[str, bytes]:
    data = _bytes(path)
    if isinstance(as_text(data), Opaque):
        raise unusable(
            f"{path} is no UTF-8 text without NUL", f"Put other bytes into a file of their own: {path.stem}/NAME."
        )
    variables, violations = dotenv(data, str(path))
    if violations:
        first = violations[0]
        # an unreadable line may be part of a secret, so it is not quoted
        what, hint = "the line cannot be read as NAME=value", first.hint
        if first.rule in ("reserved-variable", "ignored-variable"):
            what = "a variable with this name controls Compose, Docker or the agent, and cannot be a value of a stack"
            hint = "Remove the line: profiles, files and the name of a stack stand in the Host document."
        elif first.rule == "unset-variable":
            what, hint = "a $ in the value begins a variable that is not set", "Put the value into single quotes."
        elif first.message == UNCLOSED:
            what = "the value begins with a quote that is not closed"
            hint = f"{hint} Without any, a value ends with its line: {path.stem}.env may say NAME=it's."
        elif b"'" in data or b'"' in data:
            hint = f"{hint} Or close the quote of a value above."
        raise unusable(f"{path}:{first.line or 1}: {what}", hint)
    return {name: value.encode() for name, value in variables.items()}


def secret_files(folder: Path) -> Iterable[Path]:
    """`<stack>.env` and `<stack>/<NAME>`, by path; hidden files are no secrets."""
    try:
        for entry in sorted(_visible(folder)):
            if entry.is_dir():
                _judge(entry, entry.lstat(), SECRETS_OF_STACK)
                yield from (path for path in sorted(_visible(entry)) if path.is_file())
            elif entry.suffix == ".env":
                yield entry
    except OSError as error:
        raise unusable(
            f"secrets_dir cannot be read: {error}",
            f"Create it (`install -d -m 0700 {folder}`) or correct `secrets_dir` in the agent config.",
        ) from error


def salvaged(folder: Path) -> Iterator[bytes]:
    """Possible values in files that cannot be used, for masking: whole files, lines, and text after a `=`."""
    with suppress(OSError):
        for path in [*folder.glob("*.env"), *folder.glob("*/*")]:
            with suppress(OSError):
                if path.is_file() and path.stat().st_size <= LARGEST:
                    data = path.read_bytes()
                    yield data.removesuffix(b"\n")
                    if path.suffix == ".env":
                        yield from (line.partition(b"=")[2].strip(b" \t\r'\"") for line in data.splitlines())


def _visible(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def stamp(path: Path) -> tuple[str, int, int, int, int]:
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
        raise unusable(fault.message, fault.remedy)


def _name(path: Path) -> str:
    if NAME.fullmatch(path.name):
        return path.name
    raise unusable(
        f"{path}: {path.name!r} is no name of a variable",
        "Rename it to letters, digits and _, not beginning with a digit, or move it away.",
    )


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        raise unusable(f"{path} cannot be read: {error.strerror}", "See that it can be read by the agent.") from error
    if len(data) > LARGEST:
        raise unusable(
            f"{path} has more than {LARGEST} bytes", "Larger files belong into a volume or a granted path (`binds`)."
        )
    return data


def digest(stacks: Mapping[str, Mapping[str, bytes]]) -> str:
    if not stacks:
        return ""
    digest = hashlib.sha256()
    for stack in sorted(stacks):
        for name in sorted(stacks[stack]):
            for part in (stack.encode(), name.encode(), stacks[stack][name]):
                digest.update(b"%d:%b" % (len(part), part))
    return digest.hexdigest()


def unusable(message: str, hint: str) -> Usage:
    return Usage(Reason.SECRETS_UNUSABLE, message, hint)
