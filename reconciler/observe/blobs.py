"""The bytes of git's objects, read inside this process by GitPython's object database, checked against their id."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path
from typing import Any, BinaryIO

from reconciler.observe.git import Git

STREAMED = 1 << 20
"""Bytes from which on a blob is never held in memory."""

SLOWEST = 600.0
"""Seconds that unpacking one blob may take."""

_CHUNK = 1 << 16


class DamagedError(Exception):
    """The repository lacks an object that it should have."""


class Blobs:
    """Blobs by id. The object database is opened at the first read. DamagedError if git cannot read a blob either."""

    def __init__(self, git: Git) -> None:
        self._git = git
        self._database: Any = None

    def read(self, oid: str, size: int) -> bytes:
        """The blob's bytes; `size` as in the tree."""
        for attempt in (self._in_process, self._by_git):
            data = attempt(oid, size)
            if data is not None and blob_id(data, oid) == oid:
                return data
        raise DamagedError(f"the object {oid} cannot be read")

    def head(self, oid: str, size: int, most: int) -> bytes:
        """The first `most` bytes. They are not checked for a large blob: git unpacks it, and is stopped after these
        bytes."""
        if size < STREAMED:
            return self.read(oid, size)[:most]
        done = self._git.run("cat-file", "blob", oid, limit=most)
        if done.returncode != 0 and not done.cut:
            raise DamagedError(f"the object {oid} cannot be read")
        return done.stdout

    def copy(self, oid: str, size: int, target: BinaryIO) -> None:
        """Write the blob to an empty file. Git writes a large one in pieces while it unpacks it."""
        if size < STREAMED:
            target.write(self.read(oid, size))
            return
        target.seek(0)
        target.truncate()
        digest = _begun(size, oid)

        def take(data: bytes) -> None:
            digest.update(data)
            target.write(data)

        done = self._git.run("cat-file", "blob", oid, limit=size, sink=take, timeout=SLOWEST)
        if done.returncode != 0 or digest.hexdigest() != oid:
            raise DamagedError(f"the object {oid} cannot be read")

    def _in_process(self, oid: str, size: int) -> bytes | None:
        if self._database is None:
            self._database = _open(self._git.folder)
        try:
            return bytes(self._database.stream(bytes.fromhex(oid)).read())
        except Exception:  # the library raises many kinds of errors for broken data; git decides
            return None

    def _by_git(self, oid: str, size: int) -> bytes | None:
        done = self._git.run("cat-file", "blob", oid, limit=size + 1)
        return done.stdout if done.returncode == 0 else None


def blob_id(data: bytes, like: str = "") -> str:
    """Git's id of these bytes as a blob; sha256 where `like` is such an id."""
    digest = _begun(len(data), like)
    digest.update(data)
    return str(digest.hexdigest())


def file_id(file: BinaryIO, like: str = "") -> str:
    """Git's id of an open file's bytes as a blob, read in pieces; sha256 where `like` is such an id."""
    digest = _begun(os.fstat(file.fileno()).st_size, like)
    while data := file.read(_CHUNK):
        digest.update(data)
    return str(digest.hexdigest())


def _begun(size: int, like: str) -> Any:
    kind = hashlib.sha256 if len(like) == 64 else hashlib.sha1
    return kind(b"blob %d\0" % size, usedforsecurity=False)


def _open(folder: Path) -> Any:
    """GitPython's `git` package starts a program when it is imported; its object database alone does not."""
    from gitdb import GitDB
    from gitdb.util import mman

    # Packs of a closed database stay mapped until they are collected, and every push adds packs to a mirror. The
    # first commit of a process needs no collection, which takes 25 ms.
    if mman.num_open_files():
        gc.collect()
        mman.collect()
    return GitDB(str(folder / "objects"))
