"""Durations, sizes and percentages as people write them."""

from __future__ import annotations

import re

_DURATION_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|us|µs|ns|s|m|h)")
_DURATION = re.compile(r"(?:[0-9]{1,12}(?:\.[0-9]{1,9})?(?:ms|us|µs|ns|s|m|h))+")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

_SIZE = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,9})?)[ ]?([kmgtp]?)(?:i?b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)[ ]?%")


class QuantityError(ValueError):
    """The text is no quantity of this kind. The message shows the form."""


def seconds(text: str) -> float:
    """Seconds of a duration: `500ms`, `10s`, `5m`, `2h`, `1m30s`. QuantityError for anything else."""
    if not _DURATION.fullmatch(text):
        raise QuantityError("a duration is a number with a unit, like 500ms, 10s, 5m, 2h or 1m30s")
    parts = _DURATION_PART.findall(text)
    return round(sum(float(number) * _SECONDS[unit] for number, unit in parts), 9)


def size(value: str | int) -> int:
    """Bytes of a size as Compose reads it: `14GiB`, `512m`, `1.5gb`, `1024`. Every unit counts in 1024s.

    QuantityError for anything else, negative numbers included.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63:
        return value
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise QuantityError("a size is a number of bytes or a number with a unit, like 512MiB, 14GiB or 512m")
    return int(float(match[1]) * 1024 ** _POWER[match[2].lower()])


def fraction(text: str) -> float:
    """`80%` as 0.8. QuantityError for anything else and above 100 %."""
    match = _PERCENTAGE.fullmatch(text)
    if match is None or float(match[1]) > 100:
        raise QuantityError("a share is a percentage from 0% to 100%, like 80%")
    return float(match[1]) / 100


def shown(size: int) -> str:
    """Bytes for people, to a tenth: `17 B`, `1.5 MiB`, `300 GiB`.

    GiB and TiB only if they are exact: a value one MiB above a limit must not look like the limit.
    """
    units = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1))
    fits = (item for item in units if size >= item[1] and (item[1] <= 1 << 20 or size * 10 % item[1] == 0))
    unit, length = next(fits, units[-1])
    return f"{size / length:.1f}".removesuffix(".0") + f" {unit}"
