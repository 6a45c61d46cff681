"""Health checks whose first probe comes after the gate's deadline: no commit with one could succeed."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.model.documents import Gate

INTERVAL, START_INTERVAL = 30.0, 5.0
"""Seconds; the engine's defaults (moby, daemon/health.go)."""


def findings(service: ServiceSubject, gate: Gate) -> Iterator[Finding]:
    check: Json = service.model.get("healthcheck") or {}
    if not check.get("test") or check.get("disable") or check["test"][:1] == ["NONE"]:
        return
    key = "start_interval" if _seconds(check, "start_period", 0.0) else "interval"
    first = _seconds(check, key, START_INTERVAL if key == "start_interval" else INTERVAL)
    if first > gate.healthy_deadline:
        place = ("healthcheck", key) if key in check else ("healthcheck",)
        what = f"the first probe comes {first:g}s after the start, and healthy_deadline is {gate.healthy_deadline:g}s"
        yield service.finding("late-probe", place, what)


def _seconds(check: Json, key: str, default: float) -> float:
    try:
        return seconds(str(check[key])) if check.get(key) else default
    except QuantityError:
        return default
