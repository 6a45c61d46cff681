"""A watched branch in memory, for tests of the loop."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO

from reconciler.errors import Transient
from reconciler.model.files import READ_LIMIT, Commit, Entry
from reconciler.model.outcome import Reason, Violation


@dataclass(frozen=True)
class TextFiles:
    """A commit's files given as path → text. All of them regular."""

    texts: Mapping[str, str]
    revision: str | None = None
    refused: tuple[Violation, ...] = ()

    @property
    def entries(self) -> Mapping[str, Entry]:
        return {path: self._entry(path) for path in sorted(self.texts)}

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        return self.texts[path].encode()

    def head(self, path: str, most: int) -> bytes:
        return self.read(path)[:most]

    def link(self, path: str) -> str:
        raise KeyError(path)

    def copy(self, path: str, target: BinaryIO) -> None:
        target.write(self.read(path))

    def _entry(self, path: str) -> Entry:
        data = self.read(path)
        oid = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        return Entry(path, "100644", oid, len(data))


@dataclass
class FakeSource:
    """`push` makes the branch's next head, `rewind` forgets its newest commits, `away` makes every fetch fail."""

    away: bool = False
    branch: list[str] = field(default_factory=list)
    commits: dict[str, TextFiles] = field(default_factory=dict)
    parents: dict[str, str | None] = field(default_factory=dict)
    pinned: dict[str, str] = field(default_factory=dict)
    newest: str | None = None

    def push(self, texts: Mapping[str, str]) -> str:
        parent = self.branch[-1] if self.branch else None
        sha = hashlib.sha1(f"{parent} {sorted(texts.items())}".encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = TextFiles(dict(texts), sha)
        self.parents[sha] = parent
        self.branch.append(sha)
        return sha

    def rewind(self, commits: int) -> None:
        del self.branch[-commits:]

    def fetch(self) -> Commit:
        if self.away or not self.branch:
            raise Transient(Reason.FETCH_FAILED, "the remote does not answer")
        self.newest = self.branch[-1]
        return self.commit(self.branch[-1])

    def commit(self, sha: str) -> Commit:
        if sha not in self.commits:
            raise KeyError(sha)
        return Commit(sha)

    def files(self, sha: str) -> TextFiles:
        return self.commits[sha]

    def is_ancestor(self, old: str, new: str) -> bool:
        at: str | None = new
        while at is not None and at != old:
            at = self.parents.get(at)
        return at is not None

    def pin(self, name: str, sha: str) -> None:
        self.pinned[name] = sha

    def unpin(self, name: str) -> None:
        self.pinned.pop(name, None)

    def find(self, revision: str) -> str | None:
        if revision == "main":
            return self.fetched()
        return next((sha for sha in self.commits if sha.startswith(revision)), None)

    def fetched(self) -> str | None:
        return self.newest

    def pins(self, prefix: str) -> Mapping[str, str]:
        return {name: sha for name, sha in self.pinned.items() if name.startswith(prefix)}

    def tidy(self) -> None:
        """Commits that no ref leads to; here every commit stays."""
