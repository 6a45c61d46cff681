"""The errors of this package: answers of a forge that are no success, and the remedy for each."""

from __future__ import annotations

LONGEST_WAIT = 6 * 3600.0
"""Longest wait that a forge can ask for, in seconds; GitHub's limits last an hour at most."""


class ForgeError(Exception):
    """`message` says what happened, for people; it contains no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(ForgeError):
    """No answer, or none that can be understood. Other requests would fail now, too.

    `wait`: seconds that the forge asks us to wait; None: it does not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Broken(ForgeError):
    """5xx, a conflict, or more than we read: this request fails there; others may not."""


class Refused(ForgeError):
    """4xx: the request fails until somebody changes something. `status` is HTTP's; `hint`: what to change."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.hint = status, hint

    @property
    def for_all(self) -> bool:
        """Whether the token was refused, so that every message of the channel would be."""
        return self.status in (401, 403)


class Closed(Refused):
    """One object (such as a locked pull request) accepts no message from us, whatever the token's scopes."""

    def __init__(self, error: Refused) -> None:
        super().__init__(error.status, error.message, "The pull request is locked, or its author has blocked this user")

    @property
    def for_all(self) -> bool:
        return False


class Nowhere(ForgeError):
    """The forge has no object to which the message can be attached, or not yet."""


def remedy(error: Refused, channel: str, scope: str) -> str:
    """The remedy. `scope`: the scope that the token needs for the channel."""
    accepts = f" ({error.hint})" if error.hint else ""
    if isinstance(error, Closed):
        return error.hint
    match error.status:
        case 401:
            return "The token is not valid (any more): write a new one"
        case 403:
            return f"The token lacks a scope, or its user the right: {channel} need {scope}{accepts}"
        case 404:
            return f"The commit or the repository is not there, or the token may not see it: it needs {scope}"
        case 422:
            return "Is the commit on the forge? See `repository` below `report.forge`"
    return error.hint or "See `report.forge` in the agent config"
