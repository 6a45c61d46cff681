"""What an operator asks of the process that holds the state folder. Times are seconds of the Unix epoch."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class RequestVerb(StrEnum):
    SUSPEND = "suspend"
    RESUME = "resume"
    RETRY = "retry"
    ACCEPT = "accept"


@dataclass(frozen=True, slots=True)
class Request:
    """One request, as it was typed. `revision`: anything that names a commit. `why` and `until` of a suspension."""

    id: str
    verb: RequestVerb
    revision: str = ""
    why: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and what became of it. `revision`: the full sha, where one was named and is known.

    `lifted`: commits that are not refused any more.
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
    """Nothing is changed on the machine, for this reason. `until` None: until it is resumed."""

    why: str
    since: float
    until: float | None = None

    def lasts(self, now: float) -> bool:
        return self.until is None or now < self.until
