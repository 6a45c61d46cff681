"""If the process dies at any moment, the next turns continue from the observed state."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.e2e import reference
from tests.e2e.host import new_host
from tests.e2e.reference import FLOWS, Life
from tests.e2e.together import started

pytestmark = pytest.mark.engine

SHARE = {"advance": 4, "revert": 4, "repair": 3}
"""Number of crash points that are tried here, spread over the flow; the soak tests try each."""

LIVES = [(flow, part) for flow in FLOWS for part in (0, 1)]
KILLS = 4
ROLLOUTS = ("advance", "revert")
"""Flows that are long enough for a kill at a random moment."""


@pytest.fixture(scope="module")
def effects(compose: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with started(FLOWS, lambda flow: reference.effects(folder / flow, compose, flow)) as futures:
        return {flow: future.result() for flow, future in futures.items()}


@pytest.fixture(scope="module")
def crashes(
    effects: dict[str, int], compose: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, int], Future[list[int]]]]:
    folder = tmp_path_factory.mktemp("crashes")

    def tell(life: tuple[str, int]) -> list[int]:
        flow, part = life
        spread = [1 + n * (effects[flow] - 1) // (SHARE[flow] - 1) for n in range(SHARE[flow])]
        return list(reference.crashes(folder / f"{flow}-{part}", compose, flow, spread[part::2]))

    with started(LIVES, tell) as futures:
        yield futures


@pytest.mark.parametrize("life", LIVES, ids=lambda life: f"{life[0]}-{life[1] + 1}")
def test_a_crash_at_an_effect_must_be_corrected(
    crashes: dict[tuple[str, int], Future[list[int]]], life: tuple[str, int]
) -> None:
    assert len(crashes[life].result()) >= SHARE[life[0]] // 2


@pytest.fixture(scope="module")
def kills(compose: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[int]]]:
    folder = tmp_path_factory.mktemp("kills")

    def tell(flow: str) -> int:
        with new_host(folder / flow, compose) as host:
            return sum(kill_at_random(Life(host), flow))

    with started(ROLLOUTS, tell) as futures:
        yield futures


def kill_at_random(life: Life, flow: str) -> Iterator[bool]:
    """Kill a turn at a random moment, five times. Yields each time whether the turn was still running."""
    life.begin()
    chance = random.Random(flow)
    for _ in range(KILLS):
        life.push(flow)
        with life.host.started("once") as process:
            time.sleep(chance.uniform(0.4, 4.0))
            process.kill()
            yield process.wait() != 0
        life.check_end()


@pytest.mark.parametrize("flow", ROLLOUTS)
def test_a_kill_at_a_random_instant_must_be_corrected(kills: dict[str, Future[int]], flow: str) -> None:
    assert kills[flow].result() > 0
