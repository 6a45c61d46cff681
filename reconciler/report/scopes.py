"""Finds out what a token may do, without an effect: it sends requests about a commit that does not exist.

A forge checks the token first, so a refusal of the token differs from an answer about the commit.
"""

from __future__ import annotations

from collections.abc import Collection

from reconciler.model.history import Attempt
from reconciler.model.outcome import Intent
from reconciler.report.answers import Broken, Nowhere, Refused, remedy
from reconciler.report.delivery import Forge
from reconciler.report.gitea import Gitea
from reconciler.report.messages import COMMENTS, DEPLOYMENTS, STATUSES, Message, State

NO_COMMIT = "0" * 40
CONTEXT = "reconciler/doctor"


def lacking(forge: Forge, kind: str, channels: Collection[str]) -> list[str]:
    """Scopes that the token lacks for `channels`, for people. Raises Unreachable.

    Deployments are tried on GitHub alone: GitLab would make an environment, and needs the same scope for statuses.
    """
    found = []
    for channel in channels:
        if channel == DEPLOYMENTS and kind != "github":
            continue
        try:
            _try(forge, channel)
        except Refused as error:
            # GitHub answers 404 if the token may not write.
            if error.for_all or (kind == "github" and error.status == 404):
                told = Refused(403 if error.status == 404 else error.status, error.message, error.hint)
                found.append(f"{error.message}. {remedy(told, channel, forge.scopes.get(channel, ''))}")
        except (Broken, Nowhere, ValueError):
            continue
    return found


def _try(forge: Forge, channel: str) -> None:
    attempt = Attempt("", NO_COMMIT, Intent.ADVANCE, 0.0)
    message = Message(channel, NO_COMMIT, CONTEXT, State.PENDING, attempt, 0.0)
    if channel == STATUSES:
        forge.set_status(message, "")
    elif channel == COMMENTS and isinstance(forge, Gitea):
        forge.try_comment()  # comments of Gitea and Forgejo are on pull requests
    elif channel == COMMENTS:
        forge.add_comment(NO_COMMIT, "reconciler")
    elif channel == DEPLOYMENTS:
        forge.add_deployment(message, "")
