"""`notify test`: sends one notification to each target and shows the answers. Needs neither engine nor state."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.errors import Usage
from reconciler.formats.targets import shown
from reconciler.model.outcome import Reason
from reconciler.record import summary
from reconciler.report.courier import Courier
from reconciler.report.notice_text import trial
from reconciler.settings import NotifySettings
from reconciler.verbs import Answer


def test_targets(host: str, targets: Sequence[NotifySettings], courier: Courier) -> Answer:
    """Send to one target after the other, each with a time limit. Usage if the agent config has no targets."""
    if not targets:
        hint = "add one, like notify: [{url: 'ntfys://ntfy.example.org/topic'}]; see docs/notifications.md"
        raise Usage(Reason.USAGE_INVALID, "the agent config has no `notify`", hint)
    text = trial(host)
    found = [(shown(item.url), *courier.send(item.url, text.title, text.body, "success")) for item in targets]
    return (0 if all(ok for _, ok, _ in found) else 1), summary.notify_test(found)
