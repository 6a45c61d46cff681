"""The model of a dashboard: a board has rows, a row has panels, a panel has queries to Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """Kinds of panels, by Grafana's names."""

    LINES = "timeseries"
    NUMBER = "stat"
    BARS = "bargauge"
    STATES = "state-timeline"


class Unit(StrEnum):
    """Units, by Grafana's names."""

    NUMBER = "short"
    BYTES = "bytes"
    SECONDS = "s"
    SHARE = "percentunit"
    PER_SECOND = "reqps"
    USD = "currencyUSD"


@dataclass(frozen=True, slots=True)
class Query:
    """`expr`: PromQL; `$stack` in it is the chosen stack. `legend`: `{{label}}` stands for the label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """`width` is in 24ths of the page, `height` in Grafana's rows. `words`: value → the text that is shown for it.

    `bad`: values from here on are red. `good`: only this value is green, all others are red."""

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
    """`uid`: the name in its address and of its file. `by_stack`: the reader can choose stacks."""

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
