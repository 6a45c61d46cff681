"""Keys digests that depend on secrets, so that nobody can test guesses with them: `<state>/seal.json`."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from reconciler.errors import Corrupt, Transient
from reconciler.materialise import sync_folder
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class _Loaded:
    key: bytes
    plain: frozenset[str]


class Seal:
    """HMAC-SHA256 with a key of this machine, which is made when it is first needed.

    `known`: digests that an older version used before the key was made; they stay unkeyed, so that an upgrade replaces
    no container. Transient if the file cannot be read or written, Corrupt if it is damaged.
    """

    def __init__(self, path: Path, known: Callable[[], Iterable[str]]) -> None:
        self._path, self._known = path, known
        self._loaded: _Loaded | None = None

    def __call__(self, digest: str) -> str:
        """The digest (hex) under the key."""
        if self._loaded is None:
            self._loaded = self._load()
        if digest in self._loaded.plain:
            return digest
        return hmac.new(self._loaded.key, digest.encode(), hashlib.sha256).hexdigest()

    def _load(self) -> _Loaded:
        try:
            if not self._path.exists():
                self._make()
            stored = json.loads(self._path.read_bytes())
            key = bytes.fromhex(stored["key"])
            if len(key) != KEY_BYTES:
                raise ValueError(f"the key has {len(key)} bytes")
            return _Loaded(key, frozenset(map(str, stored["plain"])))
        except OSError as error:
            raise Transient(
                Reason.DISK_FAILED,
                f"{self._path} cannot be used: {error.strerror}",
                "The state folder must be readable, writable and have space left.",
            ) from error
        except (ValueError, LookupError, TypeError) as error:
            raise Corrupt(
                Reason.STALLED,
                f"{self._path} cannot be read: {error}",
                "Delete it: the next commit restarts the services that use secrets, once.",
            ) from error

    def _make(self) -> None:
        """Complete or not at all; of two processes that make one at the same time, the first one's counts."""
        document = {"key": os.urandom(KEY_BYTES).hex(), "plain": sorted(set(self._known()))}
        descriptor, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".seal-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                json.dump(document, stream)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(draft, self._path)
            except FileExistsError:
                return
            sync_folder(self._path.parent)
        finally:
            os.unlink(draft)
