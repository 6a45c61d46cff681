"""Foreign objects are taken over only after a person has agreed to exactly these."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide.hold.consent import takings
from reconciler.loop.turn import Turn
from reconciler.model.desired import DesiredState, Stack
from reconciler.model.documents import Memory
from reconciler.model.images import Image
from reconciler.model.observed import (
    COMPOSE_PROJECT,
    LABEL_HOST,
    Container,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
)
from reconciler.model.outcome import CommitState, Outcome, Reason
from tests.fakes.behaviour import never_healthy
from tests.fakes.life import Life, document, service
from tests.fakes.plain import compose_up

DATA = {"type": "volume", "source": "vault", "target": "/vault"}
VOLUMES: dict[str, Any] = {"volumes": {"vault": {}}}
HELD = (Outcome.HELD, Reason.CONSENT_MISSING)


def theirs(**services: Any) -> dict[str, Any]:
    """The foreign project shop: a database with a volume, which plain Compose has started."""
    return {"services": {"db": service("db:1", volumes=[DATA]), **services}, **VOLUMES}


def thief(name: str = "thief", image: str = "thief:1") -> dict[str, Any]:
    """A commit with its own service that mounts the project's volume."""
    return {"services": {name: service(image, volumes=[DATA])}, **VOLUMES}


def foreign(**services: Any) -> Life:
    life = Life()
    compose_up(life, theirs(**services))
    life.machine.advance(5.0)
    return life


def said(turn: Turn) -> tuple[Outcome, Reason]:
    return turn.outcome, turn.reason


def accept(life: Life) -> Turn:
    """The operator accepts the head, and the next turn is taken."""
    life.ask("accept", life.source.fetch().sha)
    return life.turn()


@pytest.mark.parametrize("name", ["thief", "db"])
def test_a_project_that_runs_already_is_held_and_nothing_of_it_touched(name: str) -> None:
    """Its own service, and another one that only uses the project's name."""
    life = foreign()
    before = life.machine.snapshot()
    life.push_model(thief(name))
    turn = life.turn()
    assert said(turn) == HELD
    for what in ("container shop-db-1", "network shop_default", "volume shop_vault"):
        assert what in turn.message
    assert f"reconciler accept {life.source.fetch().sha[:12]}" in turn.hint
    assert "adopt: [shop]" in turn.hint
    assert (life.machine.snapshot(), life.machine.links) == (before, {})
    assert said(life.turn()) == HELD
    assert life.effects == 0


@pytest.mark.parametrize("kept", ["container", "network", "volume"])
def test_whatever_is_left_of_a_project_is_the_projects(kept: str) -> None:
    """A stopped container, or only the network or the volume that a project has left."""
    life = foreign()
    if kept == "container":
        life.machine.halt(life.machine.named("shop-db-1"), 1.0)
    else:
        life.machine.vanishes("shop-db-1")
    if kept != "network":
        del life.machine.networks["shop_default"]
    if kept != "volume":
        del life.machine.volumes["shop_vault"]
    before = life.machine.snapshot()
    life.push(web=service("web:1", networks={"other": None}))
    turn = life.turn()
    assert said(turn) == HELD
    assert f"{kept} shop" in turn.message
    assert life.machine.snapshot() == before


def test_a_container_of_compose_run_is_the_projects_too() -> None:
    target = DesiredState("mini", "", "", Memory(), (Stack("shop", (), (), ()),))
    left = Container("x", "shop-tool-run-1", "shop", "tool", 1, "running", oneoff=True)
    found = takings(target, ObservedState((left,)), None, {}, ["shop"])
    assert [item.key for item in found] == ["container shop-tool-run-1"]
    assert not takings(target, ObservedState((left, replace(left, id="y", host="mini"))), None, {}, ["shop"])


def test_accept_lets_exactly_that_commit_take_the_project_over() -> None:
    life = foreign()
    life.push_model(theirs())
    life.turn()
    before = life.ids()
    turn = accept(life)
    assert turn.outcome is Outcome.SUCCEEDED
    assert life.ids() == before
    shown = "container shop-db-1, network shop_default, volume shop_vault"
    assert life.answer().message.endswith(f"may pass what holds it: {shown}")
    life.turn()
    assert life.effects == 0
    life.push_model(theirs(thief=service("thief:1", volumes=[DATA])))
    assert life.turn().outcome is Outcome.SUCCEEDED, "it is adopted: nobody is asked again"


def test_an_accept_before_anything_was_shown_consents_to_nothing() -> None:
    """An operator who accepts a commit for another reason was not asked about the project."""
    life = foreign()
    sha = life.push_model(thief())
    life.ask("accept", sha)
    assert said(life.turn()) == HELD
    assert said(life.turn()) == HELD
    assert accept(life).outcome is Outcome.SUCCEEDED


def test_consent_covers_what_was_shown_and_nothing_that_came_later() -> None:
    life = foreign()
    life.push_model(thief())
    life.turn()
    life.machine.volumes["shop_second"] = ObservedVolume(labels={COMPOSE_PROJECT: "shop"})
    turn = accept(life)
    assert said(turn) == HELD
    assert "volume shop_second" in turn.message
    assert "shop_vault" not in turn.message
    assert accept(life).outcome is Outcome.SUCCEEDED


def test_consent_to_one_commit_is_none_to_another_one_before_it_was_used() -> None:
    """Consent stays: the objects were shown, whichever commit needs them next."""
    life = foreign()
    life.push_model(thief())
    life.turn()
    life.behave("thief:9", never_healthy())
    life.push_model(thief(image="thief:9"))
    assert said(life.turn()) == HELD
    assert accept(life).outcome is Outcome.ROLLED_BACK
    life.push_model(thief())
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_the_agent_config_consents_beforehand() -> None:
    life = Life(adopt=("shop",))
    compose_up(life, theirs())
    life.machine.advance(5.0)
    life.push_model(thief())
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_another_stack_of_the_config_consents_to_nothing() -> None:
    life = foreign()
    life.adopt = ("other",)
    life.start()
    life.push_model(thief())
    assert said(life.turn()) == HELD


@pytest.mark.parametrize("labels", [{}, {COMPOSE_PROJECT: "shop"}, {COMPOSE_PROJECT: "shop", LABEL_HOST: "other"}])
@pytest.mark.parametrize("kind", ["network", "volume"])
def test_what_a_person_or_another_agent_made_is_asked_for_in_a_stack_of_ours_too(
    kind: str, labels: dict[str, str]
) -> None:
    """A volume with the stack's prefix: without labels, with Compose's, and with those of another reconciler."""
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    before = life.ids()
    if kind == "network":
        life.machine.networks["shop_vault"] = ObservedNetwork("n1", "shop_vault", labels)
        life.push(web=service("web:1", networks={"vault": None}))
    else:
        life.machine.volumes["shop_vault"] = ObservedVolume(labels=labels)
        life.push_model({"services": {"web": service("web:1", volumes=[DATA])}, **VOLUMES})
    turn = life.turn()
    assert said(turn) == HELD
    assert f"{kind} shop_vault" in turn.message
    assert ("of host other" in turn.message) == (LABEL_HOST in labels)
    assert life.ids() == before
    assert accept(life).outcome is Outcome.SUCCEEDED


def test_a_container_of_a_new_service_that_a_person_started_in_our_stack_is_asked_for() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    web = life.machine.named("shop-web-1")
    life.machine.containers["theirs"] = replace(
        web, id="theirs", name="shop-cache-1", service="cache", host=None, spec=None
    )
    life.push(web=service("web:1"), cache=service("cache:1"))
    turn = life.turn()
    assert said(turn) == HELD
    assert "container shop-cache-1 (stack shop)" in turn.message
    assert accept(life).outcome is Outcome.SUCCEEDED


def test_a_suspended_stack_lends_its_name_to_no_other_one() -> None:
    """A suspended stack with the name of a foreign project gives no access to that project's volume."""
    life = foreign()
    life.machine.volumes["vault"] = ObservedVolume(labels={COMPOSE_PROJECT: "shop"})
    life.adopt = ("blog",)
    life.start()
    text = document(stacks=("shop", "blog"))
    life.document = text.replace('"name": "shop", ', '"name": "shop", "suspended": true, ')
    assert life.document != text
    stolen = {"services": {"web": service("web:1", volumes=[DATA])}, "volumes": {"vault": {"name": "vault"}}}
    life.push_model({"services": {"web": service("web:1")}}, **{"blog.yaml": json.dumps(stolen)})
    turn = life.turn()
    assert said(turn) == HELD
    assert "volume vault (stack shop)" in turn.message


def test_a_held_commit_leaves_last_good_looked_after_and_has_no_final_state() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.volumes["shop_vault"] = ObservedVolume()
    sha = life.push_model({"services": {"web": service("web:1", volumes=[DATA])}, **VOLUMES})
    assert said(life.turn()) == HELD
    assert sha not in life.reporter.told
    life.machine.vanishes("shop-web-1")
    assert said(life.turn()) == HELD
    assert life.running() == {"shop-web-1": "web:1"}
    newer = life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (life.reporter.told[sha][0], life.reporter.told[newer][0]) == (CommitState.SUPERSEDED, CommitState.SUCCESS)


def test_the_rollback_and_a_lost_journal_ask_nobody_again() -> None:
    life = foreign()
    life.push_model(theirs())
    life.turn()
    assert accept(life).outcome is Outcome.SUCCEEDED
    life.behave("db:9", never_healthy())
    life.push_model({"services": {"db": service("db:9", volumes=[DATA])}, **VOLUMES})
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.journal.lines.clear()
    life.start()
    life.push_model(theirs(web=service("web:1")))
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_containers_with_our_label_show_what_was_consented_to_where_all_memory_is_lost() -> None:
    life = foreign()
    life.push_model(thief())
    life.turn()
    assert accept(life).outcome is Outcome.SUCCEEDED
    life.journal.lines.clear()
    life.store.states.clear()
    life.source.pinned.clear()
    life.start()
    assert life.turn().outcome is Outcome.SUCCEEDED


def appear(life: Life) -> Callable[[], None]:
    def now() -> None:
        life.machine.volumes["shop_vault"] = ObservedVolume()

    return now


def test_what_appears_after_it_was_judged_is_not_taken_either() -> None:
    """A volume of that name is made while an image is pulled."""
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.registry["late:1"] = Image("sha256:late")
    life.during["Pull"] = appear(life)
    life.push_files({"services": {"web": service("late:1", volumes=[DATA])}, **VOLUMES})
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.FAILED, Reason.CONSENT_MISSING)
    assert life.running() == {"shop-web-1": "web:1"}
    assert said(life.turn()) == HELD
    assert accept(life).outcome is Outcome.SUCCEEDED, "an attempt that failed before is no reason to refuse consent"
