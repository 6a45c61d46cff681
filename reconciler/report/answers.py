"""How a forge answers when it does not do what it was asked: the errors of this room, and what each asks of us."""

from __future__ import annotations


class ForgeError(Exception):
    """`message` says what happened, for people; it holds no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Unreachable(ForgeError):
    """No answer, or none that can be understood: nothing else that is asked now will be answered either.

    `wait`: seconds that the forge asks us to wait; None: it does not say.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Broken(ForgeError):
    """5xx: this request fails there; others may not."""


class Refused(ForgeError):
    """4xx: it stays so until somebody changes something. `status` is HTTP's; `hint`: what to change."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.status, self.hint = status, hint

    @property
    def for_all(self) -> bool:
        """Whether the token is what is refused, so that every message of the channel would be."""
        return self.status in (401, 403)


class Nowhere(ForgeError):
    """The forge has no place for such a message, or has none yet."""


def remedy(error: Refused, channel: str, scope: str) -> str:
    """What to do about it. `scope`: what the token needs for the channel."""
    accepts = f" ({error.hint})" if error.hint else ""
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
