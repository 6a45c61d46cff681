"""What a sparse look must show so that a turn can end there."""

from __future__ import annotations

import pytest

from reconciler.decide.slots import settled
from tests.decide.planning import desired, observed

WANTED = desired({"stacks": {"shop": {"services": {"web": {}, "job": {"completes": True}}}}})


@pytest.mark.parametrize(
    ("web", "job", "expected"),
    [
        ("shop/web@1 running", "shop/job@1 exited=0", True),
        ("shop/web@1 running", "shop/job@1 running", True),
        ("shop/web@1 running", "shop/job@1 exited=1", False),
        ("shop/web@1 running", "shop/job@1 created", False),
        ("shop/web@1 exited=0", "shop/job@1 exited=0", False),
        ("shop/web@2 running", "shop/job@1 exited=0", False),
    ],
)
def test_services_run_and_one_shots_have_ended_well(web: str, job: str, expected: bool) -> None:
    seen = observed({"containers": {"shop-web-1": {"is": web}, "shop-job-1": {"is": job}}})
    assert settled(WANTED, seen, frozenset()) is expected


@pytest.mark.parametrize("extra", ["shop-web-2", "other-db-1"])
def test_nothing_else_is_there(extra: str) -> None:
    there = {"shop-web-1": {"is": "shop/web@1 running"}, "shop-job-1": {"is": "shop/job@1 exited=0"}}
    service = extra.rpartition("-")[0].replace("-", "/")
    seen = observed({"containers": {**there, extra: {"is": f"{service}@1 running"}}})
    assert settled(WANTED, seen, frozenset()) is False


def test_a_one_shot_that_ran_needs_no_container() -> None:
    seen = observed({"containers": {"shop-web-1": {"is": "shop/web@1 running"}}})
    assert settled(WANTED, seen, frozenset({"job@1"})) is True
    assert settled(WANTED, seen, frozenset()) is False
