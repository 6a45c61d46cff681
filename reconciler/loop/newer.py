"""Decides during a wait whether a newer commit or a suspension takes over.

Before the first stop or start (a trial does not count) a newer commit or a suspension takes over at once. After it a
service may be down. Then a newer commit takes over only if it is valid and changes a service that is not proven yet;
the same planner plans from the observed state. A suspension waits for the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError, Transient
from reconciler.loop.forward import is_followed
from reconciler.loop.known_images import local_images
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.rollout import Rollout
from reconciler.loop.turn import Anew, Superseded
from reconciler.model.desired import ServiceKey
from reconciler.model.files import Commit
from reconciler.model.history import Attempt
from reconciler.model.outcome import Intent, Outcome, Reason

if TYPE_CHECKING:
    from reconciler.loop.context import TurnContext

BACK_FIRST = 60.0
"""Seconds in which no newer commit interrupts a rollback. Most rollbacks end within that time. Later a newer commit
may, because a rollback can wait in a gate for ever."""


class Newer:
    """The work that a newer commit might end. `rollout` None: nothing is created yet."""

    def __init__(self, context: TurnContext, intent: Intent = Intent.ADVANCE, rollout: Rollout | None = None) -> None:
        self._context, self._intent, self._rollout = context, intent, rollout
        self._began = self._looked_at = context.ports.clock.monotonic()
        self._specs: dict[str, Mapping[ServiceKey, str] | None] = {}

    @property
    def touched(self) -> bool:
        """Whether a service may be down until this ends."""
        return self._intent is Intent.REVERT or (self._rollout is not None and self._rollout.touched)

    def look(self) -> None:
        """Superseded where a newer commit takes over."""
        context, now = self._context, self._context.ports.clock.monotonic()
        if context.attention.suspended() or (self._intent is Intent.REVERT and now - self._began < BACK_FIRST):
            return
        if now - self._looked_at < context.options.interval and not context.options.pushed():
            return
        self._looked_at = now
        try:
            head = context.ports.source.fetch()
            newer = head.sha != context.attention.head and is_followed(
                head.sha, context.ledger.history, context.ports.source, context.options.require_fast_forward
            )
        except Transient:
            return
        if newer and (not self.touched or self._changes_what_is_unproven(head)):
            raise Superseded(head, self.touched)

    def heed_suspension(self) -> None:
        """Raises Anew if the suspension may begin now."""
        if not self.touched and self._context.attention.suspended() and not self._context.attention.was_suspended:
            raise Anew("suspended")

    def _changes_what_is_unproven(self, head: Commit) -> bool:
        newest = self._newest(head)
        if newest is None or self._rollout is None:
            return False
        current = self._rollout.specs()
        return any(newest.get(key) != current.get(key) for key in self._rollout.unproven())

    def _newest(self, head: Commit) -> Mapping[ServiceKey, str] | None:
        """The commit's desired services; None if it is not admitted. Judged once."""
        if head.sha not in self._specs:
            ports = self._context.ports
            try:
                prepared = ports.preparer.prepare(ports.source.files(head.sha))
                specs = None
                if not prepared.denied:
                    images = local_images(self._context.ports, self._context.ledger, prepared, head.sha)
                    lowered = ports.preparer.lower(prepared, images, head.sha)
                    specs = {key: service.spec for key, service in lowered.services().items()}
            except (ReconcilerError, KeyError):
                return None
            self._specs[head.sha] = specs
        return self._specs[head.sha]


def give_way(ledger: Ledger, attempt: Attempt, why: Anew) -> None:
    """Ends the open attempt, if any, because of a newer commit or a suspension."""
    if not ledger.attempt(attempt.id).open:
        return
    if isinstance(why, Superseded):
        ledger.supersede(attempt, why.head)
    else:
        message = "suspended before anything was stopped; it is tried again after that"
        ending = Ending(Outcome.INTERRUPTED, Reason.SUSPENDED, message)
        ledger.end(ending, attempt.revision, attempt.intent, attempt.id)
