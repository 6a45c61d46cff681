"""One turn: fetch the branch, decide, and bring the machine to a good commit, or roll back."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from reconciler.decide.policy import Go, Hold, next_move
from reconciler.errors import ENVIRONMENT, Away, Corrupt, Interrupted, ReconcilerError, RolloutFailed, Transient
from reconciler.loop import unforeseen
from reconciler.loop.context import context_of
from reconciler.loop.engine import note_engine
from reconciler.loop.grant_use import note_use
from reconciler.loop.heads import Heads
from reconciler.loop.keep import keep
from reconciler.loop.ledger import Ending, Ledger
from reconciler.loop.machine import Foreseen
from reconciler.loop.options import Options, Ports
from reconciler.loop.patience import Patience
from reconciler.loop.turn import Anew, Ended, Turn
from reconciler.model.files import Commit
from reconciler.model.history import History
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason
from reconciler.model.plan import Plan
from reconciler.waiting import listening

ERROR_DEADLINE = 3600.0
"""Seconds after which a commit that could not be judged is reported as an error: longer than any restart takes."""


TEND = 60.0
"""Seconds after which drift of last good is corrected although newer commits keep superseding each other."""


class Cycle:
    """Turns, one at a time. The process that calls this holds the state lock."""

    def __init__(self, ports: Ports, options: Options, ledger: Ledger) -> None:
        self._ports, self._options, self._ledger = ports, options, ledger
        self._context = context_of(ports, options, ledger)
        self._heads = Heads(self._context, options.host)
        self._defect = ""
        self._patience = Patience()
        self._all_told: History | None = None
        self._decided: Turn | None = None
        self._rewritten: Turn | None = None

    @property
    def history(self) -> History:
        return self._ledger.history

    @property
    def looked(self) -> ObservedState | None:
        """The observed state of the last turn, if it changed nothing afterwards."""
        return self._context.looked

    @property
    def decided(self) -> Turn | None:
        """The outcome of the turn, once it is known; drift of last good is corrected after that."""
        if self._decided is None or self._rewritten is None:
            return self._decided
        return _unless_done(self._decided, self._rewritten)

    @property
    def planned(self) -> Plan | None:
        """The last plan that the last turn made."""
        return self._context.planned

    @property
    def foreseen(self) -> Foreseen | None:
        """What the head would find on the machine, as the last turn saw it."""
        return self._context.foreseen

    def turn(self, *, patient: bool = False) -> Turn:
        """Take one turn. `patient`: wait out the delay after a fault of the environment.

        Faults of the machine, the remote or a commit never raise; raises Corrupt for our own state.
        """
        self._ledger.refresh()
        self._context.looked, self._context.planned, self._context.foreseen, self._decided = None, None, None, None
        with listening(self._context.attention.listen):
            try:
                self._context.handler.serve()
                turn = self._decide(patient)
            except Interrupted as error:
                turn = Turn(Outcome.INTERRUPTED, Reason.INTERRUPTED, error.message, hint=error.hint)
            except ENVIRONMENT as error:
                turn = Turn(Outcome.FAILED, error.reason, error.message, hint=error.hint)
            return self._ended(turn)

    def broken(self, error: Exception) -> Turn:
        """The outcome of a turn that ended with a defect of this program; recorded once while it stays the same."""
        message = f"{type(error).__name__}: {error}"
        turn = Turn(Outcome.FAILED, Reason.INTERNAL_ERROR, message, hint="this is a defect of reconciler: report it")
        if isinstance(error, Corrupt):
            turn = Turn(Outcome.HELD, error.reason, error.message, hint=error.hint, stalled=True)
        elif message != self._defect:
            with suppress(ReconcilerError):
                self._ledger.append("defect", message=message)
                self._defect = message
        self._context.watchdog.decided(turn)
        self._context.watchdog.rests()
        return turn

    def _ended(self, turn: Turn) -> Turn:
        self._context.watchdog.decided(turn)
        # If it cannot be recorded now, the next turn finds it missing and records it.
        with suppress(Transient, Interrupted):
            self._give_up_on(turn)
            self._tell()
            self._ledger.shorten()
            note_use(self._context)
            note_engine(self._context, turn)
        self._context.watchdog.rests()
        return turn

    def _decide(self, patient: bool) -> Turn:
        tended = self._ports.clock.monotonic()
        while True:
            head, fetch_error = self._heads.fetched()
            self._context.attention.decides(head)
            self._heads.recall()
            accepted = self._heads.accept(head)
            self._rewritten = rewritten = None if accepted.sha == head.sha else _rewritten(head, accepted)
            move = self._move(accepted, patient)
            try:
                turn = self._deal(accepted, move)
            except Anew as again:
                if not again.touched and self._ports.clock.monotonic() - tended >= TEND:
                    tended = self._ports.clock.monotonic()
                    self._keep_meanwhile(accepted, waiting=False)
                continue
            except (*ENVIRONMENT, RolloutFailed) as error:
                turn = _failed(error, accepted, move)
            for told, sha in ((turn, accepted.sha), *([(rewritten, head.sha)] if rewritten else ())):
                self._note_held(told, sha)
            if fetch_error is not None:
                return _without_the_head(turn, _failed(fetch_error, accepted, move))
            return _unless_done(turn, rewritten) if rewritten else turn

    def _note_held(self, turn: Turn, revision: str) -> None:
        """Records the hold of a commit, and its end. Holds that an attempt, a verdict or a request records already are
        skipped."""
        if turn.reason in (Reason.SUSPENDED, Reason.FETCH_FAILED, Reason.INTERRUPTED):
            return
        own = next((item for item in reversed(self.history.attempts) if item.revision == revision), None)
        told = revision in self.history.quarantined or (own is not None and own.outcome is Outcome.ROLLBACK_FAILED)
        told = told or (own is not None and (own.reason, own.message) == (turn.reason, turn.message))
        with suppress(Transient):
            if turn.outcome not in (Outcome.HELD, Outcome.FAILED):
                self._ledger.released(revision)
            elif turn.attempt is None and not told:
                self._ledger.held(turn, revision)

    def _move(self, head: Commit, patient: bool) -> Hold | Go:
        good = self.history.last_good
        # Without the journal only the sha of last good is known, and it passes its gate again.
        current = good is not None and good.content and self._ports.store.current(good.content)
        changed = good is not None and good.revision == head.sha and not current
        inputs = self._ports.preparer.inputs()
        move = next_move(
            head,
            self.history,
            inputs=inputs,
            inputs_changed=changed,
            now=self._ports.clock.now(),
            patient=patient,
        )
        trouble = self._ports.preparer.trouble()
        if trouble is not None and isinstance(move, Go) and move.intent is not Intent.REVERT:
            message = f"no commit is tried with such secrets, last good keeps running: {trouble.message}"
            return Hold(trouble.reason, message, trouble.hint)
        waits = self._patience.waits_for(self._tried(head, inputs), self._ports.clock.now()) if patient else None
        if waits is None or not _advances(move):
            return move
        turn, until = waits
        return Hold(turn.reason, turn.message, turn.hint or "it is tried again by itself", until)

    def _deal(self, head: Commit, move: Hold | Go) -> Turn:
        """After a rejected or held commit the machine is at last good, also if an earlier attempt was interrupted."""
        away = False
        try:
            turn = self._hold(head, move) if isinstance(move, Hold) else self._approach(head, move)
        except Ended as ended:
            turn = ended.turn
        except Transient as error:
            turn, away = _failed(error, head, move), isinstance(error, Away)
        except (ReconcilerError, Anew):
            raise
        except Exception as error:
            if not _advances(move):
                raise
            turn = self._unforeseen(head, move, error)
        self._decided = turn = self._with_warnings(turn, move)
        if turn.outcome is Outcome.FAILED and turn.attempt is None and _advances(move):
            tried = self._tried(head, self._ports.preparer.inputs())
            again = self._patience.failed(tried, turn, self._ports.clock.now())
            turn = replace(turn, again=again)
        waiting = isinstance(move, Hold) and move.until is not None and not move.untouched
        if waiting or (turn.outcome is Outcome.FAILED and not away):
            self._keep_meanwhile(head, waiting)
        untouched = isinstance(move, Hold) and (move.untouched or move.stalled or move.until is not None)
        if turn.outcome in (Outcome.HELD, Outcome.REJECTED) and not untouched:
            self._stay(head, turn)
        return turn

    def _with_warnings(self, turn: Turn, move: Hold | Go) -> Turn:
        """Adds warnings for a commit that is not tried, unless its violations contain them already."""
        judged, found = self._context.states.warned
        untried = turn.attempt is None and turn.outcome in (Outcome.HELD, Outcome.FAILED) and not turn.violations
        return replace(turn, warnings=found) if untried and _advances(move) and turn.revision == judged else turn

    def _unforeseen(self, head: Commit, move: Hold | Go, error: Exception) -> Turn:
        """The fault came before the attempt: the commit is tried again, or gets its verdict."""
        if not unforeseen.note(self._ledger, head.sha, error):
            return _failed(unforeseen.fault(error), head, move)
        message = f"it could not be judged {unforeseen.TRIES} times: {unforeseen.told(error)}"
        inputs = self._ports.preparer.inputs()
        ending = Ending(
            Outcome.REJECTED,
            Reason.INTERNAL_ERROR,
            message,
            CommitState.FAILURE,
            hint=unforeseen.refused(head.sha),
            inputs=inputs,
        )
        return self._ledger.end(ending, head.sha, Intent.ADVANCE)

    def _tried(self, head: Commit, inputs: str) -> tuple[str, int, str]:
        """What a failed judgement was about. If this changes (a new head, an operator's request, another config or
        other secrets), the head is judged again at once."""
        return head.sha, len(self.history.requests), inputs

    def _hold(self, head: Commit, move: Hold) -> Turn:
        last = self.history.last
        if move.reason is Reason.ROLLBACK_FAILED and last is not None:
            from reconciler.loop.repair import let_run

            let_run(self._context, last)
        return _held(head, move)

    def _keep_meanwhile(self, head: Commit, waiting: bool) -> None:
        """While the head cannot be judged, last good is kept running: drift is corrected, and an interrupted attempt is
        rolled back. If the failed step was a repair itself, it is not tried a second time."""
        last, good = self.history.last, self.history.last_good
        if good is None or last is None or last.open:
            return
        if waiting and last.outcome is Outcome.FAILED and last.intent is not Intent.ADVANCE:
            return
        with suppress(Transient):
            keep(self._context, head)

    def _stay(self, head: Commit, turn: Turn) -> None:
        if self.history.last_good is not None:
            keep(self._context, head)
        elif turn.outcome is Outcome.REJECTED or turn.reason is Reason.REVISION_QUARANTINED:
            from reconciler.loop.repair import clear

            clear(self._context)

    def _approach(self, head: Commit, move: Go) -> Turn:
        last = self.history.last
        if move.intent is Intent.REVERT and last is not None:
            from reconciler.loop.rollback import roll_back

            return roll_back(self._context, last)
        if move.intent is Intent.REPAIR:
            return self._kept(head, keep(self._context, head))
        from reconciler.loop.advance import advance

        return advance(self._context, head)

    def _kept(self, head: Commit, turn: Turn) -> Turn:
        """Without open work, the outcome is the suspension."""
        if turn.outcome is Outcome.UNCHANGED and self.history.suspended(self._ports.clock.now()):
            move = self._move(head, patient=False)
            return _held(head, move) if isinstance(move, Hold) else turn
        return turn

    def _give_up_on(self, turn: Turn) -> None:
        """A head that cannot be judged because of an environment fault gets its final state after ERROR_DEADLINE; tries
        go on."""
        last = self.history.last
        if last is not None and last.open:
            return  # it is quarantined, and its final state follows from the rollback
        seen = self.history.seen[-1] if self.history.seen else None
        suspension = self.history.suspension
        since = max(self.history.seen_at, (suspension.until if suspension else None) or 0.0)
        overdue = self._ports.clock.now() - since > ERROR_DEADLINE
        if turn.outcome is not Outcome.FAILED or not overdue or seen is None:
            return
        if seen not in self.history.finals and not self.history.was_decided(seen):
            ending = Ending(Outcome.FAILED, turn.reason, turn.message, CommitState.ERROR)
            self._ledger.end(ending, seen, Intent.ADVANCE)

    def _tell(self) -> None:
        """Report each final state on its commit. If the history is fully reported, it is not searched again."""
        self._ports.reporter.keep(self.history)
        if self.history is self._all_told:
            return
        untold = {sha: attempt for sha, attempt in self.history.finals.items() if sha not in self.history.told}
        for revision, attempt in untold.items():
            self._context.watchdog.begins(f"write the note of {revision[:12]}", "the remote")
            if self._ports.reporter.tell(attempt):
                self._ledger.append("told", revision=revision)
        if untold.keys() <= self.history.told:
            self._all_told = self.history


def _advances(move: Hold | Go) -> bool:
    return isinstance(move, Go) and move.intent is Intent.ADVANCE


def _held(head: Commit, hold: Hold) -> Turn:
    return Turn(
        Outcome.HELD,
        hold.reason,
        hold.message,
        head.sha,
        hint=hold.hint,
        until=hold.until,
        stalled=hold.stalled,
    )


def _failed(error: ReconcilerError, head: Commit, move: Hold | Go) -> Turn:
    intent = move.intent if isinstance(move, Go) else None
    return Turn(Outcome.FAILED, error.reason, error.message, head.sha, intent, hint=error.hint)


def _rewritten(head: Commit, accepted: Commit) -> Turn:
    return Turn(
        Outcome.HELD,
        Reason.NOT_FAST_FORWARD,
        f"the branch was rewritten: {head.sha[:12]} does not descend from {accepted.sha[:12]}",
        head.sha,
        hint=f"push a commit on top of what was there before, or `reconciler accept {head.sha[:12]}`",
    )


def _without_the_head(turn: Turn, instead: Turn) -> Turn:
    """The outcome, with the fetch error: the branch's present head is not known."""
    told = _unless_done(turn, instead)
    if told is turn and not turn.stalled:
        told = replace(turn, message=f"{turn.message}; {instead.message}")
    return replace(told, fetch_error=instead.message)


def _unless_done(turn: Turn, instead: Turn) -> Turn:
    """`turn` if it did something, or is a stall or a suspension; otherwise `instead` (the fetch error, or the rewritten
    branch)."""
    told = turn.stalled or turn.reason is Reason.SUSPENDED
    return instead if turn.outcome in (Outcome.UNCHANGED, Outcome.HELD) and not told else turn
