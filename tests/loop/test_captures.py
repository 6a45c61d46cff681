"""Commits that name foreign objects."""

from __future__ import annotations

import pytest

from reconciler.model.observed import COMPOSE_PROJECT, ObservedNetwork, ObservedVolume
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service

OTHERS = {COMPOSE_PROJECT: "blog"}


def there(life: Life, kind: str, name: str, labels: dict[str, str]) -> None:
    if kind == "network":
        life.machine.networks[name] = ObservedNetwork("n1", name, labels)
    else:
        life.machine.volumes[name] = ObservedVolume(labels=labels)


def push(life: Life, kind: str) -> str:
    if kind == "network":
        return life.push(web=service("web:2", networks={"data": None}))
    mount = {"type": "volume", "source": "data", "target": "/data"}
    return life.push_model({"services": {"web": service("web:2", volumes=[mount])}, "volumes": {"data": {}}})


@pytest.mark.parametrize("kind", ["network", "volume"])
def test_what_another_project_owns_is_not_taken_by_its_name(kind: str) -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    before = life.ids()
    there(life, kind, "shop_data", OTHERS)
    push(life, kind)
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.POLICY_VIOLATION)
    assert [item.rule for item in turn.violations] == ["foreign-object"]
    assert turn.message.endswith(f"the {kind} shop_data exists and is not this stack's")
    assert life.ids() == before


@pytest.mark.parametrize("kind", ["network", "volume"])
@pytest.mark.parametrize("labels", [{}, {COMPOSE_PROJECT: "shop"}])
def test_what_is_the_projects_by_label_or_name_is_used_where_the_operator_has_consented(
    kind: str, labels: dict[str, str]
) -> None:
    life = Life(adopt=("shop",))
    there(life, kind, "shop_data", labels)
    push(life, kind)
    assert life.turn().outcome == Outcome.SUCCEEDED
