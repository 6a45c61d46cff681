"""A service that asks for a trial: a bad commit stops nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from reconciler.decide.plan.trials import trial_of
from reconciler.model.desired import Trial
from reconciler.model.history import ServiceRecord
from reconciler.model.observed import LABEL_HOST, LABEL_SPEC, LABEL_STACK
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import Behaviour, crashing, never_healthy, refusing
from tests.fakes.containers import FakeContainer
from tests.fakes.life import Life, document, service

WEB = ("shop", "web")
PORTS = [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]
DATA = [{"type": "volume", "source": "data", "target": "/data"}]


def web(version: str, trial: Any = True, **more: Any) -> dict[str, Any]:
    return service(f"web:{version}", ports=PORTS, volumes=DATA, **more) | {"x-reconciler": {"trial": trial}}


def push(life: Life, version: str, **more: Any) -> str:
    return life.push_model({"services": {"web": web(version, **more)}, "volumes": {"data": {}}})


def begin() -> Life:
    life = Life()
    push(life, "1")
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.count(WEB)
    return life


def records(life: Life) -> Sequence[ServiceRecord]:
    """What the newest attempt has done to each service."""
    assert life.cycle.history.last is not None
    return life.cycle.history.last.services


def stopped(life: Life) -> list[FakeContainer]:
    """Every container that the agent stops from now on."""
    found: list[FakeContainer] = []
    life.machine.before_stop = found.append
    return found


def test_a_good_version_is_tried_and_then_switched() -> None:
    life = begin()
    stops = stopped(life)
    push(life, "2")
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED, turn
    tried, old = stops
    assert (tried.service, tried.ports, old.service) == ("web.trial", (), "web")
    assert [(mount.kind, mount.target) for mount in tried.mounts] == [("tmpfs", "/data")]
    assert tried.aliases == {"shop_default": frozenset({"web.trial"})}
    assert life.running() == {"shop-web-1": "web:2"}
    assert [(item.service, item.action) for item in records(life)] == [("web", "Switched")]
    assert not life.machine.overlaps
    life.turn()
    assert life.effects == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (never_healthy(), Reason.HEALTH_CHECK_FAILED),
        (crashing(0.1), Reason.CRASHED),
        (refusing("exec: not found"), Reason.CRASHED),
        (Behaviour(health=((0.5, "healthy"), (2.0, "unhealthy"))), Reason.HEALTH_CHECK_FAILED),
    ],
)
def test_a_bad_version_stops_nothing(behaviour: Behaviour, reason: Reason) -> None:
    life = begin()
    before = life.machine.snapshot()
    life.behave("web:2", behaviour)
    stops = stopped(life)
    push(life, "2")
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, reason)
    assert "its trial failed, and nothing was stopped" in turn.message
    assert turn.failure is not None
    assert turn.failure.service == "web"
    assert {item.service for item in stops} <= {"web.trial"}
    assert life.machine.snapshot() == before
    assert life.machine.fewest[WEB] == 1
    assert all(item.downtime == 0 for item in records(life))
    life.turn()
    assert life.effects == 0


def test_the_time_is_the_files_or_the_gates() -> None:
    for trial, seconds in ((True, 2.0), ({"time": "7s"}, 7.0)):
        life = begin()
        push(life, "2", trial=trial)
        life.steps.clear()
        life.turn()
        [waited] = [step for step in life.steps if step.service == "web.trial" and step.pause]
        assert waited.pause == seconds


def test_a_trial_that_does_not_fit_is_left_out_with_a_warning() -> None:
    life = begin()
    life.document = document(budget="256MiB")
    push(life, "2")
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED
    [warned] = [line["warnings"] for line in life.journal.lines if line["kind"] == "warned"]
    assert [(item["rule"], item["service"]) for item in warned] == [("untried", "web")]
    assert life.running() == {"shop-web-1": "web:2"}


@pytest.mark.parametrize("event", ["suspend", "stop", "push"])
def test_a_trial_that_is_cut_short_leaves_nothing_running(event: str) -> None:
    life = begin()
    push(life, "2", trial={"time": "60s"})

    def happen() -> None:
        match event:
            case "suspend":
                life.ask("suspend", why="holidays")
            case "stop":
                life.stopping = True
            case _:
                push(life, "3")

    life.during["WaitHealthy"] = happen
    life.turn()
    tried = [item for item in life.machine.containers.values() if item.service == "web.trial"]
    assert not tried
    assert life.machine.fewest[WEB] == (0 if event == "push" else 1)


@pytest.mark.parametrize("behaviour", [Behaviour(), never_healthy()])
def test_a_kill_at_any_effect_leads_to_the_same_end(behaviour: Behaviour) -> None:
    def start() -> Life:
        life = begin()
        life.behave("web:2", behaviour)
        push(life, "2")
        return life

    whole = start()
    whole.settle()
    n, died = 0, True
    while died:
        n += 1
        life = start()
        life.start(crash_at=n)
        died = life.turn_or_die() is None
        life.turn()
        life.turn()
        assert (life.running(), sorted(life.ids())) == (whole.running(), sorted(whole.ids())), n
        assert life.machine.fewest[WEB] == whole.machine.fewest[WEB], n
        assert not life.machine.overlaps
        life.turn()
        assert life.effects == 0, n
    assert n > 10


def test_what_a_trial_container_is_made_of() -> None:
    life = begin()
    made = life.store.load(life.cycle.history.last_good.content)  # type: ignore[union-attr]
    assert made is not None
    base = made.services()[WEB]
    labels = {**base.config["labels"], "traefik.enable": "true"}
    read_only = {"type": "bind", "source": "/state/trees/x", "target": "/x", "read_only": True}
    attached = {"shop_default": {"aliases": ["front"], "ipv4_address": "10.0.0.9", "priority": 5}}
    more = {"labels": labels, "hostname": "web", "networks": attached, "volumes": [*base.config["volumes"], read_only]}
    config = {**base.config, **more}
    service = base.__class__(**{**{name: getattr(base, name) for name in base.__slots__}, "config": config})
    tried = trial_of(service, Trial())
    assert tried.config["labels"].keys() == {LABEL_HOST, LABEL_STACK, LABEL_SPEC}
    assert not {"ports", "hostname"} & tried.config.keys()
    assert tried.config["networks"] == {"shop_default": {"priority": 5}}
    assert tried.config["volumes"] == [{"type": "tmpfs", "target": "/data"}, read_only]
    assert trial_of(service, Trial(shared_volumes=True)).config["volumes"] == config["volumes"]
