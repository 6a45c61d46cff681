"""Small disks for tests, and filling them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import missing

PAGE = 4096


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own for a folder."""
    folder.mkdir(mode=0o700)
    size = f"size={megabytes}m,mode=700"
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder]).returncode != 0:
        missing("a small disk needs root and mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, left: int) -> Path:
    """A file that leaves so many free bytes."""
    file = folder / "filler"
    with file.open("wb", buffering=0) as writing:
        try:
            while True:
                writing.write(bytes(PAGE))
        except OSError:
            writing.truncate(max(0, writing.tell() - left))
    return file
