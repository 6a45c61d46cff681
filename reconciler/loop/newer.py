"""In the middle of a rollout: is there a newer commit, and does it take over?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError, Transient
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Superseded
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.outcome import Intent

if TYPE_CHECKING:
    from reconciler.loop.bench import Bench


class Newer:
    """While a rollout waits: was the process asked to end, and is there a newer commit?"""

    def __init__(self, bench: Bench, attempt: Attempt) -> None:
        self._bench, self._attempt = bench, attempt
        self._looked_at = bench.ports.clock.monotonic()

    def pulse(self, rollout: Rollout) -> None:
        """Called while the rollout waits. Interrupted or Superseded where it is to end."""
        self._bench.listener.heard()
        self._bench.attend()
        now = self._bench.ports.clock.monotonic()
        suspended = self._bench.book.history.suspended(self._bench.ports.clock.now())
        forward = self._attempt.intent is Intent.ADVANCE and not self._attempt.condemned and not suspended
        if not forward or (now - self._looked_at < self._bench.options.interval and not self._bench.options.pushed()):
            return
        self._looked_at = now
        try:
            head = self._bench.ports.source.fetch()
            forward = head.sha != self._attempt.revision and self._bench.is_forward(head)
        except Transient:
            return
        if forward and self._overtakes(head, rollout):
            raise Superseded(head)

    def _overtakes(self, head: Commit, rollout: Rollout) -> bool:
        """Before the first stop the newest commit wins; after it, where it changes what is still to be proven."""
        if not rollout.touched:
            return True
        ports = self._bench.ports
        try:
            prepared = ports.preparer.prepare(self._bench.files(head.sha))
        except ReconcilerError:
            return False
        if prepared.denied:
            return False
        newest = self._bench.lower(prepared, ports.images.local(prepared.wants), head.sha).services()
        current = rollout.specs()
        return any(key not in newest or newest[key].spec != current[key] for key in rollout.unproven())
