"""Requests of an operator to the process that holds the state folder. Times are seconds of the Unix epoch."""

from __future__ import annotations

from enum import StrEnum

from reconciler.values import dataclass


class RequestVerb(StrEnum):
    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it was typed. `revision`: anything that names a commit. `why` and `until` belong to a
    suspension."""

    id: str
    verb: RequestVerb
    revision: str = ""
    why: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and its answer. `revision`: the full sha, if one was given and is known.

    `lifted`: commits that are no longer quarantined.
    """

    id: str
    verb: RequestVerb
    done: bool
    at: float
    message: str
    hint: str = ""
    revision: str | None = None
    why: str = ""
    until: float | None = None
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suspension:
    """Nothing is changed on the machine, for this reason. `until` None: until `resume`."""

    why: str
    since: float
    until: float | None = None

    def lasts(self, now: float) -> bool:
        return self.until is None or now < self.until
