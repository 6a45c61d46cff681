"""Samples are bounded, and outlive the process."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from reconciler.monitor.charts import bar, sparkline
from reconciler.monitor.samples import EVERY, KEPT, MOST, Samples

NOW = 1_700_000_000.0


def test_six_hours_are_kept_and_forgotten_series_go() -> None:
    samples = Samples()
    for n in range(KEPT + 100):
        values = {"new": float(n)} if n >= 100 else {"old": 1.0}
        samples.add(NOW + n * EVERY, values)
    end = NOW + (KEPT + 99) * EVERY
    found = samples.series("new", end, 60)
    assert found[-1] == KEPT + 99
    assert not any(map(math.isnan, found))
    assert all(map(math.isnan, samples.series("old", end, 60)))
    assert list(samples._series) == ["new"]


def test_a_time_without_samples_is_a_gap_in_the_series() -> None:
    samples = Samples()
    for n in (0, 1, 700, 701):
        samples.add(NOW + n * EVERY, {"x": 1.0})
    assert sum(map(math.isnan, samples.series("x", NOW + 701 * EVERY, 60))) == 58


def test_the_number_of_series_is_bounded() -> None:
    samples = Samples()
    samples.add(NOW, {f"{n}": 1.0 for n in range(MOST + 50)})
    assert len(samples._series) == MOST


def test_file_is_read_back_without_what_is_too_old(tmp_path: Path) -> None:
    samples, path = Samples(), tmp_path / "samples.json"
    for n in range(100):
        samples.add(NOW + n * EVERY, {"x": float(n)} if n % 2 else {"y": 1.0})
    samples.save(path)
    end = NOW + 99 * EVERY
    read = Samples.load(path, end)
    assert str(read.series("x", end, 30)) == str(samples.series("x", end, 30))
    later = Samples.load(path, NOW + KEPT * EVERY + 50 * EVERY)
    assert len(later._times) == 50
    assert Samples.load(path, NOW - 1)._series == {}  # the clock was set back


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"times": 1, "series": {}}', '{"times": [1], "series": {"x": [1, 2]}}',
     '{"times": ["x"], "series": {}}', '{"times": [1], "series": {"x": 3}}', '{"times": [1e999], "series": {}}',
     '{"times": [1], "series": {"x": [1e300]}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_file_of_samples_is_no_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "samples.json"
    path.write_text(text)
    samples = Samples.load(path, NOW)
    samples.add(NOW, {"x": 1.0})
    json.dumps(list(samples.series("x", NOW, 3)))


def test_charts_contain_numbers_only() -> None:
    assert sparkline([math.nan] * 5, 1.0) == ""
    drawn = sparkline([math.nan, 0.0, 5.0, math.nan, 10.0], 10.0)
    assert drawn.count("M") == 2
    assert "nan" not in drawn
    assert 'width="50.00"' in bar([("used", 50), ("promised", 80)], 100)
    assert 'x="50.00" width="50.00"' in bar([("used", 50), ("promised", 80)], 100)
    assert bar([("used", 1)], 0) == ""
