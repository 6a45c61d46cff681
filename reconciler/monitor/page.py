"""The page, rendered on the server from the documents of `--output json`. The template engine escapes every text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from reconciler.model.endpoints import Check
from reconciler.model.times import instant
from reconciler.monitor.charts import Part, bar, sparkline
from reconciler.monitor.jobs import last_successes
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Json, Snapshot
from reconciler.record.text.layout import exactly, percent, share, short, since, size, span
from reconciler.record.text.words import LOOKS, place, planned
from reconciler.values import dataclass

ASSETS = Path(__file__).parent / "assets"

POINTS = 60
"""Points of a small chart: six hours, one every six minutes."""


@dataclass(frozen=True, slots=True)
class Row:
    """A service in the table. `memory`, `cpu`: charts as SVG, '' without samples. `cores`: processors in use now."""

    service: Json
    name: str
    address: str
    memory: str
    cpu: str
    cores: float | None
    restarts: int
    oom_kills: int


class Page:
    """Renders pages. Several threads may call it at once."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples
        # Escape in all templates: names, messages and log lines may contain anything.
        environment = Environment(
            loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, auto_reload=False,
        )  # fmt: skip
        environment.filters |= {"size": size, "short": short, "span": span, "exactly": exactly, "percent": percent}
        environment.globals |= {"look": _look, "share": share, "place": place, "planned": planned}
        self._overview = environment.get_template("overview.html")
        self._logs = environment.get_template("logs.html")

    def overview(self, snapshot: Snapshot, now: float, history: Json | None = None, limit: int = 0) -> str:
        """The whole page. `history`: shown instead of the snapshot's; `limit`: number of attempts that are shown."""
        status = snapshot.status
        attempts = (history or snapshot.history or {"attempts": []})["attempts"]
        return self._overview.render(
            status=status,
            host=snapshot.host,
            fault=snapshot.fault(now),
            heartbeat=None if snapshot.heartbeat is None else now - snapshot.heartbeat,
            error=snapshot.error,
            alerts=[(item.finding, span(now - item.since)) for item in snapshot.alerts],
            good=_good_since(snapshot, now),
            rows=self._rows(snapshot, now) if status else (),
            budget=_budget(snapshot) if status else "",
            used=snapshot.used,
            measures=snapshot.measures,
            disks=[(disk, bar([(_fullness(disk.free, disk.size), disk.size - disk.free)], disk.size))
                   for disk in snapshot.measures.machine.disks] if snapshot.measures else (),
            endpoints=[(item, span(now - item.since), _ends(item, now)) for item in snapshot.endpoints],
            jobs=_jobs(snapshot, now),
            attempts=attempts[:limit] if limit else attempts,
            limit=limit,
            ago=lambda time: since(time, now),
        )  # fmt: skip

    def logs(self, snapshot: Snapshot, service: str, lines: Sequence[Json], error: str | None, query: Json) -> str:
        """The page with the log of one service (`STACK/SERVICE`)."""
        return self._logs.render(host=snapshot.host, service=service, lines=lines, error=error, query=query)

    def _rows(self, snapshot: Snapshot, now: float) -> Sequence[Row]:
        assert snapshot.status is not None
        restarts, kills = snapshot.counted()
        services = [item for stack in snapshot.status["stacks"] for item in stack["services"]]
        return [self._row(item, now, restarts, kills) for item in services]

    def _row(self, item: Json, now: float, restarts: Mapping[str, int], kills: Mapping[str, int]) -> Row:
        name = f"{item['stack']}/{item['service']}"
        memory = self._samples.series(f"memory {name}", now, POINTS)
        cpu = self._samples.series(f"cpu {name}", now, POINTS)
        newest = next((value for value in reversed(cpu[-2:]) if not math.isnan(value)), None)
        return Row(
            item,
            name,
            f"/logs/{quote(item['stack'], safe='')}/{quote(item['service'], safe='')}",
            sparkline(memory, float(item["memory"]["limitBytes"] or 0)),
            sparkline(cpu, 0.1),
            newest,
            restarts.get(name, 0),
            kills.get(name, 0),
        )


def _ends(check: Check, now: float) -> str:
    """The time until the endpoint's certificate ends; '' without a certificate."""
    if check.answer.expires is None:
        return ""
    left = check.answer.expires - now
    return f"ends in {span(left)}" if left > 0 else f"has ended {span(-left)} ago"


def _jobs(snapshot: Snapshot, now: float) -> Sequence[tuple[Json, str]]:
    """The one-shots of the status, each with the time since the last good attempt that ran it."""
    done = last_successes(snapshot.past)
    rows = [item for stack in (snapshot.status or {"stacks": ()})["stacks"] for item in stack["services"]]
    keys = [(item, (item["stack"], item["service"])) for item in rows]
    return [(item, span(now - done[key])) for item, key in keys if key in done]


def _budget(snapshot: Snapshot) -> str:
    assert snapshot.status is not None
    budget = snapshot.status["budget"]
    whole = budget["budgetBytes"]
    if not whole:
        return ""
    used = snapshot.used or 0
    committed, foreign, reserve = (budget[key] or 0 for key in ("committedBytes", "foreignBytes", "reserveBytes"))
    parts: list[Part] = [("used", used), ("promised", max(0, committed - used)), ("foreign", foreign)]
    room = max(0, whole - sum(part for _, part in parts) - reserve)
    marks: list[Part] = [("steady", budget["steadyLimitBytes"])] if budget["steadyLimitBytes"] else []
    return bar([*parts, ("room", room), ("reserve", reserve)], whole, marks)


def _good_since(snapshot: Snapshot, now: float) -> str | None:
    good = snapshot.past.last_good
    return None if good is None else span(now - good.at)


def _fullness(free: int, whole: int) -> str:
    return "full" if free < whole / 10 else "used"


def _look(word: Any) -> str:
    """The class of the style sheet for a word of the documents (`Healthy`, `Failed`, …)."""
    return LOOKS.get(str(word), "plain")


def seconds(text: str | None) -> float | None:
    """Seconds of the Unix epoch of an RFC 3339 time; None without one."""
    return instant(text) if text else None
