"""What each channel should say about each commit, from the journal's history alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.history.compaction import compacted
from reconciler.decide.history.folding import fold
from reconciler.model.history import Held
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason
from reconciler.report.messages import COMMENTS, DEPLOYMENTS, Message, Policy, State, messages
from reconciler.report.phrases import description
from tests.decide.long_journals import LIVES
from tests.report.attempts import BACK, BAD, GOOD, attempt, back, bad, good, history, overtaken, running

POLICY = Policy("mini", deployments=True)


def said(found: list[Message]) -> list[str]:
    words = ([item.channel, item.revision[:1], item.subject, item.state, "edits" * item.edits] for item in found)
    return [" ".join(word for word in line if word) for line in words]


def test_a_rollout_under_way_is_pending_with_its_plan() -> None:
    found = messages(history(running()), POLICY, 0.0)
    assert said(found) == [
        "statuses a reconciler/mini running",
        "statuses a reconciler/mini/shop running",
        "comments a running",
        "deployments a mini running",
    ]
    assert description(found[0]) == (
        "restarts shop/web; starts shop/db; each down for at most 40 s; memory 512 → 600 MiB"
    )
    assert description(found[1]) == "restarts shop/web; starts shop/db; each down for at most 40 s"


def test_before_the_plan_is_known_only_the_status_is_pending() -> None:
    found = messages(history(attempt("1-a", GOOD, 1.0)), POLICY, 0.0)
    assert said(found) == ["statuses a reconciler/mini pending"]


def test_a_good_commit() -> None:
    found = messages(history(good()), POLICY, 0.0)
    assert {item.state for item in found} == {State.SUCCESS}
    assert description(found[0]) == "healthy after 41 s; changed shop/web"


def test_a_rollback_is_a_failure_of_every_stack_and_of_the_deployment() -> None:
    found = messages(history(good(), bad()), POLICY, 0.0)
    ours = [item for item in found if item.revision == BAD]
    assert found[: len(ours)] == ours, "the newest comes first"
    assert {item.state for item in ours} == {State.FAILURE}
    assert [item.subject for item in ours] == [
        "reconciler/mini", "reconciler/mini/blog", "reconciler/mini/shop", "", "mini",
    ]  # fmt: skip
    assert description(ours[0]) == f"rolled back: HealthCheckFailed: shop/web is unhealthy; back at {GOOD[:12]}"
    assert description(ours[1]) == "rolled back because of shop/web"


def test_a_revert_says_that_nothing_had_to_restart() -> None:
    found = messages(history(good(), bad(), back()), POLICY, 0.0)
    assert found[0].revision == BACK
    assert description(found[0]) == "healthy; nothing had to restart"
    comment = next(item for item in found if item.channel == COMMENTS)
    assert comment.edits, "no comment is made for it"


def test_superseded_commits_get_one_state_and_nothing_else_unless_something_was_said() -> None:
    found = messages(history(overtaken(GOOD, 1.0, "1-a", stacks=("shop",)), good(BAD, name="2-b")), POLICY, 0.0)
    assert [line for line in said(found) if " a " in line] == [
        "statuses a reconciler/mini superseded",
        "statuses a reconciler/mini/shop superseded edits",
        "comments a superseded edits",
        "deployments a mini superseded edits",
    ]


@pytest.mark.parametrize(
    ("mode", "made"),
    [("failures", {"b"}), ("changes", {"a", "b"}), ("all", {"a", "b", "c"}), ("none", set())],
)
def test_which_commits_get_a_comment(mode: str, made: set[str]) -> None:
    found = messages(history(good(), bad(), back()), replace(POLICY, comments=mode), 0.0)
    assert {item.revision[:1] for item in found if item.channel == COMMENTS and not item.edits} == made


def test_a_retry_opens_it_again_and_is_told_anew() -> None:
    first = bad()
    lifted = replace(first, final=False)
    again = running(BAD, 400.0, "3-bbbbbbbb")
    opened = messages(history(lifted, again), POLICY, 0.0)
    assert opened[0].state is State.RUNNING
    ended = bad(BAD, 400.0, "3-bbbbbbbb")
    before, after = (messages(history(*item), POLICY, 0.0)[0] for item in ([first], [lifted, ended]))
    assert before.key == after.key
    assert before.digest != after.digest


def test_a_held_commit_waits_and_says_for_what() -> None:
    held = Held(GOOD, Outcome.HELD, Reason.CONSENT_MISSING, "it drops 5 of 6 services", "accept it", 5.0)
    found = messages(history(held=(held,), seen=(GOOD,)), POLICY, 0.0)
    assert said(found) == ["statuses a reconciler/mini pending", "comments a pending edits"]
    assert description(found[0]) == "waits: ConsentMissing: it drops 5 of 6 services"


def test_an_attempt_that_the_environment_ended_waits() -> None:
    failed = attempt(
        "1-a", GOOD, 1.0, outcome=Outcome.FAILED, reason=Reason.PULL_FAILED, message="no route", ended_at=2.0
    )
    found = messages(history(failed), POLICY, 0.0)
    assert said(found) == ["statuses a reconciler/mini pending", "comments a pending edits"]
    assert description(found[0]) == "waits: PullFailed: no route"


def test_an_error_after_the_deadline_is_final() -> None:
    ended = attempt(
        "1-a", GOOD, 1.0, outcome=Outcome.FAILED, reason=Reason.PULL_FAILED, message="no route", ended_at=2.0,
        final=True, state=CommitState.ERROR,
    )  # fmt: skip
    found = messages(history(ended), POLICY, 0.0)
    assert found[0].state is State.ERROR
    assert not any(item.channel == DEPLOYMENTS and not item.edits for item in found)


def test_what_ended_before_the_outbox_was_made_is_not_told_but_for_the_head() -> None:
    found = messages(history(good(), bad()), POLICY, 1000.0)
    assert {item.revision for item in found} == {BAD}


def test_a_journal_that_was_shortened_says_nothing_anew() -> None:
    records = [record for n in range(5) for record in LIVES["applied"](n)]
    whole, short = (messages(fold(item), POLICY, 0.0) for item in (records, compacted(records, recent=1)))
    assert len(short) < len(whole)
    assert {(item.key, item.digest) for item in short} <= {(item.key, item.digest) for item in whole}


def test_repairs_of_last_good_say_nothing() -> None:
    repair = replace(bad(GOOD, 500.0, "2-a"), intent=Intent.REPAIR, final=False, state=None)
    assert messages(history(good(), repair), POLICY, 0.0) == messages(history(good()), POLICY, 0.0)


def test_text_that_a_build_has_printed_stays_on_the_machine() -> None:
    built = bad(reason=Reason.BUILD_FAILED, message="the image of shop/web cannot be built: SECRET", failure=None)
    found = messages(history(built), POLICY, 0.0)[0]
    assert "SECRET" in description(found)
    assert "SECRET" not in description(found, output=False)
