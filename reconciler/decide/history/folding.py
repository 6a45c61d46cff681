"""The journal's records, folded into a History. Pure: the same records give the same history.

| kind | says |
|---|---|
| seen | a commit was head at a poll |
| started | an attempt began, with its `warnings`, if any |
| prepared | the attempt's content is known, and its images and containers are ready |
| warned | another warning of the attempt: a volume that somebody removed is made anew, empty |
| planned | the plan of the attempt, for reports about the commit |
| made | an attempt begins to use empty volumes and data folders; what it writes counts once a good commit uses them |
| proven | last good uses some of these: their data count from now on |
| condemned | the verdict: the commit is quarantined. The rollback begins |
| ended | an attempt is over, or a commit was decided without one; `final`: its one final state |
| closed | the leftovers of attempts are removed |
| fetched | an image was pulled or built |
| asked | a commit is held because it would take over objects, or hide data; `accept` consents to exactly these |
| held, released | a condition holds a commit before any attempt; the condition has ended |
| adopted | containers that plain Compose started are adopted; which spec each stands for, and the rollback state |
| ranonce | a one-shot has succeeded: it is not run again |
| healed | a failed or unhealthy service is started again; after five starts within ten minutes we give up |
| unstarted | such a start failed, and the service is not the cause: it does not count |
| recovered | a service that we gave up has been healthy for ten minutes: its restart backoff begins anew |
| tolerated | a difference remained after its correction: the engine makes containers so; it is drift no longer |
| unstartable | a container that had run cannot be started any more: it is replaced |
| stopped | a rollout stops a running container that looks like a one-shot (no restart policy, ports or health check) |
| recalled | the journal was lost; the mirror's refs say that a commit was quarantined, or was good |
| told | the commit's note has its final state |
| silent | five minutes without progress or success; only a report, it changes no decision |
| defect | an error of this program; the third one before a commit's verdict is its verdict |
| engine | what the engine is and can do; recorded when that changes |
| requested | an operator's request (suspend, resume, retry, accept), and the answer |
"""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from reconciler.decide.drift.restart_backoff import not_started, started_again
from reconciler.decide.drift.wanted_facts import OF_MEMORY
from reconciler.decide.history.fold_attempts import OF_ATTEMPTS
from reconciler.decide.history.fold_requests import requested
from reconciler.decide.history.fold_state import FoldState, Record, quarantine, time_of, warning_of
from reconciler.errors import Corrupt
from reconciler.model.engine import engine_of
from reconciler.model.history import Adopted, Good, Held, History, RestartBackoff
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.stock import Fetched

MANY = 1000
"""Records."""


class Fold(FoldState):
    """Folds one record after the other."""

    def add(self, record: Record) -> None:
        """Fold in the next record. An unknown kind changes nothing.

        Corrupt if the record lacks a field of its kind, as after an edit by hand.
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
                "keep a copy of journal.jsonl, then fix or delete that line; each line records a change of the machine",
            ) from error


class Following:
    """The history of a growing journal: each time only the new records are folded in."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._taken = 0
        self._latest: Record | None = None
        self.history = self._fold.history()

    def take(self, records: Sequence[Record]) -> bool:
        """Fold in the journal's new records. False if the journal was deleted or replaced since the last call, so that
        all of it was folded again.
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
    """Fold all records."""
    following = Following()
    following.take(records)
    return following.history


@contextmanager
def _nothing_is_garbage(number: int) -> Iterator[None]:
    """Switches the garbage collector off: all objects of the fold stay, and scanning them takes half of the time."""
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
    """Adopted containers. With `content` they are also the rollback state.

    Outside of attempts they were adopted for last good, which has passed its gate already.
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


def _made(state: FoldState, record: Record) -> None:
    state.unproven |= set(record["places"])


def _proven(state: FoldState, record: Record) -> None:
    state.unproven -= set(record["places"])


def _engine(state: FoldState, record: Record) -> None:
    """Once the engine enforces limits, those that it has dropped before are drift."""
    found = engine_of(record)
    if found is not None and found.limits and not (state.engine and state.engine.limits):
        state.tolerated = {item for item in state.tolerated if item[1] not in OF_MEMORY}
    state.engine = found


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
    "made": _made,
    "proven": _proven,
    "engine": _engine,
}
