"""Every pair of sync and health, and the reason that explains them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from reconciler.decide.status.service_status import worst
from reconciler.decide.status.status import exit_code, judge
from reconciler.model.desired import Condition, Dependency, DesiredState, Endpoint, Service, Stack, Volume
from reconciler.model.documents import GIB, MIB, Memory
from reconciler.model.history import Attempt, Bad, Good, History, RestartBackoff
from reconciler.model.observed import (
    COMPOSE_PROJECT,
    LABEL_HOST,
    Container,
    Foreign,
    ObservedState,
    ObservedVolume,
)
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Action
from reconciler.model.status import Agent, Health, Holding, HostStatus, Rollout, SourceFacts, StatusFacts, Sync
from reconciler.model.times import engine_time

NOW = 1_800_000_000.0
GOOD, HEAD = "a" * 40, "b" * 40
STARTED = datetime.fromtimestamp(NOW - 60, UTC).isoformat()


def service(name: str = "web", **changes: object) -> Service:
    made = Service("shop", name, f"spec-{name}", {}, "sha256:1", "image:1", 1, 64 * MIB, False, 10, "always")
    return replace(made, **changes)  # type: ignore[arg-type]


def container(of: Service, **changes: object) -> Container:
    made = Container(
        id=f"id-{of.name}",
        name=of.container(1),
        stack=of.stack,
        service=of.name,
        number=1,
        state="running",
        health="healthy",
        spec=of.spec,
        host="mini",
        started_at=STARTED,
        memory=of.memory,
        detailed=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def attempt(revision: str, outcome: Outcome, **changes: object) -> Attempt:
    made = Attempt("1", revision, Intent.ADVANCE, NOW - 100, outcome=outcome, ended_at=NOW - 50)
    return replace(made, **changes)  # type: ignore[arg-type]


def facts(services: list[Service], containers: list[Container], **changes: object) -> StatusFacts:
    """A host that runs its last good commit, which is the head."""
    made = StatusFacts(
        host="mini",
        agent=Agent(running=True),
        source=SourceFacts("/srv/git/home.git", "main", GOOD),
        history=History((attempt(GOOD, Outcome.SUCCEEDED),), Good(GOOD, "content", NOW - 50)),
        desired=DesiredState("mini", GOOD, "content", Memory(), (Stack("shop", tuple(services), (), ()),)),
        observed=ObservedState(tuple(containers), memory_total=24 * GIB, complete=True),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def one(**changes: object) -> StatusFacts:
    return facts([service()], [container(service())], **changes)


def axes(status: HostStatus) -> tuple[Sync, Health, Reason | None]:
    return status.sync, status.health, status.reason


ENDED = {"state": "exited", "health": "none"}

CELLS = {
    "healthy": ({}, {}, Sync.SYNCED, Health.HEALTHY, None),
    "no healthcheck": ({}, {"health": "none"}, Sync.SYNCED, Health.HEALTHY, None),
    "starting": ({}, {"health": "starting"}, Sync.SYNCED, Health.PROGRESSING, None),
    "unhealthy": ({}, {"health": "unhealthy"}, Sync.SYNCED, Health.DEGRADED, Reason.HEALTH_CHECK_FAILED),
    "paused": ({}, {"state": "paused"}, Sync.OUT_OF_SYNC, Health.SUSPENDED, None),
    "crash loop": ({}, {"state": "restarting"}, Sync.SYNCED, Health.DEGRADED, Reason.CRASHED),
    "out of memory": (
        {},
        {"state": "restarting", "oom_killed": True},
        Sync.SYNCED,
        Health.DEGRADED,
        Reason.OUT_OF_MEMORY,
    ),
    "exited 0 but should run": ({}, ENDED, Sync.OUT_OF_SYNC, Health.DEGRADED, Reason.CRASHED),
    "dead": ({}, {"state": "dead"}, Sync.OUT_OF_SYNC, Health.DEGRADED, Reason.CRASHED),
    "created": ({}, {"state": "created"}, Sync.OUT_OF_SYNC, Health.MISSING, None),
    "being removed": ({}, {"state": "removing"}, Sync.OUT_OF_SYNC, Health.MISSING, None),
    "another spec": ({}, {"spec": "old"}, Sync.OUT_OF_SYNC, Health.HEALTHY, None),
    "made by somebody else": ({}, {"spec": None}, Sync.OUT_OF_SYNC, Health.HEALTHY, None),
    "network lost": ({"endpoints": (Endpoint("shop_default"),)}, {}, Sync.OUT_OF_SYNC, Health.HEALTHY, None),
    "network there": (
        {"endpoints": (Endpoint("shop_default"),)},
        {"networks": frozenset({"shop_default", "another"})},
        Sync.SYNCED,
        Health.HEALTHY,
        None,
    ),
    "a replica is missing": ({"replicas": 2}, {}, Sync.OUT_OF_SYNC, Health.MISSING, None),
    "one too many": ({"replicas": 0}, {}, Sync.OUT_OF_SYNC, Health.HEALTHY, None),
    "job done": ({"completes": True}, ENDED, Sync.SYNCED, Health.HEALTHY, None),
    "job at work": ({"completes": True}, {"health": "none"}, Sync.SYNCED, Health.HEALTHY, None),
    "job failed": (
        {"completes": True},
        ENDED | {"exit_code": 3},
        Sync.OUT_OF_SYNC,
        Health.DEGRADED,
        Reason.CRASHED,
    ),
    "job that never started": (
        {"completes": True},
        ENDED | {"started_at": "0001-01-01T00:00:00Z"},
        Sync.OUT_OF_SYNC,
        Health.DEGRADED,
        Reason.CRASHED,
    ),
}


@pytest.mark.parametrize("cell", CELLS)
def test_service(cell: str) -> None:
    of_service, of_container, sync, health, reason = CELLS[cell]
    wanted = service(**of_service)  # type: ignore[arg-type]
    status = judge(facts([wanted], [container(wanted, **of_container)]))  # type: ignore[arg-type]
    [row] = status.stacks[0].services
    assert (row.sync, row.health, row.reason) == (sync, health, reason)
    assert (status.stacks[0].sync, status.stacks[0].health) == (sync, health)
    assert (status.sync, status.health) == (sync, health), "the host is as its only service"


def test_a_service_without_containers_is_missing() -> None:
    [row] = judge(facts([service()], [])).stacks[0].services
    assert (row.sync, row.health, row.running, row.containers) == (Sync.OUT_OF_SYNC, Health.MISSING, 0, ())


def test_a_job_that_succeeded_once_needs_no_container() -> None:
    job = service("migrate", completes=True)
    known = History(last_good=Good(GOOD, "content", NOW), ran_once=frozenset({job.spec}))
    assert axes(judge(facts([job], [], history=known)))[:2] == (Sync.SYNCED, Health.HEALTHY)


def test_standbys_and_one_off_containers_do_not_count() -> None:
    web = service()
    standby = container(web, id="old", name="shop-web-1.standby", state="exited", spec="old")
    by_hand = container(web, id="run", name="shop-web-run-1", oneoff=True, spec=None)
    [row] = judge(facts([web], [container(web), standby, by_hand])).stacks[0].services
    assert (row.sync, row.health, row.containers) == (Sync.SYNCED, Health.HEALTHY, ("id-web",))


def test_the_candidate_speaks_for_the_service_while_the_old_container_is_there() -> None:
    web = service()
    old = container(web, id="old", spec="old")
    new = container(web, id="new", name="shop-web-2", health="unhealthy")
    [row] = judge(facts([web], [old, new])).stacks[0].services
    assert (row.sync, row.health, row.running) == (Sync.OUT_OF_SYNC, Health.DEGRADED, 2)


def test_a_candidate_that_is_not_started_does_not_hide_the_running_container() -> None:
    web = service()
    old = container(web, id="old", spec="old")
    new = container(web, id="new", name="shop-web-2", state="created", health="none")
    [row] = judge(facts([web], [old, new])).stacks[0].services
    assert (row.sync, row.health, row.running) == (Sync.OUT_OF_SYNC, Health.HEALTHY, 1)
    [row] = judge(facts([web], [replace(old, name="shop-web-1.standby", state="exited"), new])).stacks[0].services
    assert (row.sync, row.health) == (Sync.OUT_OF_SYNC, Health.MISSING)


def test_our_container_that_nothing_asks_for_is_shown_and_out_of_sync() -> None:
    old = container(service("old"), health="unhealthy")
    status = judge(facts([service()], [container(service()), old]))
    row = status.stacks[0].services[1]
    assert (row.service, row.desired, row.running, row.sync, row.health) == (
        "old",
        0,
        1,
        Sync.OUT_OF_SYNC,
        Health.DEGRADED,
    )
    assert status.sync is Sync.OUT_OF_SYNC


def test_another_hosts_container_in_our_project_is_not_shown() -> None:
    theirs = container(service("theirs"), host=None)
    assert [row.service for row in judge(facts([service()], [container(service()), theirs])).stacks[0].services] == [
        "web"
    ]


def test_a_stack_that_the_commit_removed_is_still_shown_while_it_runs() -> None:
    gone = replace(container(service("app")), stack="blog", name="blog-app-1")
    status = judge(facts([service()], [container(service()), gone]))
    assert [(stack.name, stack.sync) for stack in status.stacks] == [
        ("shop", Sync.SYNCED),
        ("blog", Sync.OUT_OF_SYNC),
    ]


def test_a_suspended_stack_says_nothing_about_the_host() -> None:
    web, off = service(), replace(service("app"), stack="blog")
    state = one().desired
    assert state is not None
    state = replace(state, stacks=(*state.stacks, Stack("blog", (off,), (), (), suspended=True)))
    status = judge(one(desired=state))
    assert status.stacks[1].health is Health.SUSPENDED
    assert (status.sync, status.health) == (Sync.SYNCED, Health.HEALTHY)
    only = replace(state, stacks=(Stack("shop", (web,), (), (), suspended=True),))
    assert judge(one(desired=only)).health is Health.SUSPENDED


def test_all_is_well() -> None:
    status = judge(one())
    assert axes(status) == (Sync.SYNCED, Health.HEALTHY, Reason.RECONCILIATION_SUCCEEDED)
    assert (status.last_attempted, status.last_applied, status.last_good) == (GOOD, GOOD, GOOD)
    assert status.since == NOW - 50
    assert exit_code(one(), status) == 0


def test_an_untried_head_is_out_of_sync_though_all_is_healthy() -> None:
    known = one(source=SourceFacts("/srv/git/home.git", "main", HEAD))
    status = judge(known)
    assert axes(status) == (Sync.OUT_OF_SYNC, Health.HEALTHY, None)
    assert "bbbbbbb" in status.message
    assert exit_code(known, status) == 1


def test_a_reverted_head_tells_why() -> None:
    bad = attempt(HEAD, Outcome.ROLLED_BACK, reason=Reason.CRASHED, message="shop/web exited 1", reverted_to=GOOD)
    known = one(
        source=SourceFacts("/srv/git/home.git", "main", HEAD),
        history=History((attempt(GOOD, Outcome.SUCCEEDED), bad), Good(GOOD, "content", NOW - 500)),
    )
    status = judge(known)
    assert axes(status) == (Sync.OUT_OF_SYNC, Health.HEALTHY, Reason.CRASHED)
    assert (status.message, status.since) == ("shop/web exited 1", NOW - 50)
    assert (status.last_attempted, status.last_applied, status.last_good) == (HEAD, GOOD, GOOD)


def test_a_quarantined_head_whose_attempt_is_forgotten_still_tells_why() -> None:
    bad = Bad(HEAD, None, Reason.POLICY_VIOLATION, NOW - 9)
    known = History(last_good=Good(GOOD, "content", NOW), quarantined={HEAD: bad})
    status = judge(one(source=SourceFacts("/srv", "main", HEAD), history=known))
    assert (status.reason, status.since) == (Reason.POLICY_VIOLATION, NOW - 9)


def test_another_sha_with_the_good_content_is_in_sync() -> None:
    known = History((attempt(GOOD, Outcome.SUCCEEDED), attempt(HEAD, Outcome.SUCCEEDED)), Good(GOOD, "content", NOW))
    assert judge(one(source=SourceFacts("/srv", "main", HEAD), history=known)).sync is Sync.SYNCED


def test_during_a_rollout_the_host_progresses_towards_the_head() -> None:
    rollout = Rollout("2", HEAD, Intent.ADVANCE, 3, 9, Action.WAIT_HEALTHY, "shop", "web", NOW - 5)
    known = one(source=SourceFacts("/srv", "main", HEAD), rollout=rollout)
    status = judge(known)
    assert axes(status) == (Sync.OUT_OF_SYNC, Health.PROGRESSING, None)
    assert status.message == "Advance to bbbbbbb, step 3 of 9: WaitHealthy shop/web"
    assert status.since == NOW - 5


def test_a_running_trial_is_no_service_of_its_own() -> None:
    trial = replace(container(service("web.trial")), host="mini")
    rollout = Rollout("2", HEAD, Intent.ADVANCE, 3, 9, Action.WAIT_HEALTHY, "shop", "web.trial", NOW - 5)

    def rows(**changes: object) -> list[str]:
        status = judge(facts([service()], [container(service()), trial], **changes))
        return [row.service for stack in status.stacks for row in stack.services]

    assert rows(rollout=rollout) == ["web"]
    assert rows() == ["web", "web.trial"], "one that a killed agent has left over"


def test_without_the_engine_health_is_unknown_and_never_good() -> None:
    asked = one(observed=None, engine_error="the engine does not answer")
    status = judge(asked)
    assert axes(status) == (Sync.UNKNOWN, Health.UNKNOWN, Reason.ENGINE_UNAVAILABLE)
    assert status.leftovers is None
    assert exit_code(asked, status) == 3
    not_asked = one(observed=None)
    assert exit_code(not_asked, judge(not_asked)) == 1


def test_a_head_that_differs_is_out_of_sync_even_without_the_engine() -> None:
    assert judge(one(observed=None, source=SourceFacts("/srv", "main", HEAD))).sync is Sync.OUT_OF_SYNC


def test_a_host_that_has_never_fetched_knows_nothing() -> None:
    status = judge(one(source=SourceFacts("/srv", "main"), history=History(), desired=None))
    assert axes(status) == (Sync.UNKNOWN, Health.MISSING, None)
    assert (status.last_attempted, status.last_applied, status.last_good) == (None, None, None)


def test_a_good_state_that_cannot_be_read_is_unknown_not_fine() -> None:
    known = one(desired=None)
    status = judge(known)
    assert status.sync is Sync.UNKNOWN
    assert exit_code(known, status) == 1


def test_a_hold_explains_before_anything_else() -> None:
    hold = Holding(Reason.NOT_FAST_FORWARD, "the branch was rewritten", "push on top", NOW - 3)
    status = judge(one(holding=hold, source=SourceFacts("/srv", "main", HEAD, error="gone")))
    assert (status.reason, status.message, status.since, status.stalled) == (
        Reason.NOT_FAST_FORWARD,
        "the branch was rewritten; push on top",
        NOW - 3,
        False,
    )


def test_stalled_needs_a_person() -> None:
    held = one(holding=Holding(Reason.STALLED, "three starts without an end"))
    assert judge(held).stalled
    assert exit_code(held, judge(held)) == 4
    failed = History((attempt(HEAD, Outcome.ROLLBACK_FAILED),), Good(GOOD, "content", NOW))
    at_head = one(history=failed, source=SourceFacts("/srv", "main", HEAD))
    assert judge(at_head).stalled
    newer = one(history=failed, source=SourceFacts("/srv", "main", "c" * 40))
    assert not judge(newer).stalled, "a new commit is a new chance"


def test_a_service_that_is_left_alone_is_degraded_and_says_so() -> None:
    ill, backoffs = container(service(), health="unhealthy"), {("shop", "web"): RestartBackoff((NOW,), given_up=True)}
    known = replace(one().history, backoffs=backoffs)
    status = judge(facts([service()], [ill], history=known))
    assert axes(status) == (Sync.SYNCED, Health.DEGRADED, Reason.HEALTH_CHECK_FAILED)
    assert status.message == (
        "shop/web is Degraded; after 5 starts within 10 minutes it is left alone until it stays healthy; "
        f"look at its log; a new commit or `reconciler retry {GOOD[:12]}` begins anew"
    )


def test_a_failed_fetch_is_told_only_when_nothing_worse_is() -> None:
    source = SourceFacts("/srv", "main", GOOD, NOW - 900, "cannot reach /srv")
    status = judge(one(source=source))
    assert (status.reason, status.since) == (Reason.FETCH_FAILED, NOW - 900)
    sick = facts([service()], [container(service(), health="unhealthy")], source=source)
    assert judge(sick).reason is Reason.HEALTH_CHECK_FAILED


PREPARED = {"content": "other"}


@pytest.mark.parametrize(
    ("last", "applied"),
    [
        (attempt(HEAD, Outcome.STARTED, ended_at=None), GOOD),
        (attempt(HEAD, Outcome.STARTED, ended_at=None, **PREPARED), None),
        (attempt(HEAD, Outcome.INTERRUPTED, **PREPARED), None),
        (attempt(HEAD, Outcome.ROLLBACK_FAILED, **PREPARED), None),
        (attempt(HEAD, Outcome.ROLLED_BACK, reverted_to=GOOD, **PREPARED), GOOD),
        (attempt(HEAD, Outcome.ROLLED_BACK, **PREPARED), None),
        (attempt(HEAD, Outcome.REJECTED), GOOD),
        (attempt(HEAD, Outcome.SUPERSEDED), GOOD),
        (attempt(HEAD, Outcome.FAILED), GOOD),
        (attempt(HEAD, Outcome.FAILED, **PREPARED), None),
    ],
)
def test_what_the_machine_holds(last: Attempt, applied: str | None) -> None:
    known = History((attempt(GOOD, Outcome.SUCCEEDED), last), Good(GOOD, "content", NOW))
    status = judge(one(history=known))
    assert (status.last_applied, status.last_attempted) == (applied, HEAD)


def test_a_commit_with_the_good_content_needs_no_work_to_be_attempted_and_applied() -> None:
    same = attempt(HEAD, Outcome.SUCCEEDED, started_at=NOW, ended_at=NOW)
    known = History((attempt(GOOD, Outcome.SUCCEEDED), same), Good(HEAD, "content", NOW))
    status = judge(one(history=known))
    assert (status.last_attempted, status.last_applied) == (HEAD, HEAD)


def test_a_commit_refused_at_sight_was_never_attempted() -> None:
    refused = attempt(HEAD, Outcome.REJECTED, started_at=NOW, ended_at=NOW)
    known = History((attempt(GOOD, Outcome.SUCCEEDED), refused), Good(GOOD, "content", NOW))
    status = judge(one(history=known))
    assert (status.last_attempted, status.last_applied) == (GOOD, GOOD)


def test_memory_counts_what_runs_and_what_stays() -> None:
    after = (Dependency("shop", "migrate", Condition.COMPLETED),)
    web, job = service(replicas=2, depends_on=after), service("migrate", completes=True, memory=256 * MIB)
    seen = ObservedState(
        (container(web), container(web, id="2", name="shop-web-2"), container(job, state="exited")),
        (Foreign("x", "theirs", 100 * MIB),),
        memory_total=24 * GIB,
        complete=True,
    )
    silent = judge(facts([web, job], [], observed=seen))
    assert (silent.memory.measured, {row.usage for stack in silent.stacks for row in stack.services}) == (False, {None})
    known = facts([web, job], [], observed=seen, usage={"id-web": MIB, "2": 2 * MIB})
    status = judge(known)
    memory = status.memory
    assert (memory.committed, memory.foreign, memory.engine) == (144 * MIB, 108 * MIB, 24 * GIB)
    assert (memory.steady, memory.steady_limit, memory.budget) == (144 * MIB, int(14 * GIB * 0.8), 14 * GIB)
    row = status.stacks[0].services[0]
    assert (row.limit, row.usage) == (128 * MIB, 3 * MIB)


def test_a_sparse_look_leaves_unknown_what_it_did_not_ask() -> None:
    status = judge(one(observed=ObservedState((container(service()),))))
    assert (status.memory.committed, status.memory.foreign, status.memory.engine) == (None, None, None)
    assert status.leftovers is None


def test_leftovers_are_volumes_of_ours_that_nothing_asks_for() -> None:
    volumes = {
        "shop_data": ObservedVolume(labels={COMPOSE_PROJECT: "shop"}),
        "shop_old": ObservedVolume(labels={COMPOSE_PROJECT: "shop"}),
        "gone_data": ObservedVolume(labels={LABEL_HOST: "mini", COMPOSE_PROJECT: "gone"}),
        "namesake": ObservedVolume(labels={LABEL_HOST: "mini", COMPOSE_PROJECT: "another-agents"}),
        "theirs": ObservedVolume(labels={COMPOSE_PROJECT: "theirs"}),
    }
    wanted = Volume("shop", "data", "shop_data", {})
    known = one(observed=ObservedState((container(service()),), volumes=volumes, complete=True))
    assert known.desired is not None
    state = replace(known.desired, stacks=(Stack("shop", (service(),), (), (wanted,)),))
    history = replace(known.history, stacks=frozenset({"gone"}))
    assert judge(replace(known, desired=state, history=history)).leftovers == ("gone_data", "shop_old")


def test_a_whole_is_as_healthy_as_its_worst_part() -> None:
    assert worst([]) is Health.HEALTHY
    assert worst([Health.MISSING, Health.DEGRADED, Health.PROGRESSING]) is Health.DEGRADED
    assert worst([Health.HEALTHY, Health.SUSPENDED]) is Health.SUSPENDED


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-01T08:30:00.123456789Z", 1772353800.123456),
        ("2026-03-01T09:30:00+01:00", 1772353800.0),
        ("0001-01-01T00:00:00Z", None),
        ("2026-03-01T08:30:00", None),
        ("", None),
    ],
)
def test_engine_time(text: str, seconds: float | None) -> None:
    assert engine_time(text) == (pytest.approx(seconds) if seconds else None)
