"""Builds in the life of a machine: the names they may use, their order, and their memory."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.decide.plan.planner import plan
from reconciler.loop.advance import image_steps
from reconciler.model.images import Image, ImageWant
from reconciler.model.outcome import Intent, Outcome, Reason
from reconciler.model.plan import Action
from tests.decide.planning import desired, observed
from tests.fakes.life import ROOT, Life, service

THEIRS = Image("sha256:theirs")


def built(folder: str, **more: Any) -> dict[str, Any]:
    model = service("", build={"context": f"{ROOT}/{folder}", **more.pop("build", {})}) | more
    return {key: value for key, value in model.items() if key != "image" or value}


def push(life: Life, services: dict[str, Any], **dockerfiles: str) -> str:
    files = {f"{folder}/Dockerfile": text for folder, text in dockerfiles.items()}
    return life.source.push(
        {"desired-state/mini.yaml": life.document, "shop.yaml": json.dumps({"services": services}), **files}
    )


def builds(life: Life) -> list[str]:
    """The services whose images were built, in order."""
    tags = (item.removeprefix("build ") for item in life.machine.trace if item.startswith("build "))
    return [tag.partition(":")[0].removeprefix("reconciler/shop-") for tag in tags]


@pytest.mark.parametrize(
    "web",
    [
        built("web", image="tool:1"),
        built("web", image="docker.io/library/tool:1"),
        built("web", build={"tags": ["more:1", "tool:1"]}),
    ],
    ids=["image", "in full", "tags"],
)
def test_a_name_that_somebody_else_has_given_is_not_taken(web: dict[str, Any]) -> None:
    life = Life()
    life.machine.images["tool:1"] = THEIRS
    push(life, {"web": web}, web="FROM base")
    for _ in range(2):
        turn = life.turn()
        assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.POLICY_VIOLATION)
        assert "tool:1" in turn.message
        assert "docker rmi" in turn.hint
    assert builds(life) == []
    assert life.machine.images == {"tool:1": THEIRS}
    del life.machine.images["tool:1"]
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert all(name.startswith("reconciler/") for name in life.machine.images)


def test_last_good_runs_while_a_name_is_waited_for() -> None:
    life = Life()
    push(life, {"web": built("web")}, web="FROM base")
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.images["tool:1"] = THEIRS
    push(life, {"web": built("web", image="tool:1")}, web="FROM other")
    assert life.turn().outcome is Outcome.HELD
    life.machine.halt(life.machine.named("shop-web-1"), 1)
    life.turn()
    assert life.machine.named("shop-web-1").state == "running"


def test_a_pull_does_not_take_a_name_from_an_image_that_was_made_here() -> None:
    life = Life()
    life.machine.images["tool:1"] = THEIRS
    life.push(web=service("tool:1", pull_policy="always"))
    assert life.turn().outcome is Outcome.HELD
    assert life.machine.images == {"tool:1": THEIRS}
    life.push(web=service("tool:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.images == {"tool:1": THEIRS}


def test_what_others_are_built_upon_is_built_first_and_again() -> None:
    life = Life()
    services = {
        "a": built("a"),
        "b": built("b", image="team/b:1"),
        "z": built("z", build={"tags": ["team/z"]}),
    }
    names = {"a": "FROM team/b:1\nCOPY --from=shop-z /x /x", "b": "FROM docker.io/team/z AS x", "z": "FROM base"}
    push(life, services, **names)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert builds(life) == ["z", "b", "a"]
    push(life, services, **{**names, "z": "FROM base\nRUN true"})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert builds(life)[3:] == ["z", "b", "a"]
    push(life, services, **{**names, "z": "FROM base\nRUN true", "a": names["a"] + "\nRUN true"})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert builds(life)[6:] == ["a"]


def test_images_that_are_built_upon_each_other_end_in_a_build_and_not_in_a_defect() -> None:
    life = Life()
    push(life, {"a": built("a"), "b": built("b")}, a="FROM shop-b", b="FROM shop-a")
    assert life.turn().outcome is Outcome.SUCCEEDED  # the fake builder has every base; the real one has none
    assert sorted(builds(life)) == ["a", "b"]


@pytest.mark.parametrize(("budget", "fits"), [("1100m", True), ("900m", False)])
def test_a_build_that_is_held_to_a_limit_counts_beside_what_runs(budget: str, fits: bool) -> None:
    stacks = {"shop": {"services": {"a": {"memory": "500m"}}}}
    wanted = {"memory": {"budget": budget, "reserve": "100m"}, "stacks": stacks}
    there = {"containers": {"shop-a-1": {"is": "shop/a@1 running", "memory": "500m"}}}
    want = ImageWant("shop", "a", "a", "k", "reconciler/shop-a:k", build={"context": "."})
    steps = image_steps([want], 500 << 20)
    state = desired(wanted), observed(there)
    made, quiet = (plan(*state, intent=Intent.ADVANCE, base=None, images=images) for images in (steps, ()))
    assert made.steps[0].action is Action.BUILD
    assert made.steps[0].memory_after == quiet.peak + (500 - 100 << 20)
    assert [item.rule for item in made.violations] == ([] if fits else ["build-memory"])
