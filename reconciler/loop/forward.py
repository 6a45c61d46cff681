"""Which head of the branch is followed."""

from __future__ import annotations

from reconciler.loop.ports import Source
from reconciler.model.history import History


def is_followed(head: str, history: History, source: Source, require_fast_forward: bool) -> bool:
    """Whether the head descends from the last one that was followed, or from a rewritten one that an operator has
    accepted. Without `require_fast_forward`, every head is followed."""
    seen, accepted, descends = history.seen, history.accepted, source.is_ancestor
    if not require_fast_forward or not seen or head in (seen[-1], *accepted) or descends(seen[-1], head):
        return True
    return any(descends(sha, head) and not descends(sha, seen[-1]) for sha in accepted)
