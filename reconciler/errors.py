"""The tree of errors, by consequence. A bad commit is no error: it is a list of violations."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.outcome import Failure, Reason


class ReconcilerError(Exception):
    """The program could not finish. `exit_code`: the process's; `hint`: what a person can do."""

    exit_code = 3

    def __init__(self, reason: Reason, message: str, hint: str = "", details: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.hint = hint
        self.details = tuple(details)


class Transient(ReconcilerError):
    """The environment failed (engine, remote, registry, disk). Nothing is quarantined; it may succeed later."""


class Away(Transient):
    """The engine does not answer."""


class RolloutFailed(ReconcilerError):
    """The machine was changed, and the target failed its health gate: roll back."""

    exit_code = 1

    def __init__(self, failure: Failure, hint: str = "") -> None:
        super().__init__(failure.reason, failure.message, hint)
        self.failure = failure


class ImageFailed(ReconcilerError):
    """The commit's image cannot be pulled or built, and that is the commit's fault. Nothing was touched."""

    exit_code = 1


class Interrupted(ReconcilerError):
    """A signal asked us to end. The machine is left as it is."""

    exit_code = 143


class Usage(ReconcilerError):
    """Wrong arguments or agent config; nothing was tried."""

    exit_code = 2


class NotFound(ReconcilerError):
    """An object that somebody has named does not exist."""

    exit_code = 1


ENVIRONMENT = (Transient, Usage)
"""Faults around a commit that are not its fault: the operator's files change while an agent runs."""


class Corrupt(ReconcilerError):
    """Our own state cannot be trusted: a person is needed."""

    exit_code = 4


class Locked(ReconcilerError):
    """Another process holds the state folder."""

    exit_code = 75
