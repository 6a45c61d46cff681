"""The verdicts on a candidate: each row of the table in ARCHITECTURE.md, as a sequence of looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from reconciler.decide import health
from reconciler.decide.health import State, Track, Verdict
from reconciler.model.desired import Condition, Service
from reconciler.model.documents import Gate
from reconciler.model.observed import OOM, Container
from reconciler.model.outcome import Reason

GATE = Gate(min_healthy_time=10.0, healthy_deadline=300.0, progress_deadline=600.0, unhealthy_grace=30.0)
Look = tuple[float, str]
"""(seconds, observation): `running/healthy`, `exited=1`, `gone`; `#2` at the end means a second start."""


def service(restart: str = "no", completes: bool = False, memory_default: bool = False) -> Service:
    return Service(
        "shop", "web", "spec", {}, "sha256:1", "web:1", 1, 64 << 20, memory_default, 10.0, restart, completes=completes
    )


def container(seen: str) -> Container | None:
    if seen == "gone":
        return None
    seen, _, start = seen.partition("#")
    words, _, code = seen.partition("=")
    state, _, status = words.partition("/")
    started = "" if state == "created" else f"2026-01-01T00:00:0{start or '1'}Z"
    return Container(
        "id", "shop-web-1", "shop", "web", 1, state, status or "none", started_at=started, exit_code=int(code or 0)
    )


def life(looks: Sequence[Look], of: Service | None = None, changed: bool = True, oom_at: float | None = None) -> Track:
    track = Track(of or service(), "id", 0.0, changed)
    for at, seen in looks:
        track = health.observe(track, container(seen), {OOM} if oom_at is not None and at >= oom_at else (), at)
    return track


def verdict(looks: Sequence[Look], of: Service | None = None, changed: bool = True) -> Verdict:
    return health.judge(life(looks, of, changed), GATE, looks[-1][0])


def exits(times: int, code: int = 1) -> list[Look]:
    """So many starts, each followed by an exit."""
    return [
        look for n in range(1, times + 1) for look in ((n * 10.0, f"running#{n}"), (n * 10.0 + 5, f"exited={code}#{n}"))
    ]


# -- exits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 137])
def test_a_long_running_service_without_restart_policy_may_not_exit(code: int) -> None:
    told = verdict(exits(1, code))
    assert (told.state, told.reason) == (State.FAILED, Reason.CRASHED)
    assert told.message == f"shop/web exited (exit code {code})"


@pytest.mark.parametrize("policy", ["always", "unless-stopped", "on-failure"])
@pytest.mark.parametrize(("times", "state"), [(1, State.DOWN), (2, State.DOWN), (3, State.DOWN), (4, State.FAILED)])
def test_the_fourth_exit_is_final_where_the_policy_restarts(policy: str, times: int, state: State) -> None:
    assert verdict(exits(times), service(policy)).state is state


def test_how_often_it_exited_is_told() -> None:
    assert verdict(exits(2), service("on-failure:1")).message == "shop/web exited 2 times (exit code 1)"
    assert verdict(exits(4), service("always")).message == "shop/web exited 4 times (exit code 1)"


@pytest.mark.parametrize(("times", "delay"), [(1, 1.0), (2, 2.0), (3, 4.0)])
def test_we_start_it_again_after_a_growing_while(times: int, delay: float) -> None:
    track = life(exits(times), service("always"))
    assert health.start_again_at(track) == times * 10.0 + 5 + delay


def test_no_start_follows_the_fourth_exit_nor_one_without_policy() -> None:
    assert health.start_again_at(life(exits(4), service("always"))) is None
    assert health.start_again_at(life(exits(1), service("no"))) is None


def test_what_runs_or_was_never_started_is_not_started_again() -> None:
    assert health.start_again_at(life([(1.0, "running")], service("always"))) is None
    assert health.start_again_at(life([(1.0, "created")], service("always"))) is None


@pytest.mark.parametrize(("most", "failing"), [("1", 2), ("2", 3), ("3", 4), ("9", 4), ("0", 4)])
def test_on_failure_limits_its_own_restarts(most: str, failing: int) -> None:
    policy = service(f"on-failure:{most}")
    assert verdict(exits(failing - 1), policy).state is State.DOWN
    assert verdict(exits(failing), policy).state is State.FAILED


def test_an_exit_is_counted_once_however_often_it_is_seen() -> None:
    seen_twice: list[Look] = [(1.0, "running"), (2.0, "exited=1"), (2.5, "exited=1"), (2.9, "exited=1")]
    track = life(seen_twice, service("always"))
    assert (track.exits, track.exited_at) == (1, 2.0)


def test_an_exit_between_two_looks_is_not_missed() -> None:
    """It was started again and ended again between two looks."""
    track = life([(1.0, "running#1"), (2.0, "exited=1#1"), (9.0, "exited=1#2")], service("always"))
    assert (track.exits, track.exited_at) == (2, 9.0)


def test_a_dead_container_has_failed() -> None:
    assert verdict([(1.0, "running"), (2.0, "dead=255")]).state is State.FAILED


def test_a_container_that_somebody_removed_is_nobody_s_crash() -> None:
    told = verdict([(1.0, "running"), (2.0, "gone")])
    assert (told.state, told.reason) == (State.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert told.message.startswith("shop/web: ")


# -- probes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("until", "state"), [(30.9, State.WAITING), (31.0, State.FAILED)])
def test_unhealthy_without_a_break_for_its_grace(until: float, state: State) -> None:
    told = verdict([(1.0, "running/unhealthy"), (until, "running/unhealthy")])
    assert told.state is state
    if state is State.FAILED:
        assert (told.reason, told.message) == (Reason.HEALTH_CHECK_FAILED, "shop/web has been unhealthy for 30 s")


def test_a_break_begins_the_grace_anew() -> None:
    looks: list[Look] = [(1.0, "running/unhealthy"), (20.0, "running/starting"), (25.0, "running/unhealthy")]
    assert verdict([*looks, (54.9, "running/unhealthy")]).state is State.WAITING
    assert verdict([*looks, (55.0, "running/unhealthy")]).state is State.FAILED


def test_a_restart_begins_the_grace_anew() -> None:
    looks: list[Look] = [(1.0, "running/unhealthy#1"), (25.0, "running/unhealthy#2"), (54.0, "running/unhealthy#2")]
    assert verdict(looks).state is State.WAITING


@pytest.mark.parametrize(("flips", "state"), [(2, State.WAITING), (3, State.FAILED)])
def test_the_third_flip(flips: int, state: State) -> None:
    looks = [
        (float(2 * n + k), f"running/{word}") for n in range(flips) for k, word in enumerate(("healthy", "unhealthy"))
    ]
    told = verdict(looks)
    assert told.state is state
    if state is State.FAILED:
        assert told.message == "shop/web became unhealthy 3 times"


@pytest.mark.parametrize("seen", ["running/starting", "created", "running/unhealthy"])
def test_not_good_at_the_deadline(seen: str) -> None:
    looks: list[Look] = [(1.0, "running/starting"), (299.0, "running/starting"), (299.9, seen)]
    assert verdict(looks).state is State.WAITING
    told = verdict([*looks, (300.0, seen)])
    assert (told.state, told.reason) == (State.FAILED, Reason.HEALTH_CHECK_FAILED)
    still = {"created": "created", "running/starting": "starting", "running/unhealthy": "unhealthy"}[seen]
    assert told.message == f"shop/web is still {still} 300 s after its start"


def test_good_just_before_the_deadline_is_good() -> None:
    assert (
        verdict([(1.0, "running/starting"), (299.9, "running/healthy"), (400.0, "running/healthy")]).state is State.GOOD
    )


def test_the_deadline_of_a_container_that_stays_counts_from_when_it_turned_bad() -> None:
    looks: list[Look] = [(0.0, "running/healthy"), (500.0, "running/starting")]
    assert verdict([*looks, (799.0, "running/starting")], changed=False).state is State.WAITING
    assert verdict([*looks, (800.0, "running/starting")], changed=False).state is State.FAILED
    assert verdict(looks, changed=True).state is State.FAILED


# -- memory ------------------------------------------------------------------------------------------------------


def test_out_of_memory_fails_it_though_it_lives_and_is_healthy() -> None:
    track = life([(1.0, "running/healthy"), (2.0, "running/healthy"), (90.0, "running/healthy")], oom_at=2.0)
    told = health.judge(track, GATE, 90.0)
    assert (told.state, told.reason, told.message) == (
        State.FAILED,
        Reason.OUT_OF_MEMORY,
        "shop/web ran out of its 64 MiB",
    )


def test_out_of_memory_is_not_forgotten_after_a_restart() -> None:
    track = life([(1.0, "running"), (2.0, "exited=137")], service("always"))
    track = health.observe(track, container("exited=137"), {OOM}, 2.5)
    track = health.observe(track, container("running#2"), (), 4.0)
    assert health.judge(track, GATE, 4.0).reason is Reason.OUT_OF_MEMORY


def test_out_of_memory_is_seen_though_its_event_was_lost() -> None:
    track = life([(1.0, "running")])
    marked = container("running")
    assert marked is not None
    track = health.observe(track, replace(marked, oom_killed=True), (), 2.0)
    assert health.judge(track, GATE, 2.0).reason is Reason.OUT_OF_MEMORY


def test_the_hint_for_a_default_limit() -> None:
    track = life([(1.0, "running")], service(memory_default=True), oom_at=1.0)
    told = health.judge(track, GATE, 1.0).message
    assert told == "shop/web ran out of its 64 MiB (the default limit; set mem_limit)"


def test_out_of_memory_of_a_container_that_stays_is_not_the_commit_s_fault() -> None:
    track = life([(1.0, "running/healthy")], changed=False, oom_at=1.0)
    assert health.judge(track, GATE, 1.0).state is State.GOOD


# -- what stays ----------------------------------------------------------------------------------------------------


def test_a_container_that_stays_may_blink() -> None:
    looks: list[Look] = [(0.0, "running/healthy"), (1.0, "running/unhealthy"), (20.0, "running/healthy")]
    assert verdict(looks, changed=False).state is State.GOOD


def test_a_container_that_stays_is_started_again_though_its_policy_is_no() -> None:
    track = life(exits(1), service("no"), changed=False)
    assert health.judge(track, GATE, 15.0).state is State.DOWN
    assert health.start_again_at(track) == 16.0


def test_on_failure_with_a_number_does_not_limit_a_container_that_stays() -> None:
    assert verdict(exits(3), service("on-failure:1"), changed=False).state is State.DOWN


# -- good ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seen", ["running/healthy", "running"])
def test_running_and_healthy_or_without_probe_is_good(seen: str) -> None:
    assert verdict([(1.0, seen)]).state is State.GOOD


@pytest.mark.parametrize("seen", ["running/starting", "running/unhealthy", "paused", "restarting", "created"])
def test_anything_else_is_not_good(seen: str) -> None:
    assert verdict([(1.0, seen)]).state is State.WAITING


def test_good_begins_anew_after_each_restart() -> None:
    assert life([(1.0, "running#1"), (5.0, "running#1")]).good_since == 1.0
    assert life([(1.0, "running#1"), (5.0, "running#2")]).good_since == 5.0
    assert life([(1.0, "running"), (2.0, "exited=1"), (5.0, "running#2")]).good_since == 5.0


def test_bad_begins_once() -> None:
    track = life([(1.0, "running"), (2.0, "exited=1"), (3.0, "exited=1")], service("always"))
    assert track.bad_since == 2.0
    assert health.observe(track, container("running#2"), (), 4.0).bad_since is None


def test_a_one_shot_s_exit_0_is_good_and_any_other_is_not() -> None:
    job = service(completes=True)
    assert verdict([(1.0, "running"), (2.0, "exited=0")], job).state is State.GOOD
    assert verdict([(1.0, "running"), (2.0, "exited=1")], job).state is State.FAILED
    assert verdict([(1.0, "created")], job).state is State.WAITING


# -- what dependents wait for --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seen", "condition", "met"),
    [
        ("running/healthy", Condition.HEALTHY, True),
        ("running/starting", Condition.HEALTHY, False),
        ("running/unhealthy", Condition.HEALTHY, False),
        ("running", Condition.STARTED, True),
        ("created", Condition.STARTED, False),
        ("running", Condition.COMPLETED, False),
        ("exited=0", Condition.COMPLETED, True),
        ("exited=3", Condition.COMPLETED, False),
    ],
)
def test_conditions(seen: str, condition: Condition, met: bool) -> None:
    assert health.met(life([(1.0, seen)], service(completes=True)), condition) is met


def test_exit_0_of_a_service_that_should_run_on_meets_nothing() -> None:
    assert not health.met(life([(1.0, "exited=0")]), Condition.COMPLETED)


@pytest.mark.parametrize(
    ("policy", "changed", "again"), [("no", True, False), ("always", True, True), ("no", False, True)]
)
def test_who_is_started_again(policy: str, changed: bool, again: bool) -> None:
    assert health.restarts(replace(Track(service(policy), "id", 0.0, changed))) is again
