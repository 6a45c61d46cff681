"""A tag that names another image on the machine than before: only services that a commit changes get the other
image."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.images import Image
from reconciler.model.outcome import Outcome
from tests.fakes.life import Life, service


def life_with(**services: dict[str, Any]) -> Life:
    """web:latest is good with its first image, and names the second one since then."""
    life = Life()
    life.machine.images["web:latest"] = Image("sha256:1")
    push(life, **services)
    assert life.turn().outcome is Outcome.SUCCEEDED
    move(life, 2)
    return life


def push(life: Life, **services: dict[str, Any]) -> str:
    return life.push_files({"services": services})


def move(life: Life, number: int) -> None:
    old = life.machine.images["web:latest"]
    life.machine.images |= {old.id: old, "web:latest": Image(f"sha256:{number}")}


def web(**more: Any) -> dict[str, Any]:
    return service("web:latest", **more)


def runs(life: Life, name: str = "web") -> str:
    return life.machine.named(f"shop-{name}-1").image


def test_a_commit_that_leaves_the_service_as_it_was_leaves_its_image() -> None:
    life = life_with(web=web())
    before = life.ids()
    sha = push(life, web=web())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha][0] == "success"
    life.image("db:1")
    push(life, web=web(), db=service("db:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.ids()["shop-web-1"] == before["shop-web-1"]


@pytest.mark.parametrize("more", [{"environment": {"A": "1"}}, {"labels": {"x": "1"}}, {"pull_policy": "always"}])
def test_a_commit_that_changes_the_service_takes_what_the_tag_names(more: dict[str, Any]) -> None:
    life = life_with(web=web())
    life.machine.registry["web:latest"] = life.machine.images["web:latest"]
    push(life, web=web(**more))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life) == "sha256:2"


def test_a_revert_leads_back_to_the_image_that_ran() -> None:
    life = life_with(web=web())
    push(life, web=web(labels={"x": "1"}))
    life.turn()
    assert runs(life) == "sha256:2"
    move(life, 3)
    push(life, web=web())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life) == "sha256:1"
    push(life, web=web(labels={"x": "1"}))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life) == "sha256:2"
    life.turn()
    assert life.effects == 0


def test_an_image_that_is_gone_is_not_waited_for() -> None:
    life = life_with(web=web())
    push(life, web=web(labels={"x": "1"}))
    life.turn()
    life.machine.images.pop("sha256:1", None)
    push(life, web=web())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life) == "sha256:2"


def test_a_name_that_is_gone_is_not_fetched_while_its_image_is_there() -> None:
    life = life_with(web=web(pull_policy="never"))
    del life.machine.images["web:latest"]
    push(life, web=web(pull_policy="never"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life) == "sha256:1"


def test_services_with_one_image_keep_or_change_it_together() -> None:
    life = life_with(a=web(), b=web())
    push(life, a=web(labels={"x": "1"}), b=web())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (runs(life, "a"), runs(life, "b")) == ("sha256:2", "sha256:2")


def test_a_new_service_beside_the_old_one_runs_the_same_image_as_it() -> None:
    life = life_with(a=web())
    push(life, a=web(), b=web())
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert runs(life, "a") == runs(life, "b")
