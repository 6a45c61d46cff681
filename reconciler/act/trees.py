"""Content-addressed, read-only copies of a commit's files, for containers to mount."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.materialise import ONCE, Written, materialise, remove, sync_folder, write
from reconciler.model.desired import Tree
from reconciler.model.files import Files, below
from reconciler.model.outcome import Reason
from reconciler.workspace import check_room

DIGEST = re.compile(r"[0-9a-f]{64}")
_UNFINISHED = ".new-"


class SecretMounts(Protocol):
    """Mounted secrets are below secrets_dir, never in the state folder."""

    def place(self, name: str) -> Path: ...

    def mount(self, name: str, *contents: bytes) -> bool: ...

    def forms(self, stack: str, name: str) -> tuple[bytes, bytes]: ...

    def mounted(self) -> list[str]: ...

    def forget(self, digest: str) -> None: ...


class TreeStore:
    """`<state>/trees`: a file or folder for each digest, 0444 and 0555. A tree that exists is complete."""

    def __init__(self, root: Path, effects: Effects) -> None:
        self._root = root
        self._effects = effects

    def path(self, digest: str) -> Path:
        """The path of a tree, whether it exists or not."""
        return self._root / digest

    def ensure(self, trees: Sequence[Tree], files: Files | None, secrets: SecretMounts) -> frozenset[str]:
        """Write the missing trees; each is one effect. Returns their digests.

        `files` None: trees of a commit are not written. Transient (FileMissing) if a secret is gone, or its value does
        not match the tree's digest; Transient (DiskFailed) if the disk is full, or would be.
        """
        written, made = Written(), set[str]()
        if files is not None and any(self._lacks(tree, files) for tree in trees):
            with writing(self._root):
                self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
                self.sweep()
                check_room(self._root, self._needed(trees, files), "what containers mount of the commit")
        for tree in trees:
            if tree.stack is not None:
                made |= self._secret(tree, secrets)
            elif self._lacks(tree, files):
                made.add(tree.digest)
                self._effects.point(f"tree {tree.digest}")
                with writing(self._root):
                    self._write(tree, files, written)
        return frozenset(made)

    def stored(self) -> list[str]:
        """Digests of the existing trees."""
        return sorted(path.name for path in self._root.glob("*") if DIGEST.fullmatch(path.name))

    def remove(self, digests: Iterable[str], secrets: SecretMounts | None = None) -> None:
        """Each is one effect, and removed completely or not at all. Transient if the disk refuses."""
        mounted = frozenset(secrets.mounted() if secrets else ())
        for digest in digests:
            self._effects.point(f"remove tree {digest}")
            if secrets is not None and digest in mounted:
                secrets.forget(digest)
            with writing(self._root):
                with contextlib.suppress(FileNotFoundError):
                    os.rename(self.path(digest), self._root / f"{_UNFINISHED}{digest}")
                self.sweep()

    def sweep(self) -> None:
        """Remove unfinished trees."""
        for path in self._root.glob(f"{_UNFINISHED}*"):
            remove(path)

    def _lacks(self, tree: Tree, files: Files | None) -> bool:
        writable = tree.stack is None and (tree.path is None or files is not None)
        return writable and not self.path(tree.digest).exists()

    def _needed(self, trees: Sequence[Tree], files: Files) -> int:
        """Bytes of the missing trees."""
        total, seen = 0, set()
        for tree in trees:
            if tree.path is None or not self._lacks(tree, files):
                continue
            for entry in below(files, tree.path).values():
                if entry.size < ONCE or (entry.oid, entry.mode) not in seen:
                    total += entry.size
                seen.add((entry.oid, entry.mode))
        return total

    def _secret(self, tree: Tree, secrets: SecretMounts) -> set[str]:
        if secrets.place(tree.digest).exists():
            return set()
        self._effects.point(f"tree {tree.digest}")
        stack, content = tree.stack or "", (tree.content or "").encode()
        contents = (content,) if tree.secret is None else secrets.forms(stack, tree.secret)
        if not secrets.mount(tree.digest, *contents):
            raise Transient(
                Reason.FILE_MISSING,
                f"{stack}: {f'the secret {tree.secret}' if tree.secret else 'a secret'} has changed since this state "
                "was made",
                "The next turn renders the commit with the new value.",
            )
        return {tree.digest}

    def _write(self, tree: Tree, files: Files | None, written: Written) -> None:
        self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.sweep()
        # Beside its final place: the owner of a read-only folder may rename it, but not move it into another folder.
        whole = self._root / f"{_UNFINISHED}{tree.digest}"
        try:
            if tree.path is None:
                write(whole, (tree.content or "").encode(), 0o444, durable=True)
            elif files is not None:
                _copy(files, tree, tree.path, whole, written)
            os.rename(whole, self.path(tree.digest))
            written.moved(whole, self.path(tree.digest))
            sync_folder(self._root)
        finally:
            remove(whole)


def _copy(files: Files, tree: Tree, path: str, target: Path, written: Written) -> None:
    entries = below(files, path)
    if not entries:
        raise Transient(
            Reason.FILE_MISSING,
            f"the commit has no {path} any more, which a container mounts",
            "push a new commit; its files are written again",
        )
    if "" in entries:
        written.put(files, entries[""], target)
    else:
        target.mkdir()
        for folder in tree.empty_folders:
            (target / folder).mkdir(parents=True, exist_ok=True)
        for empty in tree.empty_files:
            (target / empty).parent.mkdir(parents=True, exist_ok=True)
            write(target / empty, b"", 0o444, durable=True)
        materialise(files, entries, target, written)


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Around writing below `root`: Transient if the disk refuses."""
    try:
        yield
    except OSError as error:
        raise Transient(
            Reason.DISK_FAILED,
            f"{root} cannot be written: {error.strerror}",
            "The state folder must be writable and have space left.",
        ) from error
