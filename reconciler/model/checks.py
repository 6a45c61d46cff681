"""What `doctor` finds out about a machine."""

from __future__ import annotations

from dataclasses import dataclass

UNMEASURED = "the engine gives no statistics of its containers"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `ok` None: it could not be checked, and `message` says why."""

    name: str
    ok: bool | None
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """The engine about itself. `memory` in bytes; `ahead`: seconds by which its clock is ahead of ours.

    `measured`: whether it says how much memory a container uses; None where none runs.
    """

    version: str
    memory: int
    ahead: float
    measured: bool | None = None
