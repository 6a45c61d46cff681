"""Answers an operator's request. The answer is only recorded; the next move follows from the record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from reconciler.decide.policy import UNENDED_LIMIT
from reconciler.model.history import History
from reconciler.model.outcome import Outcome
from reconciler.model.requests import Request, RequestVerb
from reconciler.values import dataclass

SHORT = 12
LEAST = 4
"""Least characters of an abbreviated sha, as in git."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`done` False: refused, and nothing changed. `lifted`: commits that are no longer quarantined."""

    done: bool
    message: str
    hint: str = ""
    revision: str | None = None
    lifted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The inputs of an answer. `head`: the branch's head as fetched last, accepted or not.

    `resolved`: the full sha of the given commit. `working`: a rollout runs in this process. `forward`: the head
    descends from the commit that was followed before it, or was accepted.
    """

    history: History
    head: str | None
    resolved: str | None
    working: bool
    now: float
    forward: bool = True

    def is_head(self, revision: str) -> bool:
        """Whether it is the branch's head, or the followed one."""
        return revision in (self.head, self.history.seen[-1] if self.history.seen else None)

    def is_rewritten(self, revision: str) -> bool:
        """Whether it is held because the branch was rewritten."""
        return revision == self.head and not self.forward

    @property
    def suspended(self) -> str:
        """Other holds that remain after a granted request."""
        return "it is suspended, too: `reconciler resume` ends that" if self.history.suspended(self.now) else ""


def full_sha(revision: str, history: History) -> str | None:
    """The newest commit of the history whose sha starts so; None if there is none."""
    if len(revision) < LEAST:
        return None
    known = [*history.quarantined, *history.seen]
    return next((sha for sha in reversed(known) if sha.startswith(revision)), None)


def answer(request: Request, known: Known) -> Reply:
    """Total: every request has an answer."""
    return _ANSWERS[request.verb](request, known)


def _suspend(request: Request, known: Known) -> Reply:
    history = known.history
    if request.until is not None and request.until <= known.now:
        return Reply(False, "that time is over already", "ask again, with a longer --for")
    if known.working:
        return Reply(True, "suspended as soon as the rollout that is under way has ended")
    # Before its content is known, an attempt touches nothing.
    cut_off = any(item.content is not None and (item.open or not item.closed) for item in history.attempts)
    if cut_off and history.last_good is not None:
        message = "suspended as soon as the interrupted rollout is rolled back to last good"
        return Reply(True, message, "`reconciler resume` ends it")
    return Reply(True, "suspended: nothing is changed on the machine", "`reconciler resume` ends it")


def _resume(request: Request, known: Known) -> Reply:
    if known.history.suspended(known.now) is None:
        return Reply(True, "it was not suspended")
    return Reply(True, "resumed")


def _retry(request: Request, known: Known) -> Reply:
    revision, history = known.resolved, known.history
    if revision is None:
        return _unknown(request)
    short, last = revision[:SHORT], history.last
    if last is not None and last.open and last.revision == revision and (known.working or last.quarantined):
        what = "rolled back" if last.quarantined else "tried"
        return Reply(False, f"{short} is being {what} just now", "ask again once that has ended", revision)
    bad = history.quarantined.get(revision)
    if bad is not None:
        same = [item.revision for item in history.quarantined.values() if bad.content and item.content == bad.content]
        lifted = tuple(dict.fromkeys([revision, *same]))
        hints = [known.suspended]
        if known.is_rewritten(revision):
            hints.insert(0, f"the branch was rewritten, too: `reconciler accept {short}` lets it pass")
        elif not any(known.is_head(sha) for sha in lifted):
            hints.insert(0, "it is tried when it is the branch's head")
        return Reply(True, f"{short} is not refused any more ({bad.reason})", _joined(hints), revision, lifted)
    if known.is_rewritten(revision):
        hint = f"`reconciler accept {short}` lets it pass"
        return Reply(False, f"{short} was not refused: it is held, since the branch was rewritten", hint, revision)
    if history.last_good is not None and history.last_good.revision == revision:
        return _retry_last_good(revision, known)
    if known.is_head(revision):
        message, hint = _what_ends(revision, history)
        return Reply(True, message, _joined([hint, known.suspended]), revision, (revision,))
    return Reply(
        False,
        f"{short} was not refused, and is not the branch's head",
        "`reconciler status` names the commits that are refused; any other is tried once it is the head",
        revision,
    )


def _retry_last_good(revision: str, known: Known) -> Reply:
    """The running commit is not rolled out again. Its given-up services and failed corrections are tried again."""
    history = known.history
    if not (history.unended or history.faults or history.backoffs):
        message = f"{revision[:SHORT]} runs already: nothing keeps it from being tried"
        return Reply(False, message, known.suspended, revision)
    message = f"{revision[:SHORT]} its delays are over, and services that we gave up are started again"
    return Reply(True, message, known.suspended, revision)


def _what_ends(revision: str, history: History) -> tuple[str, str]:
    """The answer for a head that is delayed or held, but not rejected; with the holds that `retry` does not end."""
    last = history.last
    if history.unended >= UNENDED_LIMIT or (last is not None and last.outcome is Outcome.ROLLBACK_FAILED):
        return "not stalled any more: it is tried again", ""
    if history.faults:
        return f"{revision[:SHORT]} is tried again, without any delay", ""
    hint = f"if it needs a person's consent first, `reconciler accept {revision[:SHORT]}` lets it pass"
    return f"{revision[:SHORT]} is judged anew, without any delay", hint


def _accept(request: Request, known: Known) -> Reply:
    revision, history = known.resolved, known.history
    if revision is None:
        return _unknown(request)
    short, last = revision[:SHORT], history.last
    stalled = last is not None and last.outcome is Outcome.ROLLBACK_FAILED and last.revision == revision
    if stalled and revision not in history.lifted:
        message = f"what runs since the rollback of {short} failed is accepted"
        return Reply(True, message, known.suspended, revision)
    bad = history.quarantined.get(revision)
    again = f"`reconciler retry {short}` has it tried again"
    if known.is_rewritten(revision):
        refused = f"it was refused, too ({bad.reason}): {again}" if bad else ""
        message = f"{short} is followed, though the branch was rewritten"
        return Reply(True, message, _joined([refused, known.suspended]), revision)
    if bad is not None:
        return Reply(False, f"{short} was refused, not held", again, revision)
    if not known.is_head(revision):
        hint = "`reconciler status` names the commit that is held, where one is"
        return Reply(False, f"{short} is not the branch's head", hint, revision)
    asked = history.asked.get(revision, frozenset()) - history.consented
    if asked:
        message = f"{short} may pass what holds it: {', '.join(sorted(asked))}"
        return Reply(True, message, known.suspended, revision)
    if history.last_good is not None and history.last_good.revision == revision:
        return Reply(False, f"{short} runs already: nothing holds it", known.suspended, revision)
    nothing = _nothing_holds(history, revision, known.working)
    if nothing is not None:
        return Reply(False, nothing, f"`reconciler retry {short}` has it tried at once", revision)
    shown = "objects that it would take over, or data that it would hide, are shown first; accept it after that"
    message = f"{short} may pass, whatever services it drops"
    return Reply(True, message, _joined([shown, known.suspended]), revision)


def _joined(hints: Iterable[str]) -> str:
    return "; ".join(filter(None, hints))


def _nothing_holds(history: History, revision: str, working: bool) -> str | None:
    """The answer for a head that needs no consent; None if it may be held."""
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
        "name a fetched commit of the watched branch, by its sha or its beginning",
    )


_ANSWERS: Mapping[RequestVerb, Callable[[Request, Known], Reply]] = {
    RequestVerb.SUSPEND: _suspend,
    RequestVerb.RESUME: _resume,
    RequestVerb.RETRY: _retry,
    RequestVerb.ACCEPT: _accept,
}
