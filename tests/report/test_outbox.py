"""The thread beside the acting one: it delays nobody, and ends with its process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from reconciler.model.history import History
from reconciler.report import outbox as outboxes
from reconciler.report.outbox import Outbox
from tests.report.attempts import bad, good, history

GOOD, BOTH = history(good()), history(good(), bad())


@dataclass
class Steps:
    """In place of a delivery: `answers` of its steps, then None."""

    answers: list[float | None] = field(default_factory=list)
    during: Callable[[], None] = lambda: None
    heard: list[History] = field(default_factory=list)

    def step(self, told: History) -> float | None:
        self.heard.append(told)
        self.during()
        return self.answers.pop(0) if self.answers else None


def made(steps: Steps, stop: threading.Event | None = None) -> Outbox[History]:
    return Outbox(steps, stop or threading.Event())


def test_what_is_heard_is_told_before_the_end() -> None:
    steps = Steps([0.0, 0.0])
    with made(steps) as outbox:
        outbox.hear(GOOD)
    assert steps.heard == [GOOD] * 3
    assert not outbox.busy


def test_what_waits_is_not_waited_for_at_the_end() -> None:
    steps, begun = Steps([600.0]), time.monotonic()
    with made(steps) as outbox:
        outbox.hear(GOOD)
        while not steps.heard:
            time.sleep(0.01)
        while outbox.busy:
            time.sleep(0.01)
    assert time.monotonic() - begun < 5.0


def test_a_forge_that_never_answers_delays_the_end_by_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outboxes.PATIENCE == 5.0
    monkeypatch.setattr(outboxes, "PATIENCE", 60.0)
    never, begun = threading.Event(), time.monotonic()
    with made(Steps(during=lambda: cast(None, never.wait()))) as outbox:
        outbox.hear(GOOD)
        assert time.monotonic() - begun < 60.0, "hearing waits for nothing"
        monkeypatch.setattr(outboxes, "PATIENCE", 0.3)
        begun = time.monotonic()
    assert time.monotonic() - begun < 5.0
    never.set()


def test_something_new_ends_a_pause() -> None:
    steps = Steps([600.0])
    with made(steps) as outbox:
        outbox.hear(GOOD)
        while outbox.busy:
            time.sleep(0.01)
        outbox.hear(BOTH)
        while len(steps.heard) < 2:
            time.sleep(0.01)
    assert steps.heard == [GOOD, BOTH]


def test_the_same_history_is_looked_at_once() -> None:
    steps = Steps()
    with made(steps) as outbox:
        for _ in range(5):
            outbox.hear(GOOD)
            while outbox.busy:
                time.sleep(0.01)
    assert steps.heard == [GOOD]


def test_a_defect_stays_in_the_thread() -> None:
    def break_it() -> None:
        raise RuntimeError("a defect")

    with made(Steps(during=break_it)) as outbox:
        outbox.hear(GOOD)
        while outbox.busy:
            time.sleep(0.01)
        with outbox.resting():
            pass
