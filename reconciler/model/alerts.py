"""Alerts of the monitor, and their bounds. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.values import dataclass

FILE = "alerts.json"
"""File in the state folder in which the monitor publishes its alerts."""

STALE = 60.0
"""Seconds after which this file is out of date: the monitor looks every 15."""


TEST = "test"
"""`about` of a test alert (`alerts test`)."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """`lasting`: how long it must be true before it is an alert. `threshold`: a share (0.9 = 90 %) or seconds; None:
    there is none."""

    lasting: float = 0.0
    threshold: float | None = None
    enabled: bool = True


RULES: Mapping[str, AlertRule] = {
    "agent-silent": AlertRule(60.0),
    "branch-unreachable": AlertRule(3600.0),
    "service-unhealthy": AlertRule(120.0),
    "container-restarted": AlertRule(),
    "out-of-memory": AlertRule(),
    "memory-near-limit": AlertRule(300.0, 0.9),
    "budget-full": AlertRule(300.0, 0.9),
    "swap-in-use": AlertRule(300.0, 0.05),
    "disk-low": AlertRule(60.0, 0.1),
    "disk-filling": AlertRule(600.0, 86400.0),
    "endpoint-down": AlertRule(120.0),
    "certificate-expiring": AlertRule(0.0, 14 * 86400.0),
}
"""The usual bounds, for alerts that the Host document does not change."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A condition that is true now. `about`: its subject, if that is not a service (a disk). `value`: what was
    measured, in the unit of `threshold`."""

    name: str
    message: str
    stack: str | None = None
    service: str | None = None
    about: str = ""
    value: float | None = None
    threshold: float | None = None

    @property
    def key(self) -> str:
        return "/".join((self.name, self.stack or "", self.service or "", self.about))


@dataclass(frozen=True, slots=True)
class Alert:
    """A finding that has lasted. `since`: when it became true, in seconds of the Unix epoch."""

    finding: Finding
    since: float
