"""The pending messages, and the state of the channels for `status` and `doctor`."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.model.history import History
from reconciler.model.status import Channel
from reconciler.report.box import Box, Entry
from reconciler.report.messages import Message, Policy, messages


def channels(history: History, policy: Policy, box: Box | None) -> tuple[Channel, ...]:
    """The state of each enabled channel. `box` None: nothing was delivered yet."""
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


def pending(history: History, policy: Policy, box: Box) -> Sequence[Message]:
    """The pending messages, in the order of delivery."""
    return [
        message for message in messages(history, policy, box.floor) if _waits(message, box.entries.get(message.key))
    ]


def _waits(message: Message, entry: Entry | None) -> bool:
    if entry is None:
        return not message.edits
    if entry.closed == message.digest and not entry.basis:
        return False
    said = bool(entry.digest or entry.remote or entry.sending)
    return entry.digest != message.digest and (said or not message.edits)
