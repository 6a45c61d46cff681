"""What is answered to an operator's request. Nothing is done here: the answer is recorded, and the next move follows
from the record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from reconciler.decide.policy import UNENDED_LIMIT
from reconciler.model.history import History
from reconciler.model.outcome import Outcome
from reconciler.model.requests import Request, RequestVerb

SHORT = 12
LEAST = 4
"""Characters of a sha that may stand for it; git's own least."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`done` False: refused, and nothing changed. `lifted`: commits that are not refused any more."""

    done: bool
    message: str
    hint: str = ""
    revision: str | None = None
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What a request is judged by. `head`: the branch's head as fetched last, accepted or not.

    `resolved`: the full sha of the commit that was named. `working`: a rollout is under way in this process.
    """

    history: History
    head: str | None
    resolved: str | None
    working: bool
    now: float


def full_sha(revision: str, history: History) -> str | None:
    """The newest commit of the history whose sha begins so; None where there is none."""
    if len(revision) < LEAST:
        return None
    known = [*history.quarantined, *history.seen]
    return next((sha for sha in reversed(known) if sha.startswith(revision)), None)


def answer(request: Request, known: Known) -> Reply:
    """Total: every request has an answer."""
    return _ANSWERS[request.verb](request, known)


def _suspend(request: Request, known: Known) -> Reply:
    if request.until is not None and request.until <= known.now:
        return Reply(False, "that time is over already", "ask again, with a longer --for")
    if known.working:
        return Reply(True, "suspended as soon as the rollout that is under way has ended")
    return Reply(True, "suspended: nothing is changed on the machine", "`reconciler resume` ends it")


def _resume(request: Request, known: Known) -> Reply:
    if known.history.suspended(known.now) is None:
        return Reply(True, "it was not suspended")
    return Reply(True, "resumed")


def _retry(request: Request, known: Known) -> Reply:
    revision, history = known.resolved, known.history
    if revision is None:
        return _unknown(request)
    last = history.last
    if last is not None and last.open and last.revision == revision and (known.working or last.condemned):
        what = "taken back" if last.condemned else "tried"
        return Reply(False, f"{revision[:SHORT]} is being {what} just now", "ask again once that has ended", revision)
    bad = history.quarantined.get(revision)
    if bad is not None:
        same = [item.revision for item in history.quarantined.values() if bad.content and item.content == bad.content]
        lifted = tuple(dict.fromkeys([revision, *same]))
        return Reply(True, f"{revision[:SHORT]} is not refused any more ({bad.reason})", "", revision, lifted)
    if revision in (known.head, history.seen[-1] if history.seen else None):
        return Reply(True, _what_ends(history), "", revision, (revision,))
    return Reply(
        False,
        f"{revision[:SHORT]} was not refused, and is not the branch's head",
        "`reconciler status` names the commits that are refused; any other is tried once it is the head",
        revision,
    )


def _what_ends(history: History) -> str:
    last = history.last
    if history.unended >= UNENDED_LIMIT or (last is not None and last.outcome is Outcome.ROLLBACK_FAILED):
        return "not stalled any more: it is tried again"
    return "it is tried again at once, whatever it was waiting for"


def _accept(request: Request, known: Known) -> Reply:
    revision, history = known.resolved, known.history
    if revision is None:
        return _unknown(request)
    last = history.last
    if last is not None and last.outcome is Outcome.ROLLBACK_FAILED and last.revision == revision:
        return Reply(True, f"what runs since the way back from {revision[:SHORT]} failed is accepted", "", revision)
    if revision in history.quarantined:
        hint = f"`reconciler retry {revision[:SHORT]}` has it tried again"
        return Reply(False, f"{revision[:SHORT]} was refused, not held", hint, revision)
    if revision not in (known.head, history.seen[-1] if history.seen else None):
        hint = "accept the commit that `reconciler status` says is held"
        return Reply(False, f"{revision[:SHORT]} is not the branch's head", hint, revision)
    asked = history.asked.get(revision, frozenset()) - history.consented
    if asked:
        return Reply(True, f"{revision[:SHORT]} may pass what holds it: {', '.join(sorted(asked))}", "", revision)
    if history.last_good is not None and history.last_good.revision == revision:
        return Reply(False, f"{revision[:SHORT]} runs already: nothing holds it", "", revision)
    nothing = _nothing_holds(history, revision, known.working)
    if nothing is not None:
        return Reply(False, nothing, f"`reconciler retry {revision[:SHORT]}` has it tried at once", revision)
    hint = "it is suspended, too: `reconciler resume` ends that" if history.suspended(known.now) else ""
    return Reply(True, f"{revision[:SHORT]} may pass what holds it, or would hold it", hint, revision)


def _nothing_holds(history: History, revision: str, working: bool) -> str | None:
    """What becomes of a head that waits for nobody's consent; None where it may be held."""
    last, short = history.last, revision[:SHORT]
    if history.unended >= UNENDED_LIMIT:
        return f"{short} is stalled, not held: {history.unended} attempts began and never ended"
    if last is None or last.revision != revision:
        return None
    if last.open and working:
        return f"{short} is being tried just now: nothing holds it"
    if last.outcome is Outcome.FAILED:
        return f"nothing holds {short}: the last attempt met {last.reason}, and it is tried again by itself"
    return None


def _unknown(request: Request) -> Reply:
    return Reply(
        False,
        f"no commit is known as {request.revision}",
        "name a commit of the watched branch by its sha or its beginning; one that was not fetched yet is not known",
    )


_ANSWERS: Mapping[RequestVerb, Callable[[Request, Known], Reply]] = {
    RequestVerb.SUSPEND: _suspend,
    RequestVerb.RESUME: _resume,
    RequestVerb.RETRY: _retry,
    RequestVerb.ACCEPT: _accept,
}
