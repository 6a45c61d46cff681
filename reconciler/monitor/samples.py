"""Six hours of measurements, bounded in memory, and kept in a file over a restart of the monitor."""

from __future__ import annotations

import json
import math
import os
import threading
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path

EVERY = 15.0
"""Seconds between two samples."""

KEPT = int(6 * 3600 / EVERY)
"""Samples that are kept."""

MOST = 500
"""Largest number of series; later services get none."""

LARGEST = 32 << 20
"""Largest file that is read back, in bytes."""

SHORTEST = 3600.0
"""Least number of seconds that the samples must span before a pace is computed."""

NOTHING = math.nan


class Samples:
    """Series by name: a value for each time, NOTHING if there was none. One thread may add while others read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times = array("d")
        self._series: dict[str, array[float]] = {}

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Add a value to each named series. `at`: seconds of the Unix epoch. A series whose kept values are all missing
        is removed."""
        with self._lock:
            for name in values:
                if name not in self._series and len(self._series) < MOST:
                    self._series[name] = array("f", [NOTHING]) * len(self._times)
            self._times.append(at)
            for name, series in self._series.items():
                series.append(values.get(name, NOTHING))
            if len(self._times) > KEPT:
                self._cut(len(self._times) - KEPT)

    def _cut(self, first: int) -> None:
        del self._times[:first]
        for name in list(self._series):
            series = self._series[name]
            del series[:first]
            if all(map(math.isnan, series)):
                del self._series[name]

    def series(self, name: str, now: float, points: int) -> Sequence[float]:
        """The highest value in each of `points` equal parts of the six hours before `now`."""
        part = KEPT * EVERY / points
        found = [NOTHING] * points
        with self._lock:
            values = self._series.get(name)
            for at, value in zip(self._times, values or (), strict=bool(values)):
                place = points - 1 - int((now - at) // part)
                if 0 <= place < points and not math.isnan(value):
                    found[place] = value if math.isnan(found[place]) else max(found[place], value)
        return found

    def newest(self, name: str) -> float | None:
        """The value in the last sample; None if it is missing there."""
        with self._lock:
            values = self._series.get(name)
            return values[-1] if values and not math.isnan(values[-1]) else None

    def pace(self, name: str) -> float | None:
        """Growth of a series in its unit per second, over all kept samples; None if they span less than SHORTEST."""
        with self._lock:
            values = self._series.get(name)
            known = [(at, value) for at, value in zip(self._times, values or (), strict=bool(values)) if value == value]
        if len(known) < 2 or known[-1][0] - known[0][0] < SHORTEST:
            return None
        return (known[-1][1] - known[0][1]) / (known[-1][0] - known[0][0])

    def save(self, path: Path) -> None:
        """Write the samples to a file. If that fails, only the samples are lost."""
        with self._lock:
            series = {name: [None if math.isnan(v) else v for v in values] for name, values in self._series.items()}
            text = json.dumps({"times": list(self._times), "series": series})
        draft = path.with_suffix(f".{os.getpid()}")
        try:
            draft.write_text(text, "utf-8")
            draft.replace(path)
        except OSError:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, now: float) -> Samples:
        """Samples of the last six hours that `save` wrote; empty if the file cannot be read."""
        made = cls()
        try:
            if path.stat().st_size > LARGEST:
                return made
            found = json.loads(path.read_text("utf-8"))
            times = [float(item) for item in found["times"]][-KEPT:]
            made._times = array("d", times)
            for name, values in list(found["series"].items())[:MOST]:
                kept = [NOTHING if value is None else float(value) for value in values][-KEPT:]
                if len(kept) != len(times):
                    return cls()
                made._series[str(name)] = array("f", kept)
            made._cut(sum(at < now - KEPT * EVERY or at > now for at in times))
        except (OSError, ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError):
            return cls()
        return made
