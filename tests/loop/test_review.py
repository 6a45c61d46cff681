"""Lives in which something goes wrong at the wrong moment. Each of them once ended badly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.plan import Action
from tests.fakes.behaviour import always_starting, crashing, never_healthy, one_shot
from tests.fakes.life import Life, document, service
from tests.fakes.machine import Died, FakeMachine


def settled(life: Life) -> Life:
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn
    assert_quiet(life)
    return life


def assert_quiet(life: Life) -> None:
    life.turn()
    assert life.effects == 0, life.machine.trace[-life.effects :]


def crash_before(life: Life, effect: str) -> None:
    """The next process dies just before the first effect whose name contains `effect`."""

    class Watching(type(life.machine.effects)):  # type: ignore[misc]
        def point(self, name: str) -> None:
            if effect in name:
                raise Died
            super().point(name)

    life.start()
    life.machine.effects = Watching()
    with pytest.raises(Died):
        life.turn()
    life.start()


def goes_down(life: Life, name: str) -> None:
    """The container exits, and its policy does not start it again."""
    life.machine.named(name).restart = "no"
    life.machine.exits(name, 1)


# -- held and refused heads --------------------------------------------------------------------------------------


def three(version: str) -> dict[str, Any]:
    return {name: service(f"{name}:{version}") for name in ("web", "api", "db")}


def test_a_held_commit_leaves_a_cut_off_rollout_at_last_good() -> None:
    life = Life()
    life.push(**three("1"))
    settled(life)
    before = life.machine.snapshot()
    life.push(**three("2"))
    crash_before(life, "journal ended")
    life.push(db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.FILE_MISSING)
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_commit_that_overtakes_and_is_then_held_leaves_last_good() -> None:
    life = Life()
    life.push(**three("1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", always_starting())
    life.push(**three("2"))
    life.during["WaitHealthy"] = lambda: life.push(db=service("db:1"))
    turn = life.turn()
    assert turn.outcome is Outcome.HELD
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_commit_that_overtakes_and_cannot_be_judged_leaves_last_good() -> None:
    life = Life()
    life.push(web=service("web:1"), db=service("db:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", always_starting())
    life.push(web=service("web:2"), db=service("db:1"))
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]

    def newer() -> None:
        life.machine.add_foreign("holder", 1 << 20, [("0.0.0.0", 8080, "tcp")])
        life.push(web=service("web:3", ports=ports), db=service("db:1"))

    life.during["WaitHealthy"] = newer
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert life.machine.snapshot() == before
    assert_quiet(life)


def test_a_first_commit_cut_off_and_then_refused_leaves_nothing_running() -> None:
    life = Life()
    life.push(web=service("web:1"))
    crash_before(life, "journal ended")
    assert life.running()
    refused = life.push(web=service("web:2", mem_limit=str(8 << 30)))
    assert life.turn().outcome is Outcome.REJECTED
    life.turn()
    assert life.running() == {}
    assert_quiet(life)
    assert life.reporter.told[refused][0] == "failure"


def test_each_head_gets_a_final_state_though_a_repair_was_cut_off() -> None:
    life = Life()
    life.push(**three("1"))
    settled(life)
    held = life.push(db=service("db:1"))
    life.machine.vanishes("shop-web-1")
    crash_before(life, "start")
    life.push(**three("2"))
    settled(life)
    assert life.reporter.told[held][0] == "superseded"


def test_a_restart_policy_taken_away_by_a_cut_off_rollout_is_given_back() -> None:
    life = Life()
    life.push(web=service("web:1"), api=service("api:1"), old=service("old:1"))
    settled(life)
    before = life.machine.snapshot()
    life.push(web=service("web:1"), api=service("api:1"))
    crash_before(life, "stop")
    life.push(web=service("web:3", mem_limit=str(8 << 30)))
    assert life.turn().outcome is Outcome.REJECTED
    assert life.machine.snapshot() == before
    assert_quiet(life)


# -- faults of the environment in the middle ---------------------------------------------------------------------


def test_a_fault_in_the_middle_of_the_switch_leaves_no_service_down() -> None:
    """Somebody's container has the name that the new one is to have."""
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.push(web=service("web:2", container_name="taken"))
    life.machine.add_foreign("taken", 1 << 20)
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert life.machine.snapshot() == before
    life.machine.foreign.clear()
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_container_that_somebody_removes_condemns_nothing() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    sha = life.push(web=service("web:2"))

    def remove() -> None:
        life.machine.vanishes("shop-web-1")

    life.during["WaitHealthy"] = remove
    assert life.turn().outcome is Outcome.FAILED
    assert sha not in life.reporter.told
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha][0] == "success"


def test_a_way_back_that_the_environment_hinders_is_taken_again() -> None:
    life = Life()
    ports = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
    life.push(web=service("web:1", ports=ports))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    bad = life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.add_foreign("thief", 1 << 20, [("0.0.0.0", 8080, "tcp")])
    assert life.turn().exit_code == 3
    life.machine.foreign.clear()
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.ROLLED_BACK, bad)
    assert life.machine.snapshot() == before
    life.turn()
    assert_quiet(life)


def test_a_new_commit_does_not_wait_for_a_repair_that_fails() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:1", crashing(0.1))
    goes_down(life, "shop-web-1")
    assert life.turn(patient=True).outcome is Outcome.FAILED
    life.push(web=service("web:2"))
    assert life.turn(patient=True).outcome is Outcome.SUCCEEDED


# -- the disk is full --------------------------------------------------------------------------------------------


def test_a_journal_that_cannot_be_written_ends_no_process() -> None:
    life = Life()
    life.push(web=service("web:1"))
    append = life.journal.append

    def refusing(kind: str, *, at: float, **fields: Any) -> None:
        if kind in full:
            raise Transient(Reason.DISK_FAILED, "the disk is full")
        append(kind, at=at, **fields)

    life.journal.append = refusing  # type: ignore[method-assign]
    for kind in ("seen", "started", "prepared", "ended", "closed", "told"):
        full = {kind}
        life.turn()
    full = set()
    life.settle()
    assert life.running() == {"shop-web-1": "web:1"}
    assert [a.outcome for a in life.cycle.history.attempts if a.final] == [Outcome.SUCCEEDED]


def test_secrets_that_cannot_be_used_end_no_process() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)

    def unusable() -> str:
        raise Usage(Reason.FILE_MISSING, "shop.env can be read by other users", "chmod 0600 shop.env")

    preparer = life.cycle._ports.preparer
    preparer.inputs = unusable  # type: ignore[method-assign]
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.FAILED, 3)
    assert "chmod" in turn.hint
    assert life.effects == 0


# -- secrets change ----------------------------------------------------------------------------------------------


def test_changed_secrets_that_change_nothing_are_quiet() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.store.stale |= set(life.store.states)
    life.turn()
    assert_quiet(life)


def test_changed_secrets_that_make_last_good_invalid_are_quiet() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    life.store.stale |= set(life.store.states)
    texts = dict(life.source.commits[sha].texts)
    life.source.commits[sha] = type(life.source.commits[sha])(texts | {"desired-state/mini.yaml": "kind: Nothing"}, sha)
    turn = life.turn()
    assert turn.exit_code == 1
    assert_quiet(life)
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.reporter.told[sha][0] == "success"


def secret(life: Life, sha: str, version: str) -> None:
    """The host's secrets change what this commit's web becomes."""
    texts = dict(life.source.commits[sha].texts)
    model = json.loads(texts["shop.yaml"])
    model["services"]["web"]["environment"] = {"TOKEN": version}
    model["services"]["web"]["image"] = f"web:{version}"
    life.image(f"web:{version}")
    texts["shop.yaml"] = json.dumps(model)
    life.source.commits[sha] = type(life.source.commits[sha])(texts, sha)
    life.store.stale |= set(life.store.states)


def test_changed_secrets_are_rolled_out() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    secret(life, sha, "2")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert_quiet(life)
    assert life.running() == {"shop-web-1": "web:2"}


@pytest.mark.parametrize("policy", ["missing", "always"])
def test_changed_secrets_that_fail_are_taken_back_and_quiet(policy: str) -> None:
    life = Life()
    life.behave("web:2", never_healthy())
    life.image("web:1")
    life.machine.registry |= life.machine.images
    sha = life.push(web=service("web:1", pull_policy=policy))
    settled(life)
    before = life.machine.snapshot()
    secret(life, sha, "2")
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    for _ in range(2):
        assert life.turn().exit_code == 1
        assert life.effects == 0
    assert life.reporter.told[sha] == ("success", "ReconciliationSucceeded")


# -- what is lost ------------------------------------------------------------------------------------------------


def test_a_bad_commit_without_the_journal_leaves_what_ran_before() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.journal.lines.clear()
    life.start()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    life.turn()
    assert_quiet(life)


def test_last_good_is_proven_anew_without_the_journal() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.journal.lines.clear()
    life.start()
    settled(life)
    assert life.machine.snapshot() == before
    assert life.cycle.history.last_good is not None
    assert (life.cycle.history.last_good.revision, life.cycle.history.last_good.content) != (sha, "")


def test_a_lost_store_is_rendered_anew() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.store.states.clear()
    life.turn()
    assert_quiet(life)
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    life.store.states.clear()
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_a_lost_store_and_pruned_images_leave_what_runs() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.store.states.clear()
    life.machine.images.clear()
    life.turn()
    assert_quiet(life)
    assert life.machine.snapshot() == before


def test_a_rewritten_branch_in_a_new_mirror_is_held() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    life.source.rewind(1)
    life.push(web=service("web:2"))
    del life.source.commits[sha]
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    life.machine.vanishes("shop-web-1")
    life.turn()
    assert life.running() == {"shop-web-1": "web:1"}


def test_the_way_back_is_found_without_remote_and_mirror() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    crash_before(life, "journal ended")
    life.source.commits.clear()
    life.source.away = True
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


# -- names, sharers, networks ------------------------------------------------------------------------------------


def test_a_container_name_moves_to_another_service() -> None:
    life = Life()
    life.push(web=service("web:1", container_name="front"), db=service("db:1"))
    settled(life)
    life.push(proxy=service("proxy:1", container_name="front"), db=service("db:1"))
    settled(life)
    assert life.running() == {"front": "proxy:1", "shop-db-1": "db:1"}


def test_a_container_name_that_moved_comes_back() -> None:
    life = Life()
    life.push(web=service("web:1", container_name="front"), db=service("db:1"))
    settled(life)
    before = life.machine.snapshot()
    life.behave("proxy:1", never_healthy())
    life.push(proxy=service("proxy:1", container_name="front"), db=service("db:1"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_container_names_are_swapped() -> None:
    life = Life()
    life.push(one=service("one:1", container_name="first"), two=service("two:1", container_name="second"))
    settled(life)
    life.push(one=service("one:1", container_name="second"), two=service("two:1", container_name="first"))
    settled(life)
    assert life.running() == {"second": "one:1", "first": "two:1"}


def sharing(version: str, **more: Any) -> dict[str, Any]:
    return service(f"side:{version}", health=False, network_mode="service:app", networks=None) | more


def test_a_changed_network_moves_sharers_along() -> None:
    life = Life()
    model = {"services": {"app": service("app:1"), "side": sharing("1")}}
    life.push_model(model)
    settled(life)
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    settled(life)
    app = life.machine.named("shop-app-1")
    assert life.machine.named("shop-side-1").network_mode == f"container:{app.id}"


def test_a_changed_network_with_sharers_comes_back() -> None:
    life = Life()
    model = {"services": {"app": service("app:1"), "side": sharing("1")}}
    life.push_model(model)
    settled(life)
    before = life.machine.snapshot()
    life.behave("app:2", never_healthy())
    model = {"services": {"app": service("app:2"), "side": sharing("1")}}
    life.push_model(model | {"networks": {"default": {"internal": True}}})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_sharers_start_again_with_their_leader() -> None:
    """A container that lives in another's network namespace has none once that one was started anew."""
    life = Life()
    life.push(app=service("app:1"), side=sharing("1"))
    settled(life)
    goes_down(life, "shop-app-1")
    side = life.machine.named("shop-side-1")
    starts = side.starts
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert side.starts == starts + 1
    assert_quiet(life)


def test_a_sharer_keeps_its_anonymous_volume_when_its_leader_is_replaced() -> None:
    life = Life()
    cache = {"volumes": [{"type": "volume", "target": "/cache"}]}
    life.push(app=service("app:1"), side=sharing("1", **cache))
    settled(life)
    before = life.machine.named("shop-side-1").mounts
    life.push(app=service("app:2"), side=sharing("1", **cache))
    settled(life)
    assert life.machine.named("shop-side-1").mounts == before


def test_anonymous_volumes_of_replicas_survive_a_crash_on_a_replaced_network() -> None:
    life = Life()
    web = service("web:1", deploy={"replicas": 2}, volumes=[{"type": "volume", "target": "/cache"}])
    life.push_model({"services": {"web": web}})
    settled(life)
    before = {name: life.machine.named(name).mounts for name in ("shop-web-1", "shop-web-2")}
    life.push_model({"services": {"web": web}, "networks": {"default": {"internal": True}}})
    crash_before(life, "create network")
    life.turn()
    assert {name: life.machine.named(name).mounts for name in before} == before
    assert_quiet(life)


# -- one-shots and unchanged neighbours --------------------------------------------------------------------------


def migrating(version: str) -> dict[str, Any]:
    return {
        "migrate": service(f"migrate:{version}", health=False, restart="no"),
        "web": service(f"web:{version}", after={"migrate": "service_completed_successfully"}),
    }


def test_a_one_shot_that_ended_while_nobody_looked_is_never_run_again() -> None:
    life = Life()
    for version in ("1", "2"):
        life.behave(f"migrate:{version}", one_shot())
    life.push(**migrating("1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.push(**migrating("2"))
    life.start()

    def die() -> None:
        raise Died

    life.during["WaitHealthy"] = die
    with pytest.raises(Died):
        life.turn()
    life.machine.advance(5)
    life.start()
    turn = life.turn()
    assert turn.outcome is Outcome.ROLLED_BACK
    assert "migrate already ran" in turn.message


def test_a_one_shot_that_never_ends_is_a_failure() -> None:
    life = Life()
    life.behave("migrate:1", one_shot(takes=1e9))
    life.push(**migrating("1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.ROLLED_BACK, Reason.HEALTH_CHECK_FAILED)
    assert life.machine.clock.seconds < 200


@pytest.mark.parametrize("state", ["restarting", "paused"])
def test_a_service_that_was_broken_before_is_not_held_against_the_commit(state: str) -> None:
    life = Life()
    life.push(web=service("web:1"), other=service("other:1", health=False))
    settled(life)
    life.machine.named("shop-other-1").state = state
    life.push(web=service("web:2"), other=service("other:1", health=False))
    assert life.turn().outcome is Outcome.SUCCEEDED


@pytest.mark.parametrize(
    ("done", "meddle"),
    [
        ("disconnected", lambda machine: machine.leaves("shop-web-1", "shop_default")),
        ("paused", lambda machine: machine.pauses("shop-web-1")),
        ("stopped", lambda machine: machine.halt(machine.named("shop-web-1"), 1.0)),
        ("removed", lambda machine: machine.vanishes("shop-web-1")),
    ],
)
def test_no_commit_is_condemned_for_what_somebody_does(done: str, meddle: Callable[[FakeMachine], None]) -> None:
    life = Life()
    life.push(web=service("web:1", restart="no"))
    settled(life)
    life.push(web=service("web:2", restart="no"))
    life.during["WaitHealthy"] = lambda: meddle(life.machine)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY), turn
    assert turn.message == f"shop/web: somebody {done} its container"
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2"}


def test_whoever_restarts_what_is_unhealthy_does_not_hide_a_bad_commit() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))

    def restart() -> None:
        container = life.machine.named("shop-web-1")
        life.machine.halt(container, 1.0)
        life.machine.run(container)

    life.during["WaitHealthy"] = restart
    assert life.turn().outcome is Outcome.ROLLED_BACK


# -- suspended stacks --------------------------------------------------------------------------------------------


def stacks(life: Life, **models: Mapping[str, Any]) -> str:
    """A commit with one file for each stack."""
    suspended = {name for name, model in models.items() if model.get("x-suspended")}
    document_ = json.loads(document(stacks=models))
    for item in document_["spec"]["stacks"]:
        item["suspended"] = item["name"] in suspended
        if item["name"] == "shop" and len(models) > 1:
            item["depends_on"] = [name for name in models if name != "shop"]
    for model in models.values():
        for one in model["services"].values():
            life.image(one["image"])
    files = {"desired-state/mini.yaml": json.dumps(document_)}
    files |= {f"{name}.yaml": json.dumps(model) for name, model in models.items()}
    return life.source.push(files | {"serial": str(len(life.source.commits))})


def test_a_suspended_stack_is_left_alone_and_resumed() -> None:
    life = Life()
    base, shop = {"services": {"db": service("db:1")}}, {"services": {"web": service("web:1")}}
    stacks(life, base=base, shop=shop)
    settled(life)
    db = life.machine.named("base-db-1")
    newer = {"services": {"web": service("web:2")}}
    stacks(life, base={"services": {"db": service("db:2")}, "x-suspended": True}, shop=newer)
    settled(life)
    assert life.machine.named("base-db-1") is db
    goes_down(life, "base-db-1")
    assert_quiet(life)
    stacks(life, base={"services": {"db": service("db:2")}}, shop={"services": {"web": service("web:2")}})
    settled(life)
    assert life.running() == {"base-db-1": "db:2", "shop-web-1": "web:2"}


def test_stacks_start_in_their_order() -> None:
    life = Life()
    stacks(life, base={"services": {"db": service("db:1")}}, shop={"services": {"web": service("web:1")}})
    settled(life)
    started = [step.service for step in life.steps if step.action is Action.START_CONTAINER]
    assert started == ["db", "web"]
