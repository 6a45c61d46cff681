"""Health checks whose first probe comes after the gate's deadline: no commit with one could succeed."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.model.documents import Gate

RULE = "late-probe"

INTERVAL, START_INTERVAL = 30.0, 5.0
"""Seconds; the engine's defaults (moby, daemon/health.go)."""


_OF_IMAGE = {"interval": "Interval", "start_period": "StartPeriod", "start_interval": "StartInterval"}
"""Compose's words → the engine's for the check of an image, in nanoseconds."""


def findings(service: ServiceSubject, gate: Gate) -> Iterator[Finding]:
    check: Json = service.model.get("healthcheck") or {}
    if not check.get("test") or check.get("disable") or check["test"][:1] == ["NONE"]:
        return
    key, first = first_probe(check, {})
    if first > gate.healthy_deadline:
        place = ("healthcheck", key) if key in check else ("healthcheck",)
        yield service.finding(RULE, place, too_late(first, gate))


def first_probe(check: Json, image: Json) -> tuple[str, float]:
    """The key that decides when the first probe comes, and the seconds after the start. `image`: its own check in the
    engine's words, which counts where the file says nothing."""
    key = "start_interval" if _seconds(check, image, "start_period", 0.0) else "interval"
    return key, _seconds(check, image, key, START_INTERVAL if key == "start_interval" else INTERVAL)


def intervals(check: Json, image: Json) -> tuple[float, float]:
    """Seconds between two probes, and between those of the start; as in `first_probe`."""
    return (
        _seconds(check, image, "interval", INTERVAL),
        _seconds(check, image, "start_interval", START_INTERVAL),
    )


def too_late(first: float, gate: Gate) -> str:
    return f"the first probe comes {first:g}s after the start, and healthy_deadline is {gate.healthy_deadline:g}s"


def _seconds(check: Json, image: Json, key: str, default: float) -> float:
    inherited = float(image.get(_OF_IMAGE[key]) or 0) / 1e9
    try:
        return seconds(str(check[key])) if check.get(key) else inherited or default
    except QuantityError:
        return default
