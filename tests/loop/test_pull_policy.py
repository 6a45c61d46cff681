"""`pull_policy` in the life of a machine: each value with a present image, an old one, and none."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.images import Image
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.test_builds import builds, built, push

HOUR = 3600.0

POLICIES: list[tuple[str | None, float | None]] = [
    (None, None), ("missing", None), ("if_not_present", None), ("never", None), ("build", None), ("refresh", None),
    ("always", 0), ("daily", 24), ("weekly", 168), ("every_12h", 12), ("every_1d12h", 36), ("every_90m", 1.5),
    ("every_2w", 336), ("every_30s", 30 / HOUR),
]  # fmt: skip
"""Value → hours after which a new commit pulls what the machine has; None: never."""


def pulls(life: Life) -> list[str]:
    return [item.removeprefix("pull ") for item in life.machine.trace if item.startswith("pull ")]


def web(policy: str | None, **more: Any) -> dict[str, Any]:
    return service("web:1", **({"pull_policy": policy} if policy else {}) | more)


@pytest.mark.parametrize(("policy", "hours"), POLICIES)
def test_what_is_there_is_pulled_anew_only_when_it_is_old_enough(policy: str | None, hours: float | None) -> None:
    for older in (-0.001, 0.001):
        life = Life()
        now = life.machine.clock.now()
        life.machine.registry["web:1"] = Image("sha256:new")
        life.machine.images["web:1"] = Image("sha256:old", tagged=now - HOUR * ((hours or 1000) + older))
        life.push_files({"services": {"web": web(policy)}})
        assert life.turn().outcome is Outcome.SUCCEEDED
        anew = hours is not None and (older > 0 or hours == 0)
        assert pulls(life) == (["web:1"] if anew else [])
        assert life.machine.named("shop-web-1").image == ("sha256:new" if anew else "sha256:old")
        for _ in range(2):
            life.turn()
            assert life.effects == 0


@pytest.mark.parametrize(("policy", "hours"), POLICIES)
def test_what_is_absent_is_pulled_unless_that_is_forbidden(policy: str | None, hours: float | None) -> None:
    life = Life()
    life.machine.registry["web:1"] = Image("sha256:new")
    sha = life.push_files({"services": {"web": web(policy)}})
    turn = life.turn()
    if policy not in ("never", "build"):
        assert (turn.outcome, pulls(life)) == (Outcome.SUCCEEDED, ["web:1"])
        return
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.PULL_FAILED)
    assert turn.message.startswith(f"web:1 is not on this machine, and pull_policy is {policy}")
    assert "tried again by itself" in turn.hint
    assert (pulls(life), life.cycle.history.quarantined) == ([], {})
    life.image("web:1")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.reporter.told[sha][0] == "success"
    assert pulls(life) == []


def test_an_image_of_another_platform_is_absent() -> None:
    life = Life()
    life.push_files({"services": {"web": web("never", platform="linux/arm64")}})
    assert "web:1 is not on this machine for linux/arm64, and pull_policy is never" in life.turn().message


def test_last_good_is_kept_while_an_image_is_waited_for() -> None:
    life = Life()
    life.push(web=service("old:1"))
    life.turn()
    life.push_files({"services": {"web": web("never")}})
    assert life.turn().outcome is Outcome.HELD
    life.machine.halt(life.machine.named("shop-web-1"), 1)
    life.turn()
    assert life.running() == {"shop-web-1": "old:1"}


@pytest.mark.parametrize(("one", "other", "pulled"), [("never", None, 1), (None, "never", 1), ("never", "build", 0)])
def test_what_one_service_may_pull_another_has(one: str | None, other: str | None, pulled: int) -> None:
    life = Life()
    life.machine.registry["web:1"] = Image("sha256:new")
    life.push_files({"services": {"a": web(one), "b": web(other)}})
    assert life.turn().outcome is (Outcome.SUCCEEDED if pulled else Outcome.HELD)
    assert len(pulls(life)) == pulled


def test_the_more_frequent_of_two_policies_counts() -> None:
    life = Life()
    life.machine.registry["web:1"] = Image("sha256:new")
    life.machine.images["web:1"] = Image("sha256:old", tagged=life.machine.clock.now() - 2 * HOUR)
    life.push_files({"services": {"a": web("weekly"), "b": web("every_1h"), "c": web(None)}})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert pulls(life) == ["web:1"]


@pytest.mark.parametrize("policy", [policy for policy, _ in POLICIES])
def test_what_a_commit_builds_is_built_and_not_pulled(policy: str | None) -> None:
    """With `build` each new commit builds anew; the builder knows what has not changed."""
    life = Life()
    more = {"pull_policy": policy} if policy else {}
    push(life, {"web": built("web", image="web:1", **more)}, web="FROM base")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert (builds(life), pulls(life)) == (["web"], [])
    same = {"web": built("web", image="web:1"), "b": built("web", image="web:1", **more)}
    push(life, same, web="FROM base")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert builds(life)[1:] == (["web"] if policy == "build" else [])
