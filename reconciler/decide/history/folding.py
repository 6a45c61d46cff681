"""The journal's records, folded into a History. Pure: the same records give the same history.

| kind | says |
|---|---|
| seen | a commit was head at a poll |
| started, prepared | an attempt began, with `warnings`, if any; its content is known and everything of it is ready |
| warned | what else an attempt is warned about: a volume that somebody removed is made anew, empty |
| planned | what the attempt sets out to do, for those who are told of the commit |
| condemned | the verdict: never again. The rollback begins |
| ended | an attempt is over, or a commit was decided without one; `final`: its one final state |
| closed | what attempts had left is tidied up |
| fetched | an image was brought to the machine |
| asked | a commit is held for what it would take over, or take out of sight; `accept` consents to just that |
| held, released | what keeps a commit from being tried, found before an attempt at it; it does no longer |
| adopted | containers that plain Compose had started are ours from now on, as what; what there is to go back to |
| ranonce | a one-shot has succeeded: it is not run again |
| healed | a service that ended or ailed by itself is started again; after five within ten minutes it is left alone |
| unstarted | such a start did not come about, and the service is not to blame: it does not count |
| recovered | a service that was left alone has worked by itself for ten minutes: it is looked after again |
| tolerated | a difference outlived its own repair: this engine makes containers so, and it is not corrected for ever |
| unstartable | a container that had run does not start any more: another one takes its place |
| stopped | a rollout stops a container that runs, and that has no more to say that it is to go on than a one-shot has |
| recalled | a journal that was lost knew that a commit is bad, or was good: the mirror has told it |
| told | the final state stands on the commit |
| silent | five minutes without progress or success. For people: nothing follows from it |
| defect | an error of ours; the third one that a commit meets before it is decided is the verdict on it |
| requested | an operator asked for something (suspend, resume, retry, accept), and what was answered |
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from reconciler.decide.drift.restart_backoff import not_started, started_again
from reconciler.decide.history.fold_attempts import OF_ATTEMPTS
from reconciler.decide.history.fold_requests import requested
from reconciler.decide.history.fold_state import FoldState, Record, quarantine, time_of, warning_of
from reconciler.errors import Corrupt
from reconciler.model.history import Adopted, Good, Held, History, RestartBackoff
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.stock import Fetched

MANY = 1000
"""Records."""


class Fold(FoldState):
    """Takes one record after the other."""

    def add(self, record: Record) -> None:
        """Fold in the next record. A kind that this version does not know changes nothing it knows.

        Corrupt where the record lacks what its kind tells, as after an edit by hand.
        """
        handler = _HANDLERS.get(record["kind"])
        if handler is None:
            return
        try:
            handler(self, record)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            raise Corrupt(
                Reason.STALLED,
                f"the journal's record '{record['kind']}' of {record['at']} cannot be understood: {error!r}",
                "keep a copy of journal.jsonl, then fix or delete that line: it says what was done to the machine",
            ) from error


class Following:
    """The history of a journal that grows: each time only what was added is folded in."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._taken = 0
        self._latest: Record | None = None
        self.history = self._fold.history()

    def take(self, records: Sequence[Record]) -> bool:
        """Take in all that the journal tells now. False where it was deleted or replaced since the last time, so that
        all of it was folded anew.
        """
        same = len(records) >= self._taken and (not self._taken or records[self._taken - 1] is self._latest)
        if not same:
            self._fold, self._taken, self._latest = Fold(), 0, None
        if len(records) > self._taken or not same:
            with _nothing_is_garbage(len(records) - self._taken):
                for record in itertools.islice(records, self._taken, None):
                    self._fold.add(record)
                    self._taken, self._latest = self._taken + 1, record
            self.history = self._fold.history()
        return same


def fold(records: Sequence[Record]) -> History:
    """Everything that the journal tells."""
    following = Following()
    following.take(records)
    return following.history


@contextmanager
def _nothing_is_garbage(number: int) -> Iterator[None]:
    """All that is made of records stays. Looking for garbage in it again and again takes half of the time."""
    if number < MANY or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _fetched(state: FoldState, record: Record) -> None:
    state.fetched.pop(record["image"], None)
    state.fetched[record["image"]] = Fetched(record["revision"], tuple(record["names"]))


def _adopted(state: FoldState, record: Record) -> None:
    """Containers that were there before us. With `content` they are also what there is to go back to.

    Outside of attempts it is last good that they were recognised for, which is proven already.
    """
    kept = state.good is not None and state.good.revision and not state.open
    for name, item in record["containers"].items():
        mounts = {target: (kind, source, bool(rw)) for target, (kind, source, rw) in item["mounts"].items()}
        proven = bool(kept) or (name in state.adopted and state.adopted[name].proven)
        state.adopted[name] = Adopted(item["stack"], item["spec"], mounts, item["image"], proven)
    state.links |= record["links"]
    state.stacks |= set(record["stacks"])
    if record.get("content"):
        state.good = Good(state.good.revision if state.good else "", record["content"], time_of(record))


def _asked(state: FoldState, record: Record) -> None:
    state.asked[record["revision"]] = frozenset(record["objects"])


def _held(state: FoldState, record: Record) -> None:
    state.held.append(
        Held(
            record["revision"],
            Outcome(record["outcome"]),
            Reason(record["reason"]),
            record["message"],
            record["hint"],
            time_of(record),
            warnings=tuple(map(warning_of, record.get("warnings", ()))),
        )
    )


def _released(state: FoldState, record: Record) -> None:
    state.release(time_of(record), record["revision"])


def _ran_once(state: FoldState, record: Record) -> None:
    state.ran_once.add(record["spec"])


def _restarted(state: FoldState, record: Record) -> None:
    key = (record["stack"], record["service"])
    state.backoffs[key] = started_again(state.backoffs.get(key, RestartBackoff()), time_of(record))


def _unstarted(state: FoldState, record: Record) -> None:
    key = (record["stack"], record["service"])
    if key in state.backoffs:
        state.backoffs[key] = not_started(state.backoffs[key])


def _recovered(state: FoldState, record: Record) -> None:
    state.backoffs.pop((record["stack"], record["service"]), None)


def _tolerated(state: FoldState, record: Record) -> None:
    state.tolerated.add((record["spec"], record["fact"], record["found"]))


def _unstartable(state: FoldState, record: Record) -> None:
    state.unstartable.add(record["container"])


def _stopped(state: FoldState, record: Record) -> None:
    state.stopped[record["container"]] = record["started"]


def _recalled(state: FoldState, record: Record) -> None:
    if record["bad"]:
        quarantine(state, record, Reason.REVISION_QUARANTINED)
    else:
        state.good = state.good or Good(record["revision"], "", time_of(record))


def _defect(state: FoldState, record: Record) -> None:
    revision = record.get("revision")
    if revision is not None:
        state.defects[revision] = state.defects.get(revision, 0) + 1


def _told(state: FoldState, record: Record) -> None:
    state.told.add(record["revision"])
    state.told_at = time_of(record)


_HANDLERS: Mapping[str, Callable[[FoldState, Record], None]] = {
    **OF_ATTEMPTS,
    "fetched": _fetched,
    "ranonce": _ran_once,
    "told": _told,
    "defect": _defect,
    "recalled": _recalled,
    "requested": requested,
    "asked": _asked,
    "held": _held,
    "released": _released,
    "adopted": _adopted,
    "healed": _restarted,
    "unstarted": _unstarted,
    "recovered": _recovered,
    "tolerated": _tolerated,
    "unstartable": _unstartable,
    "stopped": _stopped,
}
