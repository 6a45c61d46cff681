"""What is worth a person's attention, and by which bounds. Times are seconds."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.values import dataclass

FILE = "alerts.json"
"""In the state folder: what the monitor publishes for others."""

STALE = 60.0
"""Seconds after which it says nothing of now: the monitor looks every 15."""


TEST = "test"
"""`about` of an alert that `alerts test` asks for."""


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
"""Where the Host document says nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is true now. `about`: what it is about, apart from a service (a disk). `value`: what was measured,
    in the unit of `threshold`."""

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
