"""A health check of the image whose probes come too late or too often: known before anything stops."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.model.images import Image
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.lives import proven

SECOND = 1_000_000_000
SLOW = {"Test": ["CMD", "true"], "Interval": 60 * SECOND}
QUICK = {"Test": ["CMD", "true"], "Interval": SECOND, "StartInterval": SECOND // 1000}


def pushed(check: dict[str, Any] | None, image: dict[str, Any], *, local: bool = True, **more: Any) -> Life:
    """The second commit gives the service another image with this check; the deadline is 20 s."""
    life = proven(a=service("a:1"))
    life.machine.image_checks["sha256:a:2"] = image
    model = service("a:2", health=False, **more) | ({"healthcheck": check} if check else {})
    if local:
        life.image("a:2")
    else:
        life.machine.registry["a:2"] = Image("sha256:a:2")
    life.push_files({"services": {"a": model}})
    return life


LATE = "shop/a: the first probe comes 60s after the start, and healthy_deadline is 20s"
OFTEN = "shop/a: a probe each 1ms, and the minimum is 100 ms"


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize(
    ("check", "image", "more", "words"),
    [
        (None, SLOW, {}, LATE),
        ({"interval": "60s"}, SLOW, {}, LATE),
        ({"retries": 3}, SLOW, {}, LATE),
        ({"interval": "2s"}, QUICK, {}, OFTEN),
        (None, {**QUICK, "Interval": SECOND // 1000, "StartInterval": 0}, {"restart": "no"}, OFTEN),
    ],
)
def test_it_is_rejected_before_anything_stops(
    check: dict[str, Any] | None, image: dict[str, Any], more: dict[str, Any], words: str, local: bool
) -> None:
    life = pushed(check, image, local=local, **more)
    before = life.machine.snapshot()
    turn = life.turn()
    assert turn.outcome is Outcome.REJECTED, turn
    assert words in turn.message
    assert "interval" in turn.hint
    assert life.machine.snapshot() == before
    assert life.turn().outcome is Outcome.UNCHANGED


@pytest.mark.parametrize(
    ("check", "image"),
    [
        ({"interval": "2s"}, SLOW),
        ({"disable": True}, SLOW),
        ({"test": ["NONE"]}, SLOW),
        (None, {"Test": ["NONE"], "Interval": 60 * SECOND}),
        (None, {**SLOW, "StartPeriod": 30 * SECOND, "StartInterval": SECOND}),
        ({"start_interval": "1s"}, QUICK),
        ({"disable": True}, QUICK),
        ({"start_period": "30s", "start_interval": "1s"}, SLOW),
        (None, {}),
    ],
)
def test_a_check_that_comes_in_time_is_tried(check: dict[str, Any] | None, image: dict[str, Any]) -> None:
    assert pushed(check, image).turn().reason is not Reason.POLICY_VIOLATION


@pytest.mark.parametrize("more", [{"restart": "no"}, {"scale": 0}])
def test_a_one_shot_and_a_service_without_containers_wait_for_no_probe(more: dict[str, Any]) -> None:
    assert pushed(None, SLOW, **more).turn().reason is not Reason.POLICY_VIOLATION


def test_a_service_that_runs_already_is_left_alone() -> None:
    """It was good under a longer deadline, and the commit does not start it."""
    life = proven(a=service("a:1", health=False), b=service("b:1"))
    life.machine.image_checks["sha256:a:1"] = SLOW
    life.push(a=service("a:1", health=False), b=service("b:2"))
    assert life.turn().outcome is Outcome.SUCCEEDED
