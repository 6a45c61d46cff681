"""Lets Compose read the create-file back. Needs no engine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reconciler.errors import Transient
from reconciler.formats.create_file import differences, written
from reconciler.model.outcome import Reason
from reconciler.model.rendered import NO_HOME
from reconciler.observe.binary import compose_version
from reconciler.process import run

CACHE = "read.json"
"""File in the state folder."""

TIMEOUT = 10.0
"""Seconds; 190 services take 0.3."""

KEPT = 500
"""Number of files that are remembered as read back without a difference; a host has some ten."""

_ENVIRONMENT = {"HOME": NO_HOME, "DOCKER_CONFIG": NO_HOME, "DOCKER_HOST": f"unix://{NO_HOME}/docker.sock"}


class ReadBack:
    """`loop.ports.ReadBack`, with one Compose binary."""

    def __init__(self, compose: str, cache: Path | None = None, seal: Callable[[str], str] = str) -> None:
        """`cache`: a file that remembers files without a difference. It may be lost, or not writable. `seal`: for
        digests, because the files contain secrets."""
        self._compose, self._cache, self._seal = compose, cache, seal

    def __call__(self, stack: str, project: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
        known = self._known()
        name = self._name([stack, project]) if self._cache else ""
        if name in known:
            return "", ()
        done = run(
            [self._compose, "-p", stack, "--project-directory", "/", "--env-file", "/dev/null", "-f", "-",
             "config", "--format", "json"],
            env=_ENVIRONMENT, stdin=written(project), timeout=TIMEOUT,
        )  # fmt: skip
        said = done.stderr.decode(errors="replace").strip().splitlines()
        if done.returncode < 0:
            raise Transient(
                Reason.ENGINE_UNAVAILABLE,
                f"Compose ended in the middle of reading {stack} (code {done.returncode})",
                "Is there memory left on this machine?",
            )
        if done.returncode:
            return said[-1] if said else "no reason is given", ()
        found = tuple(differences(project, json.loads(done.stdout.replace(b"$$", b"$"))))
        if not found:
            self._remember([*known, name][-KEPT:])
        return "", found

    @property
    def version(self) -> str:
        return ".".join(map(str, compose_version(self._compose)))

    def _name(self, what: object) -> str:
        """The name contains the version, so another Compose reads the file again."""
        path = os.path.realpath(self._compose)
        found = os.stat(path)
        text = json.dumps([path, found.st_mtime_ns, found.st_size, what], sort_keys=True)
        return self._seal(hashlib.sha256(text.encode()).hexdigest())

    def _known(self) -> list[str]:
        with suppress(OSError, ValueError, TypeError, RecursionError):
            if self._cache is not None:
                return [str(item) for item in json.loads(self._cache.read_bytes())]
        return []

    def _remember(self, names: list[str]) -> None:
        if self._cache is None:
            return
        draft = self._cache.with_suffix(f".{os.getpid()}")
        with suppress(OSError):
            try:
                draft.write_text(json.dumps(names))
                draft.replace(self._cache)
            finally:
                draft.unlink(missing_ok=True)
