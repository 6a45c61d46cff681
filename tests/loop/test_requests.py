"""Lives in which an operator asks for something."""

from __future__ import annotations

import json

import pytest

from reconciler.model.outcome import CommitState, Outcome, Reason
from tests.fakes.behaviour import STEADY, crashing, never_healthy
from tests.fakes.life import Life, document, service
from tests.fakes.machine import Died
from tests.loop.lives import dies_before


def settled(**services: dict[str, object]) -> tuple[Life, str]:
    life = Life()
    sha = life.push(**(services or {"web": service("web:1"), "db": service("db:1")}))
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life, sha


def finals(life: Life) -> dict[str, list[str]]:
    """sha → the states of its attempts that count as the final one."""
    found: dict[str, list[str]] = {}
    for item in life.cycle.history.attempts:
        if item.final:
            found.setdefault(item.revision, []).append(str(item.state))
    return found


# -- suspend and resume ----------------------------------------------------------------------------------------------


def test_nothing_is_changed_while_it_is_suspended_not_even_corrected() -> None:
    life, _ = settled()
    life.ask("suspend", why="the disk is being replaced")
    life.machine.exits("shop-web-1", 1)
    life.machine.named("shop-web-1").restart = "no"
    second = life.push(web=service("web:2"), db=service("db:1"))
    before = life.machine.snapshot()
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.message) == (Outcome.HELD, Reason.SUSPENDED, "the disk is being replaced")
    assert turn.exit_code == 1
    assert life.answer().done
    for _ in range(2):
        assert life.turn().reason is Reason.SUSPENDED
        assert life.effects == 0
    assert life.machine.snapshot() == before
    assert life.cycle.history.seen[-1] == second
    life.ask("resume")
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, second)


def test_heads_that_come_while_it_is_suspended_are_superseded_by_the_newest() -> None:
    life, first = settled()
    life.ask("suspend", why="x")
    skipped = life.push(web=service("web:2"))
    life.turn()
    newest = life.push(web=service("web:3"), db=service("db:1"))
    life.turn()
    life.ask("resume")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert {sha: state for sha, (state, _) in life.reporter.told.items()} == {
        first: "success", skipped: "superseded", newest: "success",
    }  # fmt: skip


def test_a_suspension_ends_by_itself() -> None:
    life, _ = settled()
    second = life.push(web=service("web:2"), db=service("db:1"))
    life.ask("suspend", why="x", seconds=7200)
    turn = life.turn()
    assert turn.until == life.machine.clock.now() + 7200
    life.machine.advance(7199)
    assert life.turn().outcome is Outcome.HELD
    life.machine.advance(1)
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, second)


def test_a_head_that_was_kept_waiting_has_its_hour_before_it() -> None:
    life, _ = settled()
    life.ask("suspend", why="x", seconds=7200)
    sha = life.push(web=service("web:2"))
    life.turn()
    life.machine.advance(7300)
    life.machine.go_away(1e6)
    assert life.turn().outcome is Outcome.FAILED
    assert sha not in life.cycle.history.finals
    life.machine.advance(3600)
    life.turn()
    assert life.cycle.history.finals[sha].state is CommitState.ERROR


def test_a_rollout_that_is_under_way_ends_first() -> None:
    life, _ = settled()
    life.during["WaitHealthy"] = lambda: life.ask("suspend", why="x")
    second = life.push(web=service("web:2"), db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, second)
    assert "has ended" in life.answer().message
    assert life.turn().reason is Reason.SUSPENDED


def test_a_newer_commit_does_not_take_over_from_a_rollout_once_it_is_suspended() -> None:
    life, _ = settled()
    newer: list[str] = []

    def happen() -> None:
        life.ask("suspend", why="x")
        newer.append(life.push(web=service("web:3"), db=service("db:1")))

    life.during["StopContainer"] = happen
    life.behave("web:2", STEADY)
    second = life.push(web=service("web:2"), db=service("db:1"))
    assert life.turn().revision == second
    assert life.running()["shop-web-1"] == "web:2"
    assert life.turn().reason is Reason.SUSPENDED
    assert life.cycle.history.seen[-1] == newer[0]


def test_a_failing_rollout_goes_back_though_it_was_suspended_meanwhile() -> None:
    life, first = settled()
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.during["WaitHealthy"] = lambda: life.ask("suspend", why="x")
    life.push(web=service("web:2"), db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reverted_to) == (Outcome.ROLLED_BACK, first)
    assert life.machine.snapshot() == before
    assert life.turn().reason is Reason.SUSPENDED


def test_a_rollout_that_was_killed_leaves_no_service_down_though_it_is_suspended() -> None:
    life, _ = settled()
    before = life.machine.snapshot()
    life.push(web=service("web:2"), db=service("db:1"))
    life.during["StartContainer"] = lambda: life.start(crash_at=1)
    with pytest.raises(Died):
        life.turn()
    life.start()
    life.ask("suspend", why="x")
    for _ in range(3):
        turn = life.turn()
    assert turn.reason is Reason.SUSPENDED
    assert life.machine.snapshot() == before
    assert life.effects == 0


# -- retry -----------------------------------------------------------------------------------------------------------


def refused() -> tuple[Life, str, str]:
    """A commit that was rolled back for a reason that has ended since."""
    life, first = settled()
    life.behave("web:2", crashing(0.5))
    bad = life.push(web=service("web:2", restart="no"), db=service("db:1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.reporter.told[bad][0] == "failure"
    life.behave("web:2", STEADY)
    return life, first, bad


def test_a_refused_commit_is_tried_again_and_its_success_is_its_final_state() -> None:
    life, first, bad = refused()
    assert life.turn().reason is Reason.REVISION_QUARANTINED
    life.ask("retry", bad[:8])
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, bad)
    assert life.answer().revision == bad
    assert finals(life) == {first: ["success"], bad: ["success"]}
    assert life.reporter.told[bad] == ("success", "ReconciliationSucceeded")
    assert life.cycle.history.attempts[-1].lines[0].startswith("retried: it was failure (Crashed) in attempt ")
    assert not [name for name in life.source.pinned if "/bad/" in name]
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0


def test_a_commit_that_fails_again_is_refused_again() -> None:
    life, first, bad = refused()
    life.behave("web:2", crashing(0.5))
    life.ask("retry", bad)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert finals(life) == {first: ["success"], bad: ["failure"]}
    life.start()
    assert life.turn().reason is Reason.REVISION_QUARANTINED
    assert life.effects == 0
    assert [name for name in life.source.pinned if "/bad/" in name]


def test_the_same_content_under_another_sha_is_tried_again_too() -> None:
    life, _, bad = refused()
    again = life.push(web=service("web:2", restart="no"), db=service("db:1"))
    assert life.turn().outcome is Outcome.REJECTED
    life.ask("retry", bad)
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, again)
    assert finals(life)[again] == ["success"]
    assert finals(life)[bad] == ["failure"]


def test_a_quarantine_that_only_the_mirror_remembers_is_lifted() -> None:
    life, _, bad = refused()
    good = life.source.branch[0]
    life.journal.lines.clear()
    life.reporter.told.clear()
    life.start()
    life.ask("retry", bad)
    life.turn()
    assert life.answer().done
    assert life.running()["shop-web-1"] == "web:2"
    assert life.cycle.history.last_good is not None
    assert life.cycle.history.last_good.revision == bad != good


@pytest.mark.parametrize("effect", ["journal requested", "answered"])
def test_a_kill_while_a_request_is_answered_answers_it_once(effect: str) -> None:
    life, _, bad = refused()

    life.ask("retry", bad)
    dies_before(life, effect)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert [item.id for item in life.cycle.history.requests] == ["000001-retry"]
    assert not life.requests.left


def stalled(**changed: dict[str, object]) -> tuple[Life, str]:
    """A commit whose rollback failed, too."""
    life, _ = settled()
    life.behave("web:2", crashing(0.5))
    life.during["WaitHealthy"] = lambda: life.behave("web:1", crashing(0.5))
    bad = life.push(**{"web": service("web:2", restart="no"), "db": service("db:1"), **changed})
    assert life.turn().outcome is Outcome.ROLLBACK_FAILED
    assert life.turn().stalled
    return life, bad


def test_retry_ends_a_stall_after_a_rollback_that_failed() -> None:
    life, bad = stalled()
    life.behave("web:2", STEADY)
    life.ask("retry", bad)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2", "shop-db-1": "db:1"}


def test_accept_keeps_what_runs_after_a_rollback_that_failed() -> None:
    life, bad = stalled()
    before = life.machine.snapshot()
    life.ask("accept", bad)
    for _ in range(2):
        turn = life.turn()
    assert (turn.outcome, turn.reason, turn.stalled, turn.exit_code) == (
        Outcome.HELD, Reason.ROLLBACK_FAILED, False, 1,
    )  # fmt: skip
    assert life.effects == 0
    assert life.machine.snapshot() == before
    life.push(web=service("web:3"), db=service("db:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_what_was_accepted_after_a_rollback_that_failed_is_restarted_by_the_engine_again() -> None:
    life, bad = stalled(db=service("db:2", health=False))
    kept = life.machine.named("shop-db-1")
    assert (kept.state, kept.restart) == ("running", "no")
    life.turn()
    assert kept.restart == "no", "nobody has looked yet"
    life.ask("accept", bad)
    life.turn()
    assert (kept.state, kept.restart) == ("running", "unless-stopped")
    assert life.machine.named("shop-web-1").restart == "no", "what does not run is left as it is"
    life.start()
    life.turn()
    assert life.effects == 0


def test_retry_ends_a_stall_after_three_kills() -> None:
    life, _ = settled()
    second = life.push(web=service("web:2"), db=service("db:1"))
    for _ in range(3):
        dies_before(life, "journal ended")
    assert life.turn().stalled
    life.ask("retry", second)
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, second)


def test_retry_ends_the_wait_after_a_fault() -> None:
    life, _ = settled()
    second = life.push(web=service("web:2"), db=service("db:1"))
    life.during["CreateContainer"] = lambda: life.machine.go_away(1.0)
    assert life.turn(patient=True).outcome is Outcome.FAILED
    life.machine.advance(2.0)
    assert life.turn(patient=True).outcome is Outcome.HELD
    life.ask("retry", second)
    assert life.turn(patient=True).outcome is Outcome.SUCCEEDED


def test_what_is_being_tried_is_not_retried() -> None:
    life, _ = settled()
    second = life.push(web=service("web:2"), db=service("db:1"))
    life.during["WaitHealthy"] = lambda: life.ask("retry", second)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert not life.answer().done
    assert life.turn().outcome is Outcome.UNCHANGED


# -- accept ----------------------------------------------------------------------------------------------------------


def test_a_rewritten_branch_passes_once_its_head_is_accepted() -> None:
    life, _ = settled()
    life.push(web=service("web:2"), db=service("db:1"))
    life.turn()
    life.source.rewind(2)
    rewritten = life.push(web=service("web:3"), db=service("db:1"))
    turn = life.turn()
    assert (turn.reason, rewritten[:12] in turn.hint) == (Reason.NOT_FAST_FORWARD, True)
    life.ask("accept", rewritten[:12])
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, rewritten)
    following = life.push(web=service("web:4"), db=service("db:1"))
    assert life.turn().revision == following
    assert life.running()["shop-web-1"] == "web:4"


def test_what_is_pushed_on_top_of_an_accepted_head_passes_though_that_one_was_never_followed() -> None:
    life, _ = settled()
    life.push(web=service("web:2"), db=service("db:1"))
    life.turn()
    life.source.rewind(2)
    life.push(web=service("web:3"), db=service("db:1"))
    assert life.turn().reason is Reason.NOT_FAST_FORWARD
    life.ask("accept", "main")
    following = life.push(web=service("web:4"), db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, following)


def test_another_rewritten_head_is_held_again() -> None:
    life, _ = settled()
    life.source.rewind(1)
    accepted = life.push(web=service("web:3"), db=service("db:1"))
    life.turn()
    life.ask("accept", "main")
    assert life.turn().revision == accepted
    life.source.rewind(1)
    life.push(web=service("web:5"), db=service("db:1"))
    assert life.turn().reason is Reason.NOT_FAST_FORWARD


def test_a_commit_that_drops_most_services_passes_once_it_is_accepted() -> None:
    life, _ = settled(**{name: service(f"{name}:1") for name in "abcd"})
    small = life.push(a=service("a:1"))
    turn = life.turn()
    assert (turn.outcome, f"accept {small[:12]}" in turn.hint) == (Outcome.HELD, True)
    life.ask("accept", small)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-a-1": "a:1"}
    life.push(a=service("a:1"), **{name: service(f"{name}:1") for name in "bcd"})
    life.turn()
    life.push(a=service("a:2"))
    assert life.turn().outcome is Outcome.HELD, "the consent was for one commit"


def test_a_commit_without_this_host_s_document_empties_it_once_that_is_accepted() -> None:
    life = Life()
    db = service("db:1", volumes=[{"type": "volume", "source": "data", "target": "/data"}])
    life.push_model({"services": {"db": db}, "volumes": {"data": {}}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    volumes = set(life.machine.volumes)
    others = {"desired-state/other.yaml": document().replace("mini", "other"), "shop.yaml": json.dumps({})}
    gone = life.source.push(others)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.FILE_MISSING)
    life.ask("accept", gone)
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, gone)
    assert (life.running(), life.ids()) == ({}, {})
    assert set(life.machine.volumes) == volumes
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    life.journal.lines.clear()  # the mirror still knows that it was good
    life.start()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_what_cannot_be_accepted_changes_nothing() -> None:
    life, first = settled()
    for verb, revision in (("accept", first), ("accept", "0123abcd"), ("retry", "no-such")):
        life.ask(verb, revision)
        assert life.turn().outcome is Outcome.UNCHANGED
        assert not life.answer().done
        assert life.answer().hint or revision == first
