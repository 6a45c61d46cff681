from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats.quantities import QuantityError, fraction, seconds, shown, size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("5m", 300),
        ("2h", 7200),
        ("1m30s", 90),
        ("1h2m3s4ms", 3723.004),
        ("1.5s", 1.5),
        ("0s", 0),
        ("250us", 0.00025),
    ],
)
def test_a_duration_is_the_sum_of_its_parts(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "10", "s", "10 s", "-1s", "1d", "10s ", "10s\n", "1e3s", "٣s", "9" * 20_000 + "s"]
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(QuantityError, match="like 500ms"):
        seconds(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("14GiB", 14 << 30),
        ("512MiB", 512 << 20),
        ("512m", 512 << 20),
        ("1g", 1 << 30),
        ("1.5gb", 3 << 29),
        ("1.5G", 3 << 29),
        ("64kb", 64 << 10),
        ("2t", 2 << 40),
        ("100b", 100),
        ("1024", 1024),
        (1024, 1024),
        (0, 0),
    ],
)
def test_every_unit_counts_in_1024s(value: str | int, expected: int) -> None:
    assert size(value) == expected


@pytest.mark.parametrize("value", ["", "-1", "1x", "1 g b", "g", "1gbb", "1\n", -1, True, 1 << 70, "9" * 20_000])
def test_what_is_no_size_is_refused(value: str | int) -> None:
    with pytest.raises(QuantityError, match="like 512MiB"):
        size(value)


@given(st.integers(0, 1 << 30), st.sampled_from(["k", "m", "g", "kb", "MiB", "GiB"]))
def test_sizes_keep_whole_numbers_exact(number: int, unit: str) -> None:
    factor = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}[unit[0].lower()]

    assert size(f"{number}{unit}") == number * factor


@pytest.mark.parametrize(("text", "expected"), [("80%", 0.8), ("0%", 0), ("100%", 1), ("12.5 %", 0.125)])
def test_a_percentage_is_a_fraction(text: str, expected: float) -> None:
    assert fraction(text) == expected


@pytest.mark.parametrize("text", ["80", "101%", "-1%", "%", "0.8", "80%\n"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="like 80%"):
        fraction(text)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"), (1500, "1.5 KiB"), (1 << 20, "1 MiB"), (1127 << 20, "1127 MiB"), (14 << 30, "14 GiB"),
        ((14 << 30) + (1 << 20), "14337 MiB"), (3 << 29, "1.5 GiB"), (1 << 40, "1 TiB"),
    ],
)  # fmt: skip
def test_a_size_reads_like_another_only_where_it_is_the_same(count: int, text: str) -> None:
    assert shown(count) == text
