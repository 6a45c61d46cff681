"""What a dashboard is: boards of rows of panels of questions to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Grafana's names of panels."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    STATES = "state-timeline"


class Unit(StrEnum):
    """Grafana's names of units."""

    NUMBER = "short"
    BYTES = "bytes"
    SECONDS = "s"
    SHARE = "percentunit"
    PER_SECOND = "reqps"
    USD = "currencyUSD"


@dataclass(frozen=True, slots=True)
class Query:
    """`expr`: PromQL; `$stack` in it is the stack that was chosen. `legend`: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`width` is in 24ths of the page, `height` in Grafana's rows. `words`: what a value is called.

    `bad`: from this value on it is red. `good`: only this value is green, any other is red."""

    title: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.LINES
    unit: Unit = Unit.NUMBER
    width: int = 12
    height: int = 8
    about: str = ""
    words: Mapping[int, str] = field(default_factory=dict)
    bad: float | None = None
    good: float | None = None
    top: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """`uid`: its name in addresses and of its file. `by_stack`: one may choose stacks."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    by_stack: bool = False

    @property
    def panels(self) -> tuple[Panel, ...]:
        return tuple(panel for row in self.rows for panel in row.panels)


def number(title: str, expr: str, unit: Unit = Unit.NUMBER, about: str = "", **more: object) -> Panel:
    """A small panel with one value."""
    made: dict[str, object] = {"kind": Kind.NUMBER, "width": 4, "height": 4, "about": about, **more}
    return Panel(title, (Query(expr),), unit=unit, **made)  # type: ignore[arg-type]  # names of fields
