"""How long a container may take to stop. The rollout waits for it, and the replaced service is down meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.decide.admit.policies.subject import Finding, ServiceSubject
from reconciler.formats.quantities import QuantityError, seconds

KEY = "stop_grace_period"


def findings(service: ServiceSubject) -> Iterator[Finding]:
    written = service.model.get(KEY)
    if not written:
        return
    longest = service.of.permissions.longest_stop
    try:
        over = seconds(str(written)) > longest
    except QuantityError:  # Compose accepts negative ones
        over = True
    if over:
        yield service.finding("stop-grace-period", (KEY,), f"{KEY} is {written}, and the maximum is {longest:g}s")
