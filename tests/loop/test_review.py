"""Lives in which something goes wrong at the wrong moment. Each of them once ended badly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import never_healthy, one_shot
from tests.fakes.life import Life, document, service
from tests.fakes.machine import Died


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


# -- faults of the environment in the middle ---------------------------------------------------------------------


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


# -- the disk is full --------------------------------------------------------------------------------------------


# -- secrets change ----------------------------------------------------------------------------------------------


def secret(life: Life, sha: str, version: str) -> None:
    """The host's secrets change what this commit's web becomes."""
    texts = dict(life.source.commits[sha].texts)
    model = json.loads(texts["shop.yaml"])
    model["services"]["web"]["environment"] = {"TOKEN": version}
    model["services"]["web"]["image"] = f"web:{version}"
    life.image(f"web:{version}")
    texts["shop.yaml"] = json.dumps(model)
    life.source.commits[sha] = type(life.source.commits[sha])(texts, sha)
    life.store.is_current = False


# -- what is lost ------------------------------------------------------------------------------------------------


# -- names, sharers, networks ------------------------------------------------------------------------------------


def sharing(version: str, **more: Any) -> dict[str, Any]:
    return service(f"side:{version}", health=False, network_mode="service:app", networks=None) | more


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


def test_a_container_that_loses_its_network_is_not_good() -> None:
    life = Life()
    life.push(web=service("web:1"))
    settled(life)
    life.push(web=service("web:2"))
    life.during["WaitHealthy"] = lambda: life.machine.named("shop-web-1").networks.clear()
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
