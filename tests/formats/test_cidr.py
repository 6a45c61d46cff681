"""Ranges of addresses."""

from __future__ import annotations

import pytest

from reconciler.formats.cidr import lies_in, overlap, range_of


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.77.0.5/24", "10.77.0.0/24"),
        (" fd00::1/64 ", "fd00::/64"),
        ("10.0.0.1", "10.0.0.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("010.0.0.0/8", "None"),
        ("10.0.0.0/33", "None"),
        ("", "None"),
    ],
)
def test_a_text_is_one_range(text: str, found: str) -> None:
    assert str(range_of(text)) == found


def test_ranges_of_two_families_never_meet() -> None:
    four, six = range_of("0.0.0.0/0"), range_of("::/0")
    assert four is not None
    assert six is not None
    assert overlap(four, four)
    assert not overlap(four, six)


@pytest.mark.parametrize(
    ("text", "inside"), [("10.77.3.0/24", True), ("10.77.0.0/16", True), ("10.76.0.0/15", False), ("x", False)]
)
def test_a_range_lies_wholly_in_another(text: str, inside: bool) -> None:
    assert lies_in(text, ["fd00::/8", "10.77.0.0/16", "nonsense"]) == inside
