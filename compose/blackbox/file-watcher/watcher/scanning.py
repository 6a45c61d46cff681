"""Finds the files in the watched folders. Only a scan decides what has changed; events only say when to scan."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from watcher.ignoring import Rules

LONGEST_PATH = 990
"""Most characters of a path. brain-api takes 1000; the paths of later parts of a file are longer than its own."""

Signature = str
"""Size, times and inode number of a file. If it changes, the file is read again."""


@dataclass(slots=True)
class Scan:
    """`files`: path → signature. `unread`: folders that could not be listed, so that their files are unknown. `empty`:
    watched folders without any entry; perhaps a folder of the host that is not mounted. `skipped`: reason → files."""

    files: dict[str, Signature] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def is_known(self, path: str) -> bool:
        return not any(path.startswith(folder) for folder in self.unread)

    def in_empty(self, path: str) -> bool:
        return any(path.startswith(folder) for folder in self.empty)

    def skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1


def signature(found: os.stat_result) -> Signature:
    return f"{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}:{found.st_ino}"


def scan(folder: Path, largest: int) -> Scan:
    """Scan each folder in `folder`. `largest`: most bytes of a file; larger ones are skipped."""
    found = Scan()
    for root in _entries(found, str(folder), ""):
        if root.is_dir(follow_symlinks=False):
            before = len(found.unread)
            if not _walk(found, root.path, root.name + "/", Rules(root.path), largest) and len(found.unread) == before:
                found.empty.append(root.name + "/")
    return found


def _walk(found: Scan, folder: str, prefix: str, rules: Rules, largest: int) -> bool:
    """Add a folder to `found`. False if it has no entry at all. Symbolic links are neither followed nor sent."""
    entries = _entries(found, folder, prefix)
    for entry in entries:
        path = prefix + entry.name
        try:
            known = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        except OSError:
            found.unread.append(path)
            continue
        if stat.S_ISDIR(known.st_mode):
            if not rules.ignored(entry.name, folder=True):
                _walk(found, entry.path, path + "/", Rules(entry.path, rules), largest)
        elif stat.S_ISREG(known.st_mode) and not rules.ignored(entry.name, folder=False):
            if reason := _unfit(path, known, largest):
                found.skip(reason)
            else:
                found.files[path] = signature(known)
    return bool(entries)


def _entries(found: Scan, folder: str, prefix: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except FileNotFoundError:
        return []
    except OSError:
        found.unread.append(prefix)
        return []


def _unfit(path: str, known: os.stat_result, largest: int) -> str:
    if known.st_size > largest:
        return "too large"
    if len(path) > LONGEST_PATH:
        return "long path"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "name is not UTF-8"
    return ""
