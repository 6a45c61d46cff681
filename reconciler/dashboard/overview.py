"""The first screen as lines of text, from a snapshot. Colours are those of `record.text`; no terminal is used here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Snapshot
from reconciler.record.text.layout import Style, paragraph, percent, share, since, size, span, table, visible
from reconciler.record.text.status import heading, memory, state
from reconciler.record.text.words import LOOKS, place
from reconciler.values import dataclass

Json = Mapping[str, Any]

OLD = 6.0
"""Seconds after which a snapshot is marked as old: three times the usual pause between two snapshots."""

ALERTS = 2
"""Alerts that are shown; the others are counted."""

NEAR, TIGHT = 0.75, 0.9
"""Shares of its limit from which on the memory of a service is marked as a warning, and as bad."""

CELLS = 6
"""Columns of a service's bar."""

_RANKS = {"bad": 0, "warn": 1}


@dataclass(frozen=True, slots=True)
class Services:
    """The table. `head`: names of the columns. `keys`: STACK/SERVICE of each row. `whole`: number of rows without a
    filter."""

    head: str = ""
    rows: Sequence[str] = ()
    keys: Sequence[str] = ()
    whole: int = 0


def head(snapshot: Snapshot, now: float, style: Style) -> list[str]:
    """Lines about the host, the rollout, the memory budget, the machine with its disks, and alerts."""
    return [
        *_host(snapshot, now, style),
        *_budget(snapshot, style),
        *_machine(snapshot, style),
        *_alerts(snapshot, style),
    ]


def services(snapshot: Snapshot, samples: Samples, wanted: str, style: Style) -> Services:
    """The table of services, unhealthy ones first. `wanted`: only rows whose name or state contains this text."""
    if snapshot.status is None:
        return Services()
    found = [item for stack in snapshot.status["stacks"] for item in stack["services"]]
    fitting = [item for item in found if wanted.casefold() in f"{_name(item)} {state(item, Style())}".casefold()]
    fitting.sort(key=lambda item: _RANKS.get(LOOKS.get(item["health"], ""), 2))
    if not fitting:
        return Services(whole=len(found))
    restarts, kills = snapshot.counted()
    rows = [["SERVICE", "STATE", "MEMORY", "CPU", "RESTARTS", "SINCE"]]
    for item in fitting:
        name = _name(item)
        cores = samples.newest(f"cpu {name}")
        killed = f", {kills[name]} OOM" if kills.get(name) else ""
        rows.append([
            name,
            _counted(item) + state(item, style),
            _filled(item["memory"]["usageBytes"], item["memory"]["limitBytes"], style) + memory(item),
            "-" if cores is None else percent(cores),
            f"{restarts.get(name, 0)}{killed}" if snapshot.measures else "-",
            since(item["since"], snapshot.at),
        ])  # fmt: skip
    first, *lines = table(rows, style, right=(3,), cut=(0, 1))
    return Services(first, lines, [_name(item) for item in fitting], len(found))


def _name(item: Json) -> str:
    return place(item["stack"], item["service"])


def _counted(item: Json) -> str:
    """Running and desired replicas, like `1/2 `; '' for services with at most one."""
    running = "-" if item["running"] is None else item["running"]
    return f"{running}/{item['desired']} " if item["desired"] not in (0, 1) else ""


def _host(snapshot: Snapshot, now: float, style: Style) -> list[str]:
    lines = []
    if snapshot.status is None:
        told = snapshot.error or "looking at the machine"
        lines += paragraph(f"{style.paint(snapshot.host, 'bold')}  {told}", style)
    else:
        lines += heading(snapshot.status, style, snapshot.at)
        lines += _progress(snapshot.status["rollout"], style)
        fault = snapshot.fault(snapshot.at)
        if fault and not snapshot.status["stalled"]:
            lines.append(style.paint(fault, "bad"))
    if now - snapshot.at > OLD:
        lines.append(style.paint(f"nothing new for {span(now - snapshot.at)}", "bad"))
    if snapshot.measures and not snapshot.measures.answered:
        lines.append(style.paint("the engine does not answer: nothing is known of containers", "bad"))
    return lines


def _progress(rollout: Json | None, style: Style) -> list[str]:
    if not rollout or not rollout["steps"]:
        return []
    width = min(style.width - 20, 60)
    done = min(width, width * rollout["step"] // rollout["steps"])
    return [f"rollout {style.paint('█' * done, 'good')}{'·' * (width - done)} {rollout['step']}/{rollout['steps']}"]


def _budget(snapshot: Snapshot, style: Style) -> list[str]:
    """A bar as wide as the budget, and a legend."""
    budget: Json = snapshot.status["budget"] if snapshot.status else {}
    whole = budget.get("budgetBytes")
    if not whole:
        return []
    used, promised, others, reserve = (
        snapshot.used or 0,
        budget["committedBytes"] or 0,
        budget["foreignBytes"] or 0,
        budget["reserveBytes"] or 0,
    )
    width = min(style.width - 8, 72)
    look = "bad" if used > TIGHT * whole else "good"
    cells = [
        *_cells(min(used, whole), whole, width, style.paint("█", look)),
        *_cells(max(0, promised - used), whole, width, "▒"),
        *_cells(others, whole, width, "░"),
    ]
    kept = _cells(reserve, whole, width, "-")
    free = max(0, width - len(cells) - len(kept))
    cells = [*cells, *("·" * free), *kept][:width]
    steady = budget["steadyLimitBytes"]
    if steady:
        cells[min(width - 1, width * steady // whole)] = "|"
    parts = [
        f"█ used {size(snapshot.used)}",
        f"▒ limits {size(budget['committedBytes'])}",
        *([f"░ others {size(others)}"] if others else []),
        *([f"- reserve {size(reserve)}"] if reserve else []),
        f"| steady {share(budget['steadyBytes'], steady, 'of')}",
        f"budget {size(whole)}",
    ]
    return [f"memory  {''.join(cells)}", *_flow(parts, style)]


def _cells(part: int, whole: int, width: int, cell: str) -> list[str]:
    """The cells of a part of the bar; at least one if the part is not empty."""
    return [cell] * (max(1, round(width * part / whole)) if part else 0)


def _filled(used: int | None, limit: int | None, style: Style) -> str:
    if not limit or used is None:
        return ""
    part = used / limit
    look = "bad" if part >= TIGHT else "warn" if part >= NEAR else "good"
    cells = min(CELLS, max(1, round(CELLS * part)))
    return style.paint("█" * cells, look) + "·" * (CELLS - cells) + " "


def _machine(snapshot: Snapshot, style: Style) -> list[str]:
    if snapshot.measures is None:
        return []
    machine = snapshot.measures.machine
    parts = [
        f"machine  cpu {percent(machine.cpu)}",
        f"memory {share(machine.memory_total - machine.memory_available, machine.memory_total, 'of')}",
        *([f"swap {share(machine.swap_used, machine.swap_total, 'of')}"] if machine.swap_used else []),
    ]
    for disk in machine.disks:
        told = f"disk {disk.mount} {share(disk.free, disk.size, 'of')} free"
        parts.append(style.paint(told, "bad") if disk.free < disk.size / 10 else told)
    return _flow(parts, style)


def _alerts(snapshot: Snapshot, style: Style) -> list[str]:
    alerts = snapshot.alerts
    lines = [style.paint(f"alert {item.finding.name}: {item.finding.message}", "bad") for item in alerts[:ALERTS]]
    more = len(alerts) - len(lines)
    return [*lines, *([f"and {more} more: `reconciler alerts`"] if more else [])]


def _flow(parts: Sequence[str], style: Style) -> list[str]:
    """Lines with as many parts beside each other as fit."""
    lines = [""]
    for part in parts:
        joined = f"{lines[-1]}   {part}" if lines[-1] else part
        if lines[-1] and visible(joined) > style.width:
            lines.append(f"        {part}")
        else:
            lines[-1] = joined
    return lines
