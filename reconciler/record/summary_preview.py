"""The document of `preview`."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.record.contract import Document, document
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Told:
    """One open pull request. `outcome`: Success, Pending, Failure or Error as the status says; Unchanged, Moved,
    NotAdmitted or Failed where none was set."""

    number: int
    branch: str
    revision: str
    outcome: str
    message: str = ""


def preview(pulls: Sequence[Told], message: str) -> Document:
    """`message`: why not all of them were looked at."""
    return document("Preview") | {
        "message": message,
        "pullRequests": [
            {
                "number": item.number,
                "branch": item.branch,
                "revision": item.revision,
                "outcome": item.outcome,
                "message": item.message,
            }
            for item in pulls
        ],
    }
