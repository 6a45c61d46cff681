"""<state>/requests/<time>-<verb>.json: requests to the process that holds the state lock."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.log import logger
from reconciler.model.outcome import Reason
from reconciler.model.requests import Request, RequestVerb

LARGEST = 4096
"""Bytes of a request."""
LONGEST = 500
"""Characters of a reason or of a name for a commit."""
AT_ONCE = 50
"""Number of requests that are read at one time; the others wait for the next."""

KEPT = 20
"""Number of files that were no request and are kept for people; older ones are deleted."""
FORSAKEN = 3600.0
"""Seconds after which a draft must be from a process that was killed."""

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{9}Z-(?:suspend|resume|retry|accept)")
_FIELDS = frozenset({"verb", "revision", "why", "until"})


class RequestBox:
    """Whoever may write to the state folder may `leave` a request; only the holder of the state lock may `remove` one.

    The files are not trusted: a file that is no request is renamed `.bad`, and a log line says why. `read_only`: it is
    only skipped.
    """

    def __init__(self, folder: Path, effects: Effects, *, read_only: bool = False) -> None:
        self._folder, self._effects, self._read_only = folder, effects, read_only
        self._told: set[str] = set()

    def leave(self, verb: RequestVerb, revision: str = "", why: str = "", until: float | None = None) -> str:
        """Leave a request; returns its id. Transient if the disk refuses."""
        name = _name(verb)
        draft = self._folder / f".{name}.{os.getpid()}"
        body = {"verb": verb, "revision": revision, "why": why, "until": until}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(body))
                file.flush()
                os.fsync(file.fileno())
            draft.rename(self._folder / f"{name}.json")
        except OSError as error:
            with suppress(OSError):
                draft.unlink()
            raise Transient(
                Reason.DISK_FAILED,
                f"cannot write to {self._folder}: {error.strerror}",
                "make room on the disk of the state folder, or fix the folder's owner; nothing was asked",
            ) from error
        return name

    def waiting(self) -> Sequence[Request]:
        """The requests that nobody has removed, oldest first."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._folder) if entry.name.endswith(".json"))
        except OSError:
            return ()
        found = (self._read(name) for name in names[:AT_ONCE])
        return tuple(request for request in found if request is not None)

    def remove(self, request: Request) -> None:
        """Remove a request, after its answer is durable."""
        self._effects.point(f"answered {request.id}")
        (self._folder / f"{request.id}.json").unlink(missing_ok=True)
        self._collect()

    def _read(self, name: str) -> Request | None:
        try:
            return _request(name.removesuffix(".json"), _content(self._folder / name))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            if not self._read_only:
                self._put_aside(name, str(error))
            return None

    def _put_aside(self, name: str, why: str) -> None:
        path = self._folder / name
        try:
            path.rename(path.with_suffix(".bad"))
        except OSError as error:
            why = f"{why}; and it cannot be renamed: {error.strerror}"
        if name not in self._told:
            self._told.add(name)
            logger.warning("{} is no request and is put aside: {}", path, why)
        self._collect()

    def _collect(self) -> None:
        """Remove files that nobody will read any more. If one cannot be removed, it stays: nothing depends on it."""
        with suppress(OSError):
            found = [entry for entry in os.scandir(self._folder) if not entry.is_dir(follow_symlinks=False)]
            ages = {Path(entry.path): time.time() - entry.stat(follow_symlinks=False).st_mtime for entry in found}
            drafts = [path for path, age in ages.items() if path.name.startswith(".") and age > FORSAKEN]
            bad = sorted((path for path in ages if path.suffix == ".bad"), key=lambda path: ages[path])
            for path in (*drafts, *bad[KEPT:]):
                path.unlink(missing_ok=True)


def _name(verb: RequestVerb) -> str:
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%S}.{nanoseconds:09}Z-{verb}"


def _content(path: Path) -> bytes:
    # Neither a pipe nor a link may make us wait or read elsewhere.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise ValueError("it is no file of ours")
        if found.st_size > LARGEST:
            raise ValueError(f"it has more than {LARGEST} bytes")
        return file.read(LARGEST)


def _request(name: str, content: bytes) -> Request:
    """ValueError says what is wrong."""
    if not _NAME.fullmatch(name):
        raise ValueError("its name is not <time>-<verb>.json")
    try:
        body = json.loads(content)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(body, dict) or body.keys() != _FIELDS:
        raise ValueError(f"it does not have just the fields {', '.join(sorted(_FIELDS))}")
    if body["verb"] not in list(RequestVerb) or not name.endswith(f"-{body['verb']}"):
        raise ValueError("its verb is not the one in its name")
    return Request(name, RequestVerb(body["verb"]), _text(body, "revision"), _text(body, "why"), _until(body["until"]))


def _text(body: Mapping[str, Any], field: str) -> str:
    text = body[field]
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ValueError(f"{field} is no text of at most {LONGEST} characters")
    return text


def _until(value: object) -> float | None:
    if value is None:
        return None
    # Outside of these years a time cannot be written.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("until is neither null nor a number of seconds")
    if not 0 <= value < 32_000_000_000:
        raise ValueError("until is no time between the years 1970 and 2983")
    return float(value)
