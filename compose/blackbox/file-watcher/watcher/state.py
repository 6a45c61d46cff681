"""The files that brain-api has acknowledged, on a volume. A file that is missing here is sent again."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from watcher.scanning import Signature

_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, signature TEXT NOT NULL, digest TEXT NOT NULL, "
    "parts INTEGER NOT NULL, reason TEXT NOT NULL) WITHOUT ROWID"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """A file at the moment when brain-api stored it. If nothing was stored, `parts` is 0 and `reason` says why."""

    signature: Signature
    digest: str
    parts: int
    reason: str = ""


class State:
    """Also kept in memory. A damaged database is created anew; the next comparison with brain-api fills it again."""

    def __init__(self, folder: Path) -> None:
        path = folder / "files.sqlite"
        self._database = sqlite3.connect(path)
        try:
            self._known = self._read()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            _log.warning("the state was damaged (%s) and is made anew", error)
            self._database.close()
            for suffix in ("", "-journal"):
                Path(f"{path}{suffix}").unlink(missing_ok=True)
            self._database = sqlite3.connect(path)
            self._known = self._read()

    @property
    def known(self) -> Mapping[str, Known]:
        return self._known

    def write(self, taken: Mapping[str, Known], gone: Iterable[str] = ()) -> None:
        """Store `taken` and delete `gone`: both or neither. They are on the disk on return."""
        gone = list(gone)
        with self._database as database:
            database.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in gone])
            database.executemany(
                "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)",
                [(path, item.signature, item.digest, item.parts, item.reason) for path, item in taken.items()],
            )
        self._known.update(taken)
        for path in gone:
            self._known.pop(path, None)

    def close(self) -> None:
        self._database.close()

    def _read(self) -> dict[str, Known]:
        self._database.execute(_TABLE)
        rows = self._database.execute("SELECT path, signature, digest, parts, reason FROM files")
        return {path: Known(*rest) for path, *rest in rows}
