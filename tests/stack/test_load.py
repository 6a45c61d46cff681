"""How the load test and the soak test evaluate their samples."""

from __future__ import annotations

from benchmarks.stack import report, soak
from benchmarks.stack.plot import picture, thinned
from benchmarks.stack.sampling import MIB, Sample, Series, working_set

HOUR = 3600.0


def series(*memory: int, limit: int = 1024) -> Series:
    """A series with one sample per minute. `memory` in MiB."""
    return Series(limit * MIB, [Sample(60.0 * at, mib * MIB, 5) for at, mib in enumerate(memory)])


def test_the_page_cache_is_no_part_of_a_working_set() -> None:
    first = {"memory_stats": {"usage": 900, "stats": {"total_inactive_file": 300, "inactive_file": 1}}}
    second = {"memory_stats": {"usage": 900, "stats": {"inactive_file": 200}}}
    assert [working_set(first), working_set(second), working_set({})] == [600, 700, 0]


def test_rest_and_load_are_evaluated_separately() -> None:
    row = report.rows({"db": series(10, 10, 50, 90, 60)}, begin=90.0, end=1000.0)[0]
    assert [size // MIB for size in (row.idle, row.steady, row.peak, row.limit)] == [10, 60, 90, 1024]


def test_a_bar_is_missed_above_or_below_according_to_its_kind() -> None:
    assert [report.Figure("", value, "", 100.0).missed for value in (100.0, 100.1)] == [False, True]
    assert [report.Figure("", value, "", 0.95, at_least=True).missed for value in (0.95, 0.94)] == [False, True]
    assert not report.Figure("", 1e9, "").missed


def test_a_leak_is_distinguished_from_warming_up_and_short_peaks() -> None:
    quiet, opened = soak.Opened([20] * 60, [4] * 60), soak.Opened([20 + 3 * n for n in range(60)], [4] * 60)
    warm = series(*[50 + 20 * n for n in range(10)], *[250] * 50)
    breathing = series(*[200, 230] * 30)
    growing = series(*[200 + 3 * n for n in range(60)])
    assert [soak.kept("x", item, quiet).leaks for item in (warm, breathing, growing)] == [False, False, True]
    assert soak.kept("x", breathing, opened).files.leaks
    assert round(soak.kept("x", growing, quiet).slope) == 180


def test_the_slope_is_zero_without_two_different_points() -> None:
    assert [soak.slope(points) for points in ([], [(1.0, 5.0)], [(1.0, 5.0), (1.0, 7.0)])] == [0.0, 0.0, 0.0]


def test_tables_fit_a_terminal_and_the_picture_names_all() -> None:
    rows = report.rows({"mcp-playwright": series(600, 640)}, 0.0, HOUR)
    figures = [report.Figure("search during the ingest, p50 of 1234", 1234.0, "ms", 100.0)]
    kept = [soak.kept("mcp-filesystem", series(*range(900, 1020)), soak.Opened([*range(100, 999)], [999] * 9))]
    told = f"{report.table(rows, figures)}\n{soak.table(kept)}"
    assert "LEAK" in told
    assert max(map(len, told.splitlines())) <= 80, told
    many = series(*range(2000), 9000, *range(2000)).samples
    assert len(thinned(many)) <= 300
    assert 9000 * MIB in {sample.memory for sample in thinned(many)}
    drawn = picture({"db": series(1, 2), "gone": Series(0)}, {"load begins": 30.0})
    assert "db (1024)" in drawn
    assert "load begins" in drawn
    assert "gone" not in drawn
