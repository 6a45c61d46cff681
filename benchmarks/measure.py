"""Measures in pairs, compares medians, and prints a table that says which bars are met."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

Side = Callable[[], float]
"""Does the work once; returns the seconds that it took."""


@dataclass(frozen=True)
class Bar:
    """One line of the table. `ours` and `theirs` are medians in `unit`; without `theirs` the bar is absolute.

    `ours` is None if nothing could be measured. `most`: the bar for the ratio, or for `ours` without `theirs`; None for
    figures that are only published.
    """

    name: str
    unit: str
    ours: float | None
    theirs: float | None = None
    most: float | None = None

    @property
    def value(self) -> float | None:
        return self.ours / self.theirs if self.theirs and self.ours is not None else self.ours

    @property
    def missed(self) -> bool:
        """A bar without a measurement is missed, not met."""
        return self.most is not None and (self.value is None or self.value > self.most)


def timed(what: Callable[[], object]) -> float:
    """The seconds that a call of `what` takes."""
    begun = time.monotonic()
    what()
    return time.monotonic() - begun


def alternate(ours: Side, theirs: Side, pairs: int) -> tuple[list[float], list[float]]:
    """The seconds of both sides. They work in turn, and the first one changes, so that a busy moment hits both."""
    found: tuple[list[float], list[float]] = ([], [])
    for number in range(pairs):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            found[side].append((ours, theirs)[side]())
    return found


def compared(name: str, ours: Sequence[float], theirs: Sequence[float], most: float | None) -> Bar:
    """A bar from the seconds of both sides. `most`: the largest allowed ratio of their medians."""
    return Bar(name, "s", median(ours) if ours else None, median(theirs) if theirs else None, most)


def table(bars: Iterable[Bar]) -> str:
    """The figures as a table for people, 80 columns wide."""
    lines = [f"{'':38}{'ours':>10}{'theirs':>10}{'ratio':>8}{'bar':>8}", "-" * 80]
    for bar in bars:
        ours, theirs = _figure(bar.ours, bar.unit), "" if bar.theirs is None else _figure(bar.theirs, bar.unit)
        ratio = f"{bar.value:.3f}" if bar.theirs and bar.value is not None else ""
        most = "" if bar.most is None else f"{bar.most:.3f}" if bar.theirs else _figure(bar.most, bar.unit)
        verdict = "" if bar.most is None else "MISSED" if bar.missed else "met"
        lines.append(f"{bar.name:38}{ours:>10}{theirs:>10}{ratio:>8}{most:>8} {verdict}".rstrip())
    return "\n".join(lines)


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "s":
        return f"{value * 1000:.1f} ms" if value < 0.9995 else f"{value:.2f} s"
    return f"{value:.3g} {unit}"
