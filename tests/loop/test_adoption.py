"""A project that plain Compose has started is adopted without a restart, and the rollback restores what ran before."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from reconciler.effects import Effects
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import never_healthy, one_shot
from tests.fakes.life import ROOT, Life, document, service
from tests.fakes.plain import FOLDER, compose_up

MiB = 1 << 20
FILES = {"conf/web.conf": "listen 80\n", "conf/more/x": "y"}


def bind(path: str, target: str) -> dict[str, Any]:
    return {"type": "bind", "source": f"{ROOT}/{path}", "target": target, "bind": {"create_host_path": True}}


def project(image: str = "web:1", **more: Any) -> dict[str, Any]:
    """A web server with a file of the commit, a database with data in a folder and a volume, and a cache."""
    anonymous = {"type": "volume", "target": "/cache"}
    data = [{"type": "volume", "source": "named", "target": "/named"}, bind("data", "/data"), anonymous]
    return {
        "services": {
            "web": service(image, volumes=[bind("conf", "/etc/web")], after={"db": "service_healthy"}),
            "db": service("db:1", volumes=data),
            "cache": service("cache:1", health=False, deploy={"replicas": 2}),
        }
        | more,
        "volumes": {"named": {}},
    }


def adopted(model: Mapping[str, Any] | None = None, **texts: str) -> Life:
    life = Life(adopt=("shop", "other"))
    compose_up(life, model or project(), **(texts or FILES))
    life.machine.advance(5.0)
    return life


def lives(life: Life) -> dict[str, tuple[str, int, str]]:
    """The existing containers, and how often each was started."""
    return {c.name: (c.id, c.starts, c.state) for c in life.machine.containers.values()}


def mounts(life: Life, name: str) -> dict[str, str]:
    return {mount.target: mount.source for mount in life.machine.named(name).mounts}


def test_nothing_is_restarted_where_facts_agree() -> None:
    life = adopted()
    before = lives(life)
    life.push_model(project(), **FILES)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.RECONCILIATION_SUCCEEDED)
    assert lives(life) == before
    assert life.machine.links == {"/state/data/shop/data": f"{FOLDER}/data"}
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0


def test_the_adoption_is_durable_before_anything_else() -> None:
    life = adopted()
    life.push_model(project(), **FILES)
    life.turn()
    effects = [item for item in life.machine.trace if not item.startswith(("journal seen", "journal started"))]
    assert effects[0] == "journal adopted"


def test_a_later_change_switches_only_its_service_and_keeps_its_data() -> None:
    life = adopted()
    life.push_model(project(), **FILES)
    life.turn()
    before, data = lives(life), mounts(life, "shop-db-1")
    life.push_model(project(db=service("db:2", volumes=project()["services"]["db"]["volumes"])), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    after = lives(life)
    assert [name for name in before if before[name] != after[name]] == ["shop-db-1"]
    kept = mounts(life, "shop-db-1")
    assert (kept["/named"], kept["/cache"]) == (data["/named"], data["/cache"])
    assert life.machine.links[kept["/data"]] == data["/data"]


def test_a_changed_file_of_the_commit_switches_the_service_that_mounts_it() -> None:
    life = adopted()
    life.push_model(project(), **FILES)
    life.turn()
    before = lives(life)
    life.machine.host_files.contents[f"{FOLDER}/conf/web.conf"] = "listen 81\n"
    life.push_model(project(), **FILES | {"conf/web.conf": "listen 81\n"})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert [name for name, life_of in lives(life).items() if before[name] != life_of] == ["shop-web-1"]


def test_a_service_that_mounts_the_whole_project_is_not_replaced_for_what_puts_it_adopted() -> None:
    whole = {"services": {"web": service("web:1", volumes=[bind("code", "/code")])}}
    life = adopted(whole, **{"code/app.py": "x"})
    before = lives(life)
    life.push_model(whole, **{"code/app.py": "x", "code/desired-state/mini.yaml": "y", "code/.gitignore": "z"})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert lives(life) == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda life: life.machine.host_files.contents.update({f"{FOLDER}/conf/web.conf": "other"}),
        lambda life: life.machine.host_files.contents.pop(f"{FOLDER}/conf/more/x"),
        lambda life: life.machine.host_files.touched.add(f"{FOLDER}/conf/more/x"),
        lambda life: life.machine.named("shop-web-1").facts.update({"user": "somebody"}),
    ],
    ids=["other-bytes", "missing", "written-after-the-start", "another-user"],
)
def test_a_service_whose_facts_differ_is_replaced_and_no_other(spoil: Callable[[Life], None]) -> None:
    life = adopted()
    spoil(life)
    before = lives(life)
    life.push_model(project(), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert [name for name, life_of in lives(life).items() if before[name] != life_of] == ["shop-web-1"]
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    causes = [step.cause for step in life.steps if step.action == "CreateContainer"]
    assert "user" in causes[0] or "mounts: /etc/web differs" in causes[0]


@pytest.mark.parametrize("broken", ["web", "db"])
def test_the_rollback_of_the_first_commit_is_what_ran_before(broken: str) -> None:
    """Replaced containers run again, although no commit was ever good; then nothing more happens."""
    life = adopted()
    before = lives(life)
    changed = project(**{broken: project()["services"][broken] | {"image": f"{broken}:9"}})
    life.behave(f"{broken}:9", never_healthy())
    life.push_model(changed, **FILES)
    turn = life.turn()
    assert turn.outcome is Outcome.ROLLED_BACK
    assert "what ran before it runs again" in turn.message
    assert {name: (id, state) for name, (id, _, state) in lives(life).items()} == {
        name: (id, state) for name, (id, _, state) in before.items()
    }
    turn = life.turn()
    assert (turn.outcome, turn.reason, life.effects) == (Outcome.UNCHANGED, Reason.REVISION_QUARANTINED, 0)
    life.push_model(project(), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert {name: id for name, (id, _, _) in lives(life).items()} == {name: id for name, (id, _, _) in before.items()}


def test_what_ran_before_is_kept_running_after_a_first_commit_that_failed() -> None:
    life = adopted()
    life.behave("web:9", never_healthy())
    life.push_model(project("web:9"), **FILES)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.machine.exits("shop-db-1", 1)
    life.machine.containers[life.ids()["shop-db-1"]].state = "exited"
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.named("shop-db-1").state == "running"


def test_a_rejected_first_commit_touches_nothing() -> None:
    life = adopted()
    before = life.machine.snapshot()
    life.push_model(project(web=service("web:1", mem_limit=str(8 << 30))), **FILES)
    assert life.turn().outcome is Outcome.REJECTED
    assert life.machine.snapshot() == before
    assert life.turn().outcome is Outcome.HELD
    assert life.machine.snapshot() == before


def test_containers_of_services_that_no_commit_names_are_left_alone() -> None:
    life = adopted(project(tools=service("tools:1")))
    before = lives(life)
    life.push_model(project(), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert lives(life) == before
    life.push_model(project("web:2"), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert lives(life)["shop-tools-1"] == before["shop-tools-1"]


def test_a_service_that_a_later_commit_drops_goes_though_it_was_adopted() -> None:
    life = adopted()
    life.push_model(project(), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    fewer = project()
    del fewer["services"]["cache"]
    life.push_model(fewer, **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert sorted(life.ids()) == ["shop-db-1", "shop-web-1"]


def test_data_of_another_folder_is_never_hidden_behind_an_empty_one() -> None:
    life = adopted()
    db = life.machine.named("shop-db-1")
    db.facts["mounts"]["/data"] = ("bind", "/srv/elsewhere", True)
    before = life.machine.snapshot()
    life.push_model(project(), **FILES)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.DEPENDENCY_NOT_READY)
    assert "/srv/elsewhere" in turn.message
    assert life.machine.snapshot() == before


def test_a_one_shot_that_has_ended_is_not_run_again() -> None:
    life = Life(adopt=("shop", "other"))
    life.behave("job:1", one_shot())
    job: dict[str, Any] = {"job": service("job:1", health=False, restart="no")}
    compose_up(life, project(**job), **FILES)
    life.machine.advance(20.0)
    before = lives(life)
    life.push_model(project(**job), **FILES)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert lives(life) == before


def test_what_did_not_run_is_not_started_on_the_rollback() -> None:
    life = adopted()
    life.machine.halt(life.machine.named("shop-cache-2"), 1.0)
    life.machine.halt(life.machine.named("shop-cache-1"), 1.0)
    life.behave("web:9", never_healthy())
    life.push_model(project("web:9", cache=project()["services"]["cache"] | {"image": "cache:9"}), **FILES)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert {name for name, (_, _, state) in lives(life).items() if state == "running"} == {"shop-db-1", "shop-web-1"}


def beside(life: Life) -> dict[str, str]:
    """A second, running stack in the Host document: it has a container of its own, without our label."""
    own = life.machine.named("shop-web-1")
    theirs = replace(own, id="other", name="other-web-1", stack="other", host=None, spec=None, folder=FOLDER)
    life.machine.containers["other"] = theirs
    life.document = document(stacks=("shop", "other"))
    return {"other.yaml": json.dumps({"services": {"web": service("web:1")}})}


def test_a_second_stack_is_adopted_beside_one_that_is_good() -> None:
    life = Life(adopt=("shop", "other"))
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    texts = beside(life)
    before = lives(life)
    life.push_model({"services": {"web": service("web:1")}}, **texts)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert lives(life) == before
    assert life.turn().outcome is Outcome.UNCHANGED


def test_a_stack_whose_adopting_commit_failed_outlives_its_revert() -> None:
    life = Life(adopt=("shop", "other"))
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    good = life.document
    texts = beside(life)
    before = lives(life)
    life.behave("web:9", never_healthy())
    life.push_model({"services": {"web": service("web:9")}}, **texts)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.document = good
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert {name: (id, state) for name, (id, _, state) in lives(life).items()} == {
        name: (id, state) for name, (id, _, state) in before.items()
    }
    life.turn()
    assert life.effects == 0


def test_what_runs_of_a_service_that_a_failed_commit_adds_runs_again() -> None:
    life = Life(adopt=("shop", "other"))
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    web = life.machine.named("shop-web-1")
    cache = replace(web, id="theirs", name="shop-cache-1", service="cache", host=None, spec=None, image="sha256:other")
    life.machine.containers["theirs"] = cache
    before = {name: (id, state) for name, (id, _, state) in lives(life).items()}
    life.behave("cache:9", never_healthy())
    life.push(web=service("web:1"), cache=service("cache:9"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert {name: (id, state) for name, (id, _, state) in lives(life).items()} == before
    life.turn()
    assert life.effects == 0
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.turn()
    assert life.effects == 0
    assert life.ids()["shop-cache-1"] == "theirs"
    life.push(web=service("web:2"), cache=service("cache:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:2", "shop-cache-1": "cache:2"}


def test_a_container_that_somebody_adds_to_a_service_of_ours_is_too_many() -> None:
    life = Life(adopt=("shop", "other"))
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    own = life.machine.named("shop-web-1")
    life.machine.containers["theirs"] = replace(own, id="theirs", name="shop-web-9", number=9, host=None, spec=None)
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert list(life.ids()) == ["shop-web-1"]


# -- crashes ---------------------------------------------------------------------------------------------------------


def good(life: Life) -> None:
    life.push_model(project(), **FILES)


def partly(life: Life) -> None:
    life.machine.named("shop-db-1").facts["user"] = "somebody"
    life.push_model(project(), **FILES)


def bad(life: Life) -> None:
    life.behave("db:9", never_healthy())
    life.push_model(project("web:2", db=project()["services"]["db"] | {"image": "db:9"}), **FILES)


def killed(life: Life, n: int) -> None:
    life.start(crash_at=n)


def asked_to_end(life: Life, n: int) -> None:
    class Asks(Effects):
        def point(self, name: str) -> None:
            super().point(name)
            life.stopping = life.stopping or self.count == n

    life.start()
    life.machine.effects = Asks()


@pytest.mark.parametrize("ended", [killed, asked_to_end])
@pytest.mark.parametrize("flow", [good, partly, bad])
def test_an_end_at_any_effect_of_an_adoption_leads_to_the_same_end(
    flow: Callable[[Life], None], ended: Callable[[Life, int], None]
) -> None:
    life = adopted()
    flow(life)
    life.settle()
    expected = (life.running(), life.machine.links, [mounts(life, name) for name in sorted(life.ids())])
    ids = {name: id for name, id in life.ids().items() if flow is not partly or "db" not in name}
    n, cut_off = 0, True
    while cut_off:
        n += 1
        life = adopted()
        ended(life, n)
        flow(life)
        cut_off = life.turn_or_die() is None or life.stopping
        if cut_off:
            life.stopping = False
            life.start()
            life.turn()
            life.turn()
        found = (life.running(), life.machine.links, [mounts(life, name) for name in sorted(life.ids())])
        assert found == expected, n
        assert {name: id for name, id in life.ids().items() if name in ids} == ids, n
        life.turn()
        assert life.effects == 0, n
        assert not life.machine.overlaps, n
    assert n > 8
