"""Lives that random play has found to fail once. Each is as short as possible."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from reconciler.errors import ReconcilerError
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import Behaviour, crashing, healthy, never_healthy, one_shot
from tests.fakes.life import Life, service
from tests.fakes.machine import Died, die
from tests.loop.lives import dies_before

INTERNAL = {"networks": {"default": {"internal": True}}}


def namespace_user() -> dict[str, object]:
    made = service("side:1", health=False, network_mode="service:web")
    del made["networks"]
    return made


def dies_after_the_verdict(life: Life) -> None:
    """A turn that quarantines its commit, and is killed before the rollback begins."""
    verdicts = [effect for effect in life.machine.trace if effect == "journal condemned"]
    dies_before(life, "journal condemned")
    dies_before(life, "rename")
    assert life.machine.trace.count("journal condemned") == len(verdicts) + 1


def test_a_namespace_user_is_created_after_its_namespace_owner_where_their_network_is_replaced() -> None:
    life = Life()
    life.push(web=service("web:1"), side=namespace_user())
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push_model({"services": {"web": service("web:1"), "side": namespace_user()}} | INTERNAL)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.named("shop-side-1").network_mode == f"container:{life.ids()['shop-web-1']}"
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0


def test_a_new_namespace_user_of_a_namespace_owner_whose_network_is_replaced() -> None:
    life = Life()
    life.push(other=service("other:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    both = {"other": service("other:1"), "web": service("web:1"), "side": namespace_user()}
    life.push_model({"services": both} | INTERNAL)
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_more_replicas_of_another_version_get_volumes_of_their_own() -> None:
    life = Life()
    for version in "12":
        life.machine.image_volumes[life.image(f"store:{version}")] = ("/store",)
    life.push(store=service("store:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    before = life.machine.named("shop-store-1").mounts
    life.push(store=service("store:2", deploy={"replicas": 3}))
    assert life.turn().outcome is Outcome.SUCCEEDED
    mounts = {item.name: item.mounts for item in life.machine.containers.values()}
    assert mounts["shop-store-1"] == before
    assert len(set(mounts.values())) == 3


def test_a_commit_waits_for_its_one_shot_though_nobody_is_started_after_it() -> None:
    """It runs longer than the window, and then fails. The service that waits for it did not change."""
    life = Life()
    life.behave("job:1", one_shot())
    life.behave("job:2", one_shot(8.0, code=3))
    web = service("web:1", after={"job": "service_completed_successfully"})
    life.push(job=service("job:1", health=False, restart="no"), web=web)
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(job=service("job:2", health=False, restart="no"), web=web)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.CRASHED)


def test_tidying_up_is_finished_though_the_next_head_is_held() -> None:
    life = Life()
    everything = {name: service(f"{name}:1") for name in "abcd"}
    life.push(**everything)
    life.during["UpdateContainer"] = lambda: life.machine.go_away(5.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert {item.restart for item in life.machine.containers.values()} == {"no"}
    life.machine.advance(10.0)
    life.push(a=service("a:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.CONSENT_MISSING)
    assert {item.restart for item in life.machine.containers.values()} == {"unless-stopped"}
    assert life.turn().outcome is Outcome.HELD
    assert life.effects == 0


def test_a_held_head_leaves_no_rollout_half_done() -> None:
    life = Life()
    everything = {name: service(f"{name}:1") for name in "abcd"}
    life.push(**everything)
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(**everything | {"a": service("a:2")})
    dies_before(life, "start")
    assert "shop-a-1.standby" in life.ids()
    life.push(a=service("a:2"))
    assert life.turn().outcome is Outcome.HELD
    assert life.running() == {f"shop-{name}-1": f"{name}:1" for name in "abcd"}
    assert life.turn().outcome is Outcome.HELD
    assert life.effects == 0


def test_a_first_commit_that_failed_is_tidied_up_after_a_kill() -> None:
    life = Life()
    life.behave("web:1", never_healthy())
    life.push(web=service("web:1"), other=service("other:1"))
    dies_before(life, "remove ")
    assert life.ids()
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.REVISION_QUARANTINED)
    assert (life.effects, life.ids(), life.machine.networks) == (0, {}, {})


def test_what_a_cut_off_first_commit_left_is_stopped_when_the_next_one_is_refused() -> None:
    life = Life()
    life.push(web=service("web:1"))
    dies_before(life, "journal ended")
    assert life.running()
    life.push(web=service("web:2", mem_limit=str(8 << 30)))
    assert life.turn().outcome is Outcome.REJECTED
    assert life.ids() == {}
    turn = life.turn()
    assert (turn.outcome, life.effects) == (Outcome.HELD, 0)


def test_heads_that_came_while_the_rollback_could_not_be_taken_get_their_final_state() -> None:
    life = Life()
    good = life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    bad = life.push(web=service("web:2"))
    life.behave("web:2", crashing(0.7))
    dies_after_the_verdict(life)
    life.machine.go_away(60.0)
    middle = life.push(web=service("web:3"))
    assert life.turn().outcome is Outcome.FAILED
    head = life.push(web=service("web:4"))
    life.machine.advance(100.0)
    assert [life.turn().outcome, life.turn().outcome] == [Outcome.ROLLED_BACK, Outcome.SUCCEEDED]
    told = {sha: state for sha, (state, _) in life.reporter.told.items()}
    assert told == {good: "success", bad: "failure", middle: "superseded", head: "success"}


@pytest.mark.parametrize("effect", range(1, 8))
def test_a_kill_while_a_newer_head_takes_over_leaves_none_without_its_final_state(effect: int) -> None:
    life = Life()
    first = life.push(web=service("web:1"))
    life.start(crash_at=5)
    with suppress(Died):
        life.turn()
    assert life.cycle.history.unended
    second = life.push(web=service("web:2"))
    life.start(crash_at=effect)
    with suppress(Died):
        life.turn()
    life.start()
    life.turn()
    told = {sha: state for sha, (state, _) in life.reporter.told.items()}
    assert told == {first: "superseded", second: "success"}


def test_what_waited_for_us_to_start_it_again_has_as_much_longer() -> None:
    life = Life()
    life.behave("cache:1", Behaviour(health=((1.0, "healthy"),), ignores_stop=True))
    life.push(cache=service("cache:1", deploy={"replicas": 3}, stop_grace_period="10s"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("db:1", crashing(0.5, times=2))
    life.push(cache=service("cache:2", deploy={"replicas": 3}, stop_grace_period="10s"), db=service("db:1"))
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn


def test_what_was_seen_to_wait_for_us_has_longer_too() -> None:
    life = Life()
    stubborn: dict[str, Any] = {"health": False, "stop_grace_period": "10s"}
    life.behave("cache:1", Behaviour(ignores_stop=True))
    life.push(cache=service("cache:1", deploy={"replicas": 3}, **stubborn))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("db:1", crashing(0.3, times=2))
    life.push(cache=service("cache:2", **stubborn), db=service("db:1"))
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn


def test_a_namespace_user_is_not_to_blame_for_a_namespace_owner_that_does_not_run_just_now() -> None:
    life = Life()
    life.push(web=service("web:1"), side=namespace_user())
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.vanishes("shop-side-1")
    life.machine.exits("shop-web-1", 1)  # the engine starts it again in a moment
    life.journal.lines.clear()
    life.start()
    assert life.turn().outcome is Outcome.FAILED
    life.machine.advance(1.0)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert set(life.running()) == {"shop-web-1", "shop-side-1"}


def test_a_namespace_user_waits_for_a_namespace_owner_that_ends_when_it_is_started() -> None:
    life = Life()
    life.push(web=service("web:1"), side=namespace_user())
    assert life.turn().outcome is Outcome.SUCCEEDED
    start, ended = life.machine.applier.start_all, list[str]()

    def ends_before(containers: Sequence[str]) -> dict[str, ReconcilerError]:
        if not ended:
            ended.append("shop-web-1")
            life.machine.exits("shop-web-1", 1)
        return start(containers)

    life.machine.applier.start_all = ends_before  # type: ignore[method-assign]
    life.push(web=service("web:1"), side={**namespace_user(), "environment": {"A": "2"}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert ended


def test_a_namespace_owner_that_keeps_crashing_is_quarantined_though_its_user_cannot_start_meanwhile() -> None:
    life = Life()
    life.behave("web:2", crashing(0.7))
    life.behave("side:1", crashing(0.3, times=2))
    life.push(web=service("web:1"), side=namespace_user())
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.push(web=service("web:2"), side={**namespace_user(), "environment": {"A": "2"}})
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.CRASHED)
    assert turn.failure is not None
    assert turn.failure.service == "web"
    assert set(life.running()) == {"shop-web-1", "shop-side-1"}


def test_volumes_of_a_one_shot_that_is_done_are_there_without_it() -> None:
    life = Life()
    life.behave("job:1", one_shot())
    life.behave("web:1", crashing(3.0, times=1))
    job = service("job:1", health=False, restart="no")
    web = service("web:1", after={"job": "service_completed_successfully"}, volumes_from=["job"])
    life.push(job=job, web=web)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:1"}


def test_a_quarantined_commit_is_no_fault_however_long_the_rollback_is_barred() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:2", crashing(0.7))
    bad = life.push(web=service("web:2"))
    dies_after_the_verdict(life)
    life.machine.go_away(5000.0)
    life.machine.advance(4000.0)
    assert life.turn().outcome is Outcome.FAILED
    assert bad not in life.reporter.told
    life.machine.advance(2000.0)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.reporter.told[bad] == ("failure", "Crashed")


def test_what_a_killed_rollout_waited_for_is_waited_for_again() -> None:
    life = Life()
    life.behave("db:1", healthy(6.0))
    life.behave("job:1", one_shot(8.0))
    after = {"db": "service_healthy", "job": "service_completed_successfully"}
    life.push(db=service("db:1"), job=service("job:1", health=False, restart="no"), web=service("web:1", after=after))
    life.during["WaitHealthy"] = die
    with pytest.raises(Died):
        life.turn()
    life.start()
    found: list[tuple[str, str]] = []

    def look(action: str, container: str) -> None:
        if action == "start" and life.machine.containers[container].service == "web":
            found.append((life.machine.named("shop-db-1").health, life.machine.named("shop-job-1").state))

    life.machine.listen(look)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert found == [("healthy", "exited")]


def test_a_commit_that_was_in_error_and_then_succeeds_has_one_final_record() -> None:
    life = Life()
    life.machine.add_foreign("hog", 4 << 30)
    sha = life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.FAILED
    life.machine.advance(3601.0)
    assert life.turn().outcome is Outcome.FAILED
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.cycle.history.last_good is not None
    assert life.cycle.history.last_good.revision == sha
    finals = [record["state"] for record in life.journal.lines if record["kind"] == "ended" and record["final"]]
    assert finals == ["error"]


# -- rules that nothing else held ----------------------------------------------------------------------------------


def seconds_of_a_rollout(disturbed_at: float | None, disturb: str = "break_streams") -> float:
    """How long a commit takes whose window (2 s) is disturbed at this moment."""
    life = Life()
    life.push(web=service("web:1"))
    if disturbed_at is not None:
        act = life.machine.break_streams if disturb == "break_streams" else lambda: life.machine.go_away(0.5)
        life.machine.at(disturbed_at, act)
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life.machine.clock.seconds


def test_the_window_starts_again_when_the_event_stream_broke() -> None:
    calm = seconds_of_a_rollout(None)
    assert calm + 1.5 <= seconds_of_a_rollout(calm - 0.3) <= calm + 2.5


def test_the_window_starts_again_when_the_engine_was_away() -> None:
    calm = seconds_of_a_rollout(None)
    assert calm + 1.5 <= seconds_of_a_rollout(calm - 0.3, "away")


def test_a_stack_with_another_host_s_containers_is_not_touched() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    own = life.machine.named("shop-web-1")
    life.machine.containers["theirs"] = replace(own, id="theirs", name="shop-web-9", number=9, host="other")
    before = life.machine.snapshot()
    life.push(web=service("web:2"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert "shop-web-9" in turn.message
    assert life.machine.snapshot() == before
    del life.machine.containers["theirs"]
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_commit_without_this_host_s_document_is_held_and_never_quarantined() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    sha = life.source.push({"desired-state/other.yaml": life.document.replace("mini", "other")})
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.FILE_MISSING)
    assert life.effects == 0
    assert life.running() == {"shop-web-1": "web:1"}
    assert sha not in life.cycle.history.quarantined
    assert sha not in life.reporter.told


def test_a_namespace_user_waits_for_its_namespace_owner_that_is_just_starting_again() -> None:
    life = Life()
    life.behave("web:1", crashing(0.5, times=1))
    life.behave("db:1", healthy(0.8))
    after = {"db": {"condition": "service_healthy"}}
    life.push(web=service("web:1", health=False), db=service("db:1"), side={**namespace_user(), "depends_on": after})
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn
