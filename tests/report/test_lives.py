"""Whole lives of an outbox: a network that fails at random, a process that dies at any write or any answer.

Afterwards each commit has exactly one terminal state on each channel and nothing is lost. A message is repeated only if
a process died before the answer, and then the forge is asked first.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from reconciler.model.history import Attempt, History
from tests.report.attempts import attempt, bad, good, history, overtaken, running
from tests.report.fake_forge import FakeForge, Reply, serving
from tests.report.outboxes import POLICY, Sender

FINAL = {"success", "failure", "failed", "error", "canceled"}


class Died(Exception):
    """The process is gone."""


def die() -> None:
    raise Died


@pytest.fixture(params=["github", "gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    with serving(request.param) as made:
        yield made
        assert made.wrong == []


def story(chance: random.Random, commits: int) -> list[History]:
    """What the journal tells, moment after moment."""
    told: list[History] = []
    done: list[Attempt] = []
    for n in range(1, commits + 1):
        sha, at, name = f"{n:040x}", 100.0 * n, f"{n}-{n:08x}"
        told.append(history(*done, attempt(name, sha, at)))
        told.append(history(*done, running(sha, at, name)))
        end = chance.choice([good, bad, overtaken])
        kept = {"stacks": ("shop",), "planned": running().planned} if end is overtaken else {}
        done.append(end(sha, at, name, **kept))
        told.append(history(*done))
    return told


def check(forge: FakeForge, told: History, sender: Sender) -> None:
    for sha, final in told.finals.items():
        for context in ("reconciler/mini", "reconciler/mini/shop"):
            rows = [item for item in forge.statuses if (item["sha"], item["context"]) == (sha, context)]
            states = [item["state"] for item in rows]
            ended = [state for state in states if state in FINAL]
            assert len(ended) == (1 if states or context == "reconciler/mini" else 0), (sha, context, states)
            assert states[-1:] == ended, "the terminal state is the newest"
            assert all({**one, "id": 0} != {**other, "id": 0} for one, other in pairwise(rows)), rows
        ours = [text for text in forge.comments_of(sha) if "reconciler:mini" in text]
        assert len(ours) <= 1
        if final.state == "failure" and "comments" in sender.policy.channels:
            assert "rolled back" in ours[0]
        assert all("rollout under way" not in text for text in ours)
        deployed = [item["states"][-1] for item in forge.deployments if item["sha"] == sha]
        assert len(deployed) <= 1
        assert set(deployed) <= {*FINAL, "inactive"}
    assert sender.delivery.step(told) is None


def sender(forge: FakeForge, folder: Path) -> Sender:
    made = Sender(forge, folder, replace(POLICY, deployments=forge.kind != "gitea"), now=50.0)
    forge.pulls = {f"{n:040x}": n for n in range(1, 20)}
    return made


@pytest.mark.parametrize("seed", range(4))
def test_any_network_and_any_deaths_leave_one_terminal_state(forge: FakeForge, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    made = sender(forge, tmp_path)
    replies = [
        Reply(503, {"message": "away"}), Reply(500, b""), Reply(200, {"id": 1}, cut=2),
        Reply(429, {}, {"Retry-After": "5"}), Reply(403, {"message": "rate limit"}, {"Retry-After": "3"}), None, None,
    ]  # fmt: skip
    hurt = [0]

    def suffer(method: str, path: str) -> None:
        """What was done there arrives nowhere."""
        if hurt[0] and chance.random() < 0.25:
            hurt[0] -= 1
            raise ConnectionError

    forge.after = suffer
    told = story(chance, 6)
    for moment in told:
        hurt[0] = 3
        forge.faults.extend(chance.choice(replies) for _ in range(chance.randrange(4)))
        made.start(chance.randrange(1, 12) if chance.random() < 0.7 else None, die)
        try:
            for _ in range(chance.randrange(12)):
                made.now += made.step(moment) or 0.0
        except Died:
            made.start()
    hurt[0] = 0
    forge.faults.clear()
    made.start()
    made.tell_all(told[-1])
    check(forge, told[-1], made)


def test_a_death_at_every_single_write(forge: FakeForge, tmp_path: Path) -> None:
    """And once the answer has come, before it is written down."""
    told = story(random.Random(3), 3)
    for crash_at in range(1, 60):
        forge.statuses, forge.comments, forge.deployments = [], [], []
        folder = tmp_path / str(crash_at)
        folder.mkdir()
        made = sender(forge, folder)
        made.start(crash_at, die)
        died = False
        for moment in told:
            try:
                made.tell_all(moment)
            except Died:
                died = True
                made.start()
                made.tell_all(moment)
        check(forge, told[-1], made)
        if not died:
            return
    raise AssertionError("more writes than there should be")
