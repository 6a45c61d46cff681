"""The warning about a volume that somebody removed, and that is made again."""

from __future__ import annotations

from reconciler.model.outcome import Level, Reason, Violation
from reconciler.model.plan import Step


def volume_made_anew(step: Step) -> Violation:
    """`step`: the CreateVolume of a plan."""
    return Violation(
        Reason.DRIFT_CORRECTED,
        "volume-made-anew",
        f"volume {step.container} was made anew and is empty: somebody had removed it",
        "restore its data from a backup",
        stack=step.stack,
        level=Level.WARN,
    )
