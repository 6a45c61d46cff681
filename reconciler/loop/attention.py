"""Ends a wait: at the end of the process, a suspension, or a newer commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from reconciler.errors import Interrupted, Transient
from reconciler.loop.ledger import Ledger
from reconciler.loop.options import Options
from reconciler.loop.ports import Clock
from reconciler.loop.request_handler import RequestHandler
from reconciler.loop.stall_watchdog import StallWatchdog
from reconciler.model.files import Commit
from reconciler.model.outcome import Reason
from reconciler.waiting import listening

if TYPE_CHECKING:
    from reconciler.loop.newer import Newer


class Attention:
    """`head`: the commit of this turn. `was_suspended`: whether the host was suspended when the turn was decided."""

    def __init__(
        self, ledger: Ledger, handler: RequestHandler, options: Options, watchdog: StallWatchdog, clock: Clock
    ) -> None:
        self._ledger, self._handler, self._options, self._watchdog = ledger, handler, options, watchdog
        self._clock = clock
        self._newer: Newer | None = None
        self.head = ""
        self.was_suspended = False

    def decides(self, head: Commit) -> None:
        """Set the commit of this turn."""
        self.head, self.was_suspended = head.sha, self.suspended()

    def suspended(self) -> bool:
        return self._ledger.history.suspended(self._clock.now()) is not None

    @contextmanager
    def watching(self, newer: Newer) -> Iterator[None]:
        """Within this context, a newer commit or a suspension may end a wait."""
        before, self._newer = self._newer, newer
        try:
            yield
        finally:
            self._newer = before

    def listen(self) -> None:
        """Called by every wait of a turn. Raises Interrupted or Anew."""
        self._options.seen()
        self.attend()
        if self._newer is not None:
            with listening(self.attend):
                self._newer.look()

    def pulse(self) -> None:
        """As `listen`, for the health gate. Its wait counts as progress, because it has deadlines of its own."""
        self._watchdog.heard()
        self.listen()

    def attend(self) -> None:
        """Raises if the process must end, or a suspension may begin. A newer commit is ignored here, as between a stop
        and a start. A suspension begins only while nothing is stopped."""
        self._heed_end()
        working = self._newer is not None and self._newer.touched
        with suppress(Transient), listening(self._heed_end):
            self._handler.serve(working=working)
        if self._newer is not None:
            self._newer.heed_suspension()

    def _heed_end(self) -> None:
        if self._options.stopping():
            raise Interrupted(Reason.INTERRUPTED, "asked to end; what runs is left as it is", "the next start goes on")
