"""Limits the files that Compose reads for one host, before any of them is parsed or written."""

from __future__ import annotations

from reconciler.formats.nodes import shorten
from reconciler.formats.quantities import shown
from reconciler.model.files import Files

MOST_BYTES = 8 << 20
"""Bytes of Compose files, env files and the files that they include and extend, of all stacks of a host together; a
file counts for each stack that reads it. The 180 public stacks have 0.3 MiB together."""

MOST_FILES = 2_000
"""Number of these files, counted in the same way."""

NAMED = 3
"""Number of the largest files that a message names."""


class Inputs:
    """The files that were read so far."""

    def __init__(self) -> None:
        self._bytes = self._files = 0
        self._sizes: dict[str, int] = {}

    def take(self, files: Files, path: str) -> bool:
        """Count a file of the commit that will be read. False: with it, the limit is exceeded."""
        size = files.entries[path].size
        self._bytes, self._files = self._bytes + size, self._files + 1
        self._sizes[path] = size
        return self._bytes <= MOST_BYTES and self._files <= MOST_FILES

    @property
    def message(self) -> str:
        """The violation, with the largest files."""
        largest = sorted(self._sizes, key=lambda path: -self._sizes[path])[:NAMED]
        named = ", ".join(f"{shorten(path)} ({shown(self._sizes[path])})" for path in largest)
        return f"Compose would read more than {shown(MOST_BYTES)} or {MOST_FILES} files for this host; largest: {named}"
