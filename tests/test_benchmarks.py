"""A benchmark that measured nothing has not reached its target."""

from __future__ import annotations

from collections import defaultdict

import pytest

from benchmarks.measure import Bar, compared, table
from benchmarks.stack.load import Load
from benchmarks.stack.report import Figure, figures
from benchmarks.stack.report import table as stack_table
from benchmarks.stack.sampling import MIB, Sample, Sampler, Series

MEMORY = {"limits, all together", "working set, the most at one moment", "killed for want of memory", "restarts"}


def _told(series: dict[str, Series], sums: list[tuple[float, int]]) -> dict[str, Figure]:
    sampler, load = Sampler.__new__(Sampler), Load.__new__(Load)
    sampler.series, sampler.sums = series, sums
    load.times, load.problems = defaultdict(list), []
    return {figure.name: figure for figure in figures(sampler, load, recall=1.0)}


def test_a_bar_without_a_measurement_is_missed() -> None:
    bar = compared("turn", [], [], 0.05)
    assert bar.missed
    assert table([bar]).splitlines()[-1].endswith("MISSED")


@pytest.mark.parametrize("series", [{}, {"web": Series(0)}], ids=["no container", "no statistics"])
def test_an_engine_without_statistics_misses_the_bars_of_memory(series: dict[str, Series]) -> None:
    told = _told(series, [])
    assert {name for name in MEMORY if told[name].missed} == MEMORY
    assert told["search p95"].missed
    assert "no sample" in stack_table([], told.values())


def test_bars_with_samples_are_judged_by_them() -> None:
    told = _told({"web": Series(64 * MIB, [Sample(1.0, 10 * MIB, 3)])}, [(1.0, 10 * MIB)])
    assert not {name for name in MEMORY if told[name].missed}
    assert Bar("idle", "MB", 41.0, None, 40.0).missed
