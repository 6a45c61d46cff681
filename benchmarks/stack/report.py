"""Turns the samples into a table for people and into one JSON document."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from benchmarks.stack.load import Load
from benchmarks.stack.sampling import MIB, Sampler, Series

GIB = 1024 * MIB


@dataclass(frozen=True)
class Figure:
    """`value` is None if nothing could be measured. `bar`: the bound, in `unit`; None for figures that are only
    published."""

    name: str
    value: float | None
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def missed(self) -> bool:
        """A bar without a measurement is missed, not met."""
        if self.bar is None or self.value is None:
            return self.bar is not None
        return self.value < self.bar if self.at_least else self.value > self.bar


@dataclass(frozen=True)
class Row:
    """The memory of one service in bytes: at rest before the load; median and most during the load."""

    service: str
    limit: int
    idle: int
    steady: int
    peak: int
    restarts: int
    ooms: int


def rows(series: Mapping[str, Series], begin: float, end: float) -> list[Row]:
    """One row per service. `begin` and `end` of the load are seconds of the sampler's clock."""
    found = []
    for name, item in sorted(series.items()):
        before = [sample.memory for sample in item.between(0.0, begin)] or [0]
        during = [sample.memory for sample in item.between(begin, end)] or [0]
        found.append(
            Row(name, item.limit, int(median(before)), int(median(during)), max(during), item.restarts, item.ooms)
        )
    return found


def figures(sampler: Sampler, load: Load, recall: float) -> list[Figure]:
    series = sampler.series.values()
    # If the engine gives no statistics, limits, memory and kills cannot be measured.
    sampled = any(item.samples for item in series)
    searches = load.times["search during the ingest"] + load.times["search after the ingest"]
    found = [
        Figure("limits, all together", sum(item.limit for item in series) / GIB if sampled else None, "GiB", 11.2),
        Figure("working set, the most at one moment", _most(sampler), "GiB", 10.0),
        Figure("killed for want of memory", sum(item.ooms for item in series) if sampled else None, "", 0.0),
        Figure("restarts", sum(item.restarts for item in series) if sampled else None, "", 0.0),
        Figure("search p95", _p95(searches), "ms", 100.0),
        Figure("recall@10", recall, "", 0.95, at_least=True),
        Figure("unexpected answers", len(load.problems), "", 0.0),
    ]
    return found + [figure for name, times in sorted(load.times.items()) for figure in _times(name, times)]


def _most(sampler: Sampler) -> float | None:
    """The largest sum of all containers in GiB; None without a sample."""
    return max((total for _, total in sampler.sums), default=0) / GIB or None


def _times(name: str, seconds: list[float]) -> Iterable[Figure]:
    if len(seconds) == 1:
        yield Figure(name, seconds[0], "s")
    elif seconds:
        yield Figure(f"{name}, p50 of {len(seconds)}", 1000 * median(seconds), "ms")
        yield Figure(f"{name}, p95", _p95(seconds), "ms")


def _p95(seconds: list[float]) -> float | None:
    """The 95th percentile in milliseconds; None without a sample."""
    if not seconds:
        return None
    return 1000 * (quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0])


def table(found: Iterable[Row], told: Iterable[Figure]) -> str:
    """The table for people, at most 80 columns wide."""
    heads = "".join(f"{head:>8}" for head in ("limit", "idle", "steady", "peak", "peak %"))
    lines = [f"{'MiB':18}{heads}{'restarts':>10}{'OOM':>5}", "-" * 73]
    for row in found:
        sizes = "".join(f"{size / MIB:8.0f}" for size in (row.limit, row.idle, row.steady, row.peak))
        share = 100 * row.peak / row.limit if row.limit else 0
        lines.append(f"{row.service:18}{sizes}{share:8.0f}{row.restarts:10}{row.ooms:5}")
    lines += ["", f"{'':46}{'measured':>12}{'bar':>10}", "-" * 76]
    for figure in told:
        bar = "" if figure.bar is None else f"{figure.bar:g}"
        verdict = "" if figure.bar is None else "MISSED" if figure.missed else "met"
        lines.append(f"{figure.name:46}{_shown(figure):>12}{bar:>10}  {verdict}".rstrip())
    return "\n".join(lines)


def _shown(figure: Figure) -> str:
    if figure.value is None:
        return "no sample"
    places = 2 if figure.unit in ("GiB", "s") or figure.at_least else 0
    return f"{figure.value:.{places}f} {figure.unit}".strip()


def document(found: Iterable[Row], told: Iterable[Figure], load: Load) -> dict[str, Any]:
    """The document of `--output json`."""
    return {
        "machine": {"cores": os.cpu_count(), "architecture": platform.machine(), "load": os.getloadavg()[0]},
        "services": [asdict(row) for row in found],
        "figures": [{**asdict(figure), "missed": figure.missed} for figure in told],
        "work": dict(sorted(load.counts.items())),
        "problems": load.problems[:50],
    }
