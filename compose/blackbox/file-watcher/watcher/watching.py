"""One turn: scan, compare with what brain-api has acknowledged, send settled changes, store what was acknowledged."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from watcher.brain import Artifact, Brain, Denied, Refused, Unavailable, artifacts
from watcher.metrics import Measured
from watcher.reading import Changing, Reading, part_path, read
from watcher.scanning import Scan, Signature, scan
from watcher.settings import Settings
from watcher.settling import Change, Settling
from watcher.state import Known, State

BATCH = 50
BATCH_CHARACTERS = 200_000
"""Most artifacts and characters of one request. brain-api embeds them before it answers, which takes seconds, and
longer on a busy machine."""

Batch = dict[str, tuple[Known, list[Artifact]]]
"""File → what is stored here after the acknowledgement, and the artifacts that are sent."""

SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
_log = logging.getLogger(__name__)


class Watcher:
    """The files are authoritative. If a turn breaks off at any point, the next turn does the work again."""

    def __init__(
        self, settings: Settings, state: State, brain: Brain, measured: Measured,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._settings, self._state, self._brain, self._measured = settings, state, brain, measured
        self._clock = clock
        self._settling = Settling(settings.longest_change)
        self._failures = 0
        self._not_before = float("-inf")
        self._audit_at = float("-inf")
        self._found = Scan()

    def turn(self) -> float:
        """Take one turn. Returns the seconds until the next one, if no event comes before."""
        begun = self._clock()
        self._found = scan(self._settings.folder, self._settings.largest)
        took = self._clock() - begun
        try:
            if begun >= self._not_before:
                self._exchange(begun)
        except Unavailable as error:
            self._failed(error)
        except sqlite3.OperationalError as error:
            # Mostly a full disk: a restart would not help.
            self._failed(Unavailable(f"what brain-api took cannot be written down: {error}"), up=1)
        self._measured.gauges["watcher_scan_seconds"] = round(took, 4)
        pending = self._tell()
        now = self._clock()
        if not pending:
            # Scans take at most a tenth of the time.
            return max(self._settings.rescan, 10 * took)
        # After a failure wait until the next try; else until the changes may have settled.
        return min(self._settings.rescan, max(self._not_before - now, self._settings.quiet, 5 * took))

    def _exchange(self, now: float) -> None:
        if now >= self._audit_at:
            self._audit()
            self._audit_at = now + self._settings.audit
        changes = self._changes()
        settled = self._settling.settled(changes, now, self._quiet)
        # Send new files before deleting old ones, so that a moved file can be found at any time.
        self._take({path: change for path in settled if (change := changes[path]) is not None})
        self._remove(path for path in settled if changes[path] is None)
        self._succeeded()

    def _changes(self) -> dict[str, Change]:
        known, files = self._state.known, self._found.files
        changes: dict[str, Change] = {
            path: seen for path, seen in files.items() if path not in known or known[path].signature != seen
        }
        gone = (path for path in known if path not in files and self._found.is_known(path))
        return {**changes, **dict.fromkeys(gone)}

    def _quiet(self, path: str) -> float:
        """Seconds that a change must last. Longer in a watched folder that is empty: perhaps it is not mounted."""
        return self._settings.empty if self._found.in_empty(path) else self._settings.quiet

    def _audit(self) -> None:
        """Compare all artifacts in brain-api with the state: brain-api may have been restored, or the state lost.

        Files that differ are stored as unknown, so that they count as changes.
        """
        known = self._state.known
        # File → part → whether it belongs to the acknowledged content of the file.
        there: dict[str, dict[int, bool]] = {}
        for path, number, digest in self._brain.made():
            there.setdefault(path, {})[number] = path in known and known[path].digest == digest
        other = [path for path, item in known.items() if there.get(path, {}) != dict.fromkeys(range(item.parts), True)]
        strange = [path for path in there if path not in known]
        if other or strange:
            _log.info("brain-api has %d files otherwise, and %d that are not known here", len(other), len(strange))
            # The number of parts that may be in brain-api, so that all of them are overwritten or deleted.
            last = {path: max(there.get(path, {}), default=-1) for path in (*other, *strange)}
            self._state.write({path: Known("", "", max(self._parts(path), last[path] + 1)) for path in last})

    def _take(self, files: Mapping[str, Signature]) -> None:
        batch: Batch = {}
        same: dict[str, Known] = {}
        for path, seen in files.items():
            self._measured.turned = self._clock()
            reading = self._read(path, seen)
            if reading is None:
                continue
            before = self._state.known.get(path)
            now = Known(seen, reading.digest, len(reading.parts), reading.reason)
            if before is not None and (before.digest, before.parts) == (now.digest, now.parts):
                same[path] = now
                continue
            if batch and _is_full(batch, reading):
                self._send(batch)
                batch = {}
            batch[path] = (now, artifacts(path, reading.parts, reading.digest))
        self._state.write(same)
        if batch:
            self._send(batch)

    def _read(self, path: str, seen: Signature) -> Reading | None:
        """The text of a file; None: try again in a later turn."""
        try:
            return read(self._settings.folder / path, seen)
        except Changing:
            return None
        except PermissionError:
            return Reading("", reason="unreadable")
        except OSError as error:
            _log.warning("%s cannot be read, and is tried again: %s", path, error)
            return None

    def _send(self, batch: Batch) -> None:
        try:
            self._ingest([item for _, items in batch.values() for item in items])
        except Refused as error:
            self._send_apart(batch, error)
            return
        for path, (now, _) in batch.items():
            self._drop(path, now.parts, self._parts(path))
        self._state.write({path: now for path, (now, _) in batch.items()})
        self._measured.totals["watcher_ingested_total"] += sum(now.parts > 0 for now, _ in batch.values())
        self._tell()

    def _send_apart(self, batch: Batch, error: Refused) -> None:
        """Find the refused file by halving the batch, so that the other files are stored."""
        files = list(batch.items())
        if len(files) > 1:
            self._send(dict(files[: len(files) // 2]))
            self._send(dict(files[len(files) // 2 :]))
            return
        path, (now, items) = files[0]
        _log.error("brain-api does not take %s: %s", path, error)
        self._drop(path, 0, max(self._parts(path), len(items)))
        self._state.write({path: Known(now.signature, now.digest, 0, "refused")})

    def _ingest(self, items: Sequence[Artifact]) -> None:
        if len(items) <= BATCH and sum(len(item["content"]) for item in items) <= BATCH_CHARACTERS:
            if items:
                self._brain.ingest(items)
            return
        for item in items:
            self._brain.ingest([item])

    def _remove(self, paths: Iterable[str]) -> None:
        done = []
        try:
            for path in paths:
                self._measured.turned = self._clock()
                self._drop(path, 0, self._parts(path))
                done.append(path)
        finally:
            self._measured.totals["watcher_deleted_total"] += sum(self._parts(path) > 0 for path in done)
            self._state.write({}, gone=done)

    def _drop(self, path: str, keep: int, before: int) -> None:
        for number in range(keep, before):
            self._brain.delete(part_path(path, number))

    def _parts(self, path: str) -> int:
        before = self._state.known.get(path)
        return before.parts if before else 0

    def _succeeded(self) -> None:
        if self._failures:
            _log.info("files are taken again, after %d failures", self._failures)
        self._failures, self._not_before = 0, float("-inf")
        self._measured.denied = ""
        self._measured.gauges["watcher_brain_up"] = 1

    def _failed(self, error: Unavailable, up: int = 0) -> None:
        """Wait before the next try. `up`: 1 if brain-api answers and the fault is here, else 0."""
        if not self._failures:
            _log.warning("%s; nothing is lost, it is tried again", error)
        self._failures += 1
        # The next try first compares everything. That shows whether brain-api answers, and what this request did.
        self._audit_at = float("-inf")
        self._measured.totals["watcher_failures_total"] += 1
        self._measured.gauges["watcher_brain_up"] = up
        self._measured.denied = str(error) if isinstance(error, Denied) else ""
        pause = min(LONGEST_PAUSE, SHORTEST_PAUSE * 2 ** min(self._failures - 1, 10))
        self._not_before = self._clock() + max(error.after, pause * random.uniform(0.7, 1.0))  # noqa: S311 - spreads

    def _tell(self) -> int:
        """Update the metrics. Returns the number of changes that are not acknowledged."""
        pending = len(self._changes())
        known = self._state.known.values()
        skipped = dict(self._found.skipped)
        for item in known:
            if item.reason:
                skipped[item.reason] = skipped.get(item.reason, 0) + 1
        self._measured.skipped = skipped
        self._measured.gauges |= {
            "watcher_files": sum(item.parts > 0 for item in known),
            "watcher_pending": pending,
            "watcher_unread_folders": len(self._found.unread),
        }
        self._measured.turned = self._clock()
        return pending


def _is_full(batch: Batch, reading: Reading) -> bool:
    """Whether the batch and this file are too much for one request."""
    items = [item for _, some in batch.values() for item in some]
    characters = sum(len(item["content"]) for item in items) + sum(map(len, reading.parts))
    return len(items) + len(reading.parts) > BATCH or characters > BATCH_CHARACTERS
