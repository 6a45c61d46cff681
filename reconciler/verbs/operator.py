"""`suspend`, `resume`, `retry`, `accept`: a request to the holder of the state lock, which may be this process."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from reconciler.errors import Locked
from reconciler.loop.ports import Journal
from reconciler.loop.request_handler import RequestHandler
from reconciler.model.requests import Answered, RequestVerb
from reconciler.record import summary
from reconciler.record.requests import RequestBox
from reconciler.verbs import Answer

PATIENCE = 10.0
"""Seconds to wait for a running agent; it reads requests between the steps of a rollout, too."""
PAUSE = 0.1

WAITING = "the agent reads requests between two steps, and has not answered yet: see `reconciler history`"


class Operator:
    """Requests always go through the folder, even if no agent runs, so that there is one way to answer them.

    `serving`: holds the state lock and gives the request handler while nobody else has the lock; raises Locked
    otherwise.
    """

    def __init__(
        self, requests: RequestBox, journal: Journal, serving: Callable[[], AbstractContextManager[RequestHandler]]
    ) -> None:
        self._requests, self._journal, self._serving = requests, journal, serving

    def ask(
        self, verb: RequestVerb, revision: str = "", why: str = "", until: float | None = None, wait: bool = True
    ) -> Answer:
        """Put a request into the folder, and wait for its answer unless `wait` is False. `until`: seconds of the Unix
        epoch."""
        name = self._requests.leave(verb, revision, why, until)
        deadline = time.monotonic() + PATIENCE
        while True:
            served = self._serve()
            answered = self._answered(name)
            if answered is not None:
                return (0 if answered.done else 1), summary.request(answered)
            if served or not wait or time.monotonic() > deadline:
                asked = Answered(name, verb, False, time.time(), WAITING, "", None, why, until)
                return (Locked.exit_code if wait else 0), summary.request(asked, waiting=True)
            time.sleep(PAUSE)

    def _serve(self) -> bool:
        """Answer all waiting requests, if nobody else holds the state lock. Returns whether that was so."""
        try:
            with self._serving() as handler:
                handler.serve()
        except Locked:
            return False
        return True

    def _answered(self, name: str) -> Answered | None:
        from reconciler.decide.history.folding import fold

        return next((item for item in reversed(fold(self._journal.records()).requests) if item.id == name), None)
