"""How the channels stand, for `status` and `doctor`."""

from __future__ import annotations

from reconciler.model.history import History
from reconciler.model.status import Channel
from reconciler.report.box import Box
from reconciler.report.delivery import pending
from reconciler.report.messages import Policy


def channels(history: History, policy: Policy, box: Box | None) -> tuple[Channel, ...]:
    """One for each that is on. `box` None: nothing was told yet."""
    box = box or Box(0.0, float("inf"))
    waiting = pending(history, policy, box)
    found = []
    for name in policy.channels:
        own = [message for message in waiting if message.channel == name]
        known = box.channels.get(name)
        errors = [entry.error for message in own if (entry := box.entries.get(message.key)) and entry.error]
        told = [known.refused, known.lost] if known else []
        error = next((text for text in (*told, box.error if own else "", *errors) if text), "")
        commits = len({message.revision for message in own})
        last = known.delivered_at if known else None
        found.append(Channel(name, commits, last, f"{name}: {error}" if error else None))
    return tuple(found)
