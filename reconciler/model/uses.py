"""Uses of the operator's entries by last good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """Use of one entry of the agent config. Seconds of the Unix epoch.

    `since`: when the agent first read it. `last`: when it was last known to be used, None: never. `now`: whether last
    good needs it.
    """

    since: float
    last: float | None = None
    now: bool = False


@dataclass(frozen=True, slots=True)
class Uses:
    """`entries`: the entry as one line, without its reason → its use. `basis`: digest of what the uses were found
    with."""

    basis: str = ""
    entries: Mapping[str, Use] = field(default_factory=dict)
