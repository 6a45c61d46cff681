"""Answers to operators."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.history.requests import Known, Reply, answer, full_sha
from reconciler.model.history import Attempt, Bad, Good, History
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.requests import Request, RequestVerb, Suspension

HEAD, OLD, OTHER = "a" * 40, "b" * 40, "c" * 40
NOW = 1_000_000.0
BAD = {sha: Bad(sha, content, Reason.CRASHED, NOW) for sha, content in ((HEAD, "x"), (OLD, "x"), (OTHER, "y"))}


def ask(verb: str, history: History, revision: str | None = HEAD, working: bool = False, **more: object) -> Reply:
    request = Request("1", RequestVerb(verb), revision or "typo", **more)  # type: ignore[arg-type]  # why, until
    return answer(request, Known(history, HEAD, revision, working, NOW))


def failed(outcome: Outcome, **more: object) -> History:
    attempt = Attempt("1-a", HEAD, Intent.ADVANCE, NOW - 10, outcome=outcome)
    return History((replace(attempt, **more),), seen=(OLD, HEAD))  # type: ignore[arg-type]  # any field


def test_suspend_is_granted_unless_its_time_is_over() -> None:
    assert ask("suspend", History(), None, until=NOW + 1).done
    assert not ask("suspend", History(), None, until=NOW).done
    assert "has ended" in ask("suspend", History(), None, working=True).message


def test_resume_may_be_asked_twice() -> None:
    suspended = History(suspension=Suspension("x", NOW - 5, NOW + 5))
    assert ask("resume", suspended, None) == Reply(True, "resumed")
    for history in (History(), replace(suspended, suspension=Suspension("x", NOW - 5, NOW - 1))):
        assert ask("resume", history, None) == Reply(True, "it was not suspended")


@pytest.mark.parametrize("verb", ["retry", "accept"])
def test_a_commit_that_nobody_knows(verb: str) -> None:
    told = ask(verb, History(), None)
    assert (told.done, told.message) == (False, "no commit is known as typo")
    assert told.hint


def test_retry_lifts_the_content_under_every_sha() -> None:
    told = ask("retry", History(quarantined=BAD, seen=(HEAD,)))
    assert (told.done, told.lifted) == (True, (HEAD, OLD))
    assert ask("retry", History(quarantined=BAD, seen=(HEAD,)), OTHER).lifted == (OTHER,)


def test_retry_of_a_refusal_without_content_lifts_that_commit_alone() -> None:
    bad = {sha: Bad(sha, None, Reason.POLICY_VIOLATION, NOW) for sha in (HEAD, OLD)}
    assert ask("retry", History(quarantined=bad)).lifted == (HEAD,)


def test_retry_of_the_head_ends_a_stall() -> None:
    assert "not stalled any more" in ask("retry", replace(failed(Outcome.STARTED), unended=3)).message
    assert "not stalled any more" in ask("retry", failed(Outcome.ROLLBACK_FAILED)).message
    assert ask("retry", failed(Outcome.FAILED)).done


def test_retry_waits_for_what_is_under_way() -> None:
    assert not ask("retry", failed(Outcome.STARTED), working=True).done
    quarantined = replace(failed(Outcome.STARTED, quarantined=True), quarantined=BAD)
    assert "rolled back" in ask("retry", quarantined).message
    assert not ask("retry", quarantined, working=True).done


def test_retry_of_a_commit_that_is_neither_refused_nor_the_head() -> None:
    told = ask("retry", History(seen=(OLD, HEAD)), OLD)
    assert (told.done, told.lifted, told.revision) == (False, (), OLD)


def test_accept_lets_the_branch_s_head_pass_and_no_other() -> None:
    assert ask("accept", History(seen=(OLD,))).done
    assert ask("accept", History(seen=(OLD,)), OLD).done
    assert not ask("accept", History(seen=(OLD,)), OTHER).done


def test_accept_is_not_for_what_was_refused_or_runs() -> None:
    told = ask("accept", History(quarantined=BAD, seen=(HEAD,)))
    assert (told.done, told.hint) == (False, f"`reconciler retry {HEAD[:12]}` has it tried again")
    assert not ask("accept", History(last_good=Good(HEAD, "c", NOW), seen=(HEAD,))).done


def test_accept_is_not_for_what_nothing_holds() -> None:
    tried = replace(failed(Outcome.FAILED, reason=Reason.PULL_FAILED), unended=0)
    told = ask("accept", tried)
    assert (told.done, told.message) == (
        False, f"nothing holds {HEAD[:12]}: the last attempt met PullFailed, and it is tried again by itself",
    )  # fmt: skip
    assert told.hint == f"`reconciler retry {HEAD[:12]}` has it tried at once"
    stalled = ask("accept", replace(failed(Outcome.STARTED), unended=3))
    assert (stalled.done, "is stalled, not held" in stalled.message) == (False, True)
    under_way = ask("accept", failed(Outcome.STARTED), working=True)
    assert (under_way.done, "is being tried just now" in under_way.message) == (False, True)


def test_accept_during_a_suspension_says_what_else_holds_it() -> None:
    told = ask("accept", History(suspension=Suspension("x", NOW), seen=(HEAD,)))
    assert (told.done, "reconciler resume" in told.hint) == (True, True)


def test_accept_takes_what_runs_after_a_rollback_that_failed() -> None:
    assert ask("accept", replace(failed(Outcome.ROLLBACK_FAILED), quarantined=BAD)).done


def test_a_commit_is_known_by_the_beginning_of_its_sha() -> None:
    history = History(quarantined=BAD, seen=(OLD, "ab" * 20))
    assert full_sha("abab", history) == "ab" * 20
    assert full_sha("cccc", history) == OTHER
    assert full_sha("ccc", history) is None
    assert full_sha("main", history) is None
