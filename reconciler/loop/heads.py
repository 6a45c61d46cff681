"""The branch's heads: which one is followed, and the final states of superseded ones."""

from __future__ import annotations

from itertools import takewhile

from reconciler.errors import ReconcilerError, Transient
from reconciler.loop import unforeseen
from reconciler.loop.context import TurnContext
from reconciler.loop.forward import is_followed
from reconciler.loop.ledger import Ending
from reconciler.loop.stall_watchdog import FETCH
from reconciler.loop.turn import Anew
from reconciler.model.files import Commit
from reconciler.model.history import History
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason


class Heads:
    """The first part of a turn."""

    def __init__(self, context: TurnContext, host: str) -> None:
        self._context, self._ports, self._ledger, self._host = context, context.ports, context.ledger, host

    @property
    def history(self) -> History:
        return self._ledger.history

    def fetched(self) -> tuple[Commit, Transient | None]:
        """The branch's head; if it cannot be fetched, the last seen head, so that open work ends."""
        self._context.watchdog.begins(FETCH, "the remote")
        try:
            return self._ports.source.fetch(), None
        except Transient as error:
            if not self.history.seen:
                raise
            return self._last_seen(), error
        except (ReconcilerError, Anew):
            raise
        except Exception as error:
            return self._unread(error)

    def _unread(self, error: Exception) -> tuple[Commit, Transient | None]:
        """A fetched head that cannot be read. After enough tries it gets a verdict by its sha."""
        sha, seen = self._ports.source.fetched() or "", self.history.seen
        new = bool(sha) and (not seen or sha != seen[-1])
        if not new and not seen:
            raise error
        if sha in self.history.quarantined or (unforeseen.note(self._ledger, sha, error) and new):
            return _by_name(sha), None
        if not seen:
            raise unforeseen.fault(error) from error
        return self._last_seen(), unforeseen.fault(error)

    def _last_seen(self) -> Commit:
        """The newest head that was accepted. A mirror that was made anew may not have it: then only its name."""
        sha = self.history.seen[-1]
        try:
            return self._ports.source.commit(sha)
        except (ReconcilerError, Anew):
            raise
        except Exception:  # gone, or not readable
            return _by_name(sha)

    def recall(self) -> None:
        """The mirror's refs for good and quarantined commits; a new mirror gets them again."""
        pins, good = self._ports.source.pins(f"{self._host}/"), self.history.last_good
        self._ledger.recall(pins)
        if good is not None and f"{self._host}/good" not in pins:
            for bad in self.history.quarantined.values():
                self._context.states.pin_bad(bad.revision, bad.content)
            self._context.states.pin("good", good.revision)

    def accept(self, head: Commit) -> Commit:
        """The head; if it does not descend from the last accepted head, the last accepted head."""
        strict = self._context.options.require_fast_forward
        if is_followed(head.sha, self.history, self._ports.source, strict):
            self._see(head)
            return head
        return self._last_seen()

    def _see(self, head: Commit) -> None:
        """Remember each seen head; an interrupted attempt at an earlier one ends with it."""
        seen, last = self.history.seen, self.history.last
        new = not seen or seen[-1] != head.sha
        if new:
            self._ledger.append("seen", revision=head.sha)
            self._context.states.pin("head", head.sha)
        overtaken = last is not None and last.open and not last.quarantined and last.revision != head.sha
        # If it is not new, the process was killed after `seen` was recorded and before the attempt was ended.
        if last is not None and overtaken and (new or last.intent is Intent.ADVANCE):
            self._ledger.supersede(last, head)
        self._supersede_undecided(head)

    def _supersede_undecided(self, head: Commit) -> None:
        """Heads without a verdict are superseded. A pending rollback comes first."""
        last = self.history.last
        if last is not None and last.open:
            return
        undecided = takewhile(lambda sha: sha not in self.history.finals, reversed(self.history.seen))
        overtaken = [sha for sha in reversed(list(undecided)) if sha != head.sha]
        for revision in [sha for sha in overtaken if not self.history.was_decided(sha)]:
            message = f"{head.sha[:12]} came before it was decided"
            ending = Ending(Outcome.SUPERSEDED, Reason.SUPERSEDED, message, CommitState.SUPERSEDED)
            self._ledger.end(ending, revision, Intent.ADVANCE)


def _by_name(sha: str) -> Commit:
    return Commit(sha)
