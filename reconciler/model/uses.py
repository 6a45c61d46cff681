"""Whether last good needs what the operator allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Use:
    """Of one entry of the agent config. Seconds of the Unix epoch.

    `since`: when the agent met it first. `last`: when it was known to be used last, None: never. `now`: whether last
    good needs it.
    """

    since: float
    last: float | None = None
    now: bool = False


@dataclass(frozen=True, slots=True)
class Uses:
    """`entries`: the entry as one line, without its reason → its use. `basis`: digest of what that was found with."""

    basis: str = ""
    entries: Mapping[str, Use] = field(default_factory=dict)
