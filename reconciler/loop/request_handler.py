"""Answers operators' requests one after the other, in the process that holds the state lock."""

from __future__ import annotations

from reconciler.decide.history.requests import Known, answer, full_sha
from reconciler.loop.forward import is_followed
from reconciler.loop.ledger import Ledger
from reconciler.loop.ports import Clock, Requests, Source
from reconciler.model.requests import Request
from reconciler.model.times import rfc3339


class RequestHandler:
    """The acting thread may call `serve` at any time; it changes the journal and the mirror's refs, never the
    machine."""

    def __init__(
        self, ledger: Ledger, source: Source, requests: Requests, clock: Clock, host: str, require_fast_forward: bool
    ) -> None:
        self._ledger, self._source, self._requests, self._clock, self._host = ledger, source, requests, clock, host
        self._require_fast_forward = require_fast_forward

    def serve(self, *, working: bool = False) -> None:
        """Answer all waiting requests. `working`: a rollout is running in this process."""
        waiting = self._requests.waiting()
        if waiting:
            self._ledger.recall(self._source.pins(f"{self._host}/"))
        for request in waiting:
            if all(item.id != request.id for item in self._ledger.history.requests):
                self._answer(request, working)
            self._unpin()
            self._requests.remove(request)

    def _answer(self, request: Request, working: bool) -> None:
        history = self._ledger.history
        resolved = None
        if request.revision:
            resolved = full_sha(request.revision, history) or self._source.find(request.revision)
        head = self._source.fetched()
        followed = head is None or is_followed(head, history, self._source, self._require_fast_forward)
        known = Known(history, head, resolved, working, self._clock.now(), followed)
        reply = answer(request, known)
        self._ledger.append(
            "requested",
            request=request.id,
            verb=request.verb,
            done=reply.done,
            message=reply.message,
            hint=reply.hint,
            revision=reply.revision,
            why=request.why,
            until=_moment(request.until),
            lifted=list(reply.lifted),
        )

    def _unpin(self) -> None:
        """Update the mirror's refs from the journal."""
        for revision in self._ledger.history.lifted:
            for name in self._source.pins(f"{self._host}/bad/{revision}/"):
                self._source.unpin(name)


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
