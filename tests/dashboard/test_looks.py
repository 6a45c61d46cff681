"""The screens, each compared with a stored text.

`RECONCILER_UPDATE_CASES=1 pytest tests/dashboard` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.alerts import Alert, Finding
from reconciler.model.history import Planned, ServiceRecord
from reconciler.model.outcome import Outcome, Reason
from reconciler.monitor.snapshot import Json, Snapshot
from tests.dashboard.conftest import Person, Stage, healthy, log_row
from tests.golden import CASES, matches
from tests.monitor.conftest import GIB, HEAD, NOW, attempt, container, failed, snapshot

ROLLOUT = {
    "attempt": "9", "revision": HEAD, "intent": "Advance", "step": 5, "steps": 12, "action": "WaitHealthy",
    "stack": "shop", "service": "web", "since": "2023-11-14T22:13:17Z",
}  # fmt: skip


def many(count: int) -> Snapshot:
    """Services of three stacks; one is degraded, one is progressing."""
    names = [(f"stack{n % 3}", f"service-{n:02}") for n in range(count)]
    shown = snapshot(containers=[container(service, stack=stack, id=service) for stack, service in names])
    [stack] = (shown.status or {})["stacks"]
    rows = [dict(row) for row in stack["services"]]
    rows[41] |= {
        "health": "Degraded",
        "reason": "HealthCheckFailed",
        "memory": {"limitBytes": 64 << 20, "usageBytes": 62 << 20},
    }
    rows[17] |= {"health": "Progressing", "desired": 2}
    status = {**(healthy().status or {}), "stacks": [{**stack, "services": rows}]}
    status["budget"] |= {"budgetBytes": 16 * GIB, "committedBytes": 4 * GIB, "steadyLimitBytes": 12 * GIB}
    return replace(shown, status=status)


def rolled_back() -> Snapshot:
    bad = replace(
        failed(1, ["loading config", "no such file: /etc/shop.toml"], "shop/web exited with 7"),
        revision="c" * 40, reverted_to=HEAD, services=(ServiceRecord("shop", "web", "Switched", 4.2),),
        planned=Planned(("shop/web",), ("shop/db",), downtime=(("shop/web", 310.0),), peak=GIB, bound=2 * GIB),
    )  # fmt: skip
    return snapshot(
        [bad, attempt(2), attempt(3, outcome=Outcome.REJECTED, reason=Reason.BUDGET_EXCEEDED, message="too big")]
    )


def engine_away() -> Snapshot:
    shown = healthy()
    assert shown.measures is not None
    budget = {**(shown.status or {})["budget"], "committedBytes": None, "foreignBytes": None, "engineBytes": None}
    status = {
        **(shown.status or {}),
        "budget": budget,
        "reason": "EngineUnavailable",
        "message": "no engine at /run/x.sock",
    }
    return replace(shown, status=status, measures=replace(shown.measures, containers=(), usage={}, answered=False))


def with_alerts() -> Snapshot:
    findings = [Finding("memory-near-limit", f"shop/db{n} uses 119 of 128 MiB") for n in range(4)]
    return replace(healthy(), alerts=tuple(Alert(item, NOW - 60) for item in findings))


PLAN: Json = {
    "kind": "Plan", "revision": HEAD, "base": "a" * 40, "intent": "Advance", "changes": True, "outcome": None,
    "reason": None, "message": "", "hint": "", "restarts": ["shop/web"], "defaults": [], "violations": [],
    "downtime": [
        {"stack": "shop", "service": "web", "order": "stop-first", "atMostSeconds": 310.0, "why": None,
         "untried": None},
    ],
    "peakBytes": GIB, "boundBytes": 2 * GIB,
    "steps": [
        {"n": 1, "action": "StopContainer", "stack": "shop", "service": "web", "container": "shop-web-1",
         "cause": "changed: image", "memoryAfterBytes": GIB},
    ],
}  # fmt: skip
DOCTOR: Json = {
    "kind": "Doctor",
    "checks": [
        {"name": "engine", "ok": True, "message": "26.1", "hint": ""},
        {"name": "clock", "ok": False, "message": "10 s behind the engine's", "hint": "start a time service"},
    ],
}

SCREENS: dict[str, tuple[Callable[[Stage], Any], list[str]]] = {
    "healthy": (lambda stage: None, []),
    "rollout": (lambda stage: stage.show(rollout=ROLLOUT, health="Progressing"), []),
    "failed": (lambda stage: stage.show(rolled_back()), []),
    "engine-away": (lambda stage: stage.show(engine_away()), []),
    "agent-absent": (
        lambda stage: stage.show(agent={"running": False, "pid": None, "version": None, "startedAt": None}),
        [],
    ),
    "nothing-known": (lambda stage: stage.show(Snapshot(NOW, "mini", 30.0)), []),
    "journal-corrupt": (
        lambda stage: stage.show(Snapshot(NOW, "mini", 30.0, error="journal.jsonl: line 3 cannot be read")),
        [],
    ),
    "alerts": (lambda stage: stage.show(with_alerts()), []),
    "sixty": (lambda stage: stage.show(many(60)), []),
    "sixty-end": (lambda stage: stage.show(many(60)), ["end"]),
    "sixty-filtered": (lambda stage: stage.show(many(60)), ["slash", "41", "enter"]),
    "log": (lambda stage: stage.lines.append(log_row("x" * 100, second=21)), ["enter"]),
    "commits": (lambda stage: stage.show(rolled_back()), ["h"]),
    "commit": (lambda stage: stage.show(rolled_back()), ["h", "enter"]),
    "plan": (lambda stage: stage.answers.update(plan=PLAN), ["p"]),
    "doctor": (lambda stage: stage.answers.update(doctor=DOCTOR), ["d"]),
    "help": (lambda stage: None, ["question_mark"]),
    "question": (lambda stage: None, ["t"]),
}


@pytest.mark.parametrize("name", SCREENS)
def test_screen_is_as_stored(stage: Stage, name: str) -> None:
    prepare, keys = SCREENS[name]
    prepare(stage)
    matches(CASES / "dashboard" / f"{name}.txt", stage.screen(*keys))


@pytest.mark.parametrize("name", ["sixty", "rollout"])
def test_wide_screen_is_as_stored(stage: Stage, name: str) -> None:
    SCREENS[name][0](stage)
    matches(CASES / "dashboard" / f"{name}-wide.txt", stage.screen(size=(120, 40)))


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (300, 100)])
def test_every_screen_works_in_a_terminal_of_any_size(stage: Stage, size: tuple[int, int]) -> None:
    async def all_screens(person: Person) -> None:
        for key in ("down", "enter", "h", "t", "question_mark", "slash"):
            assert len((await person.press(key)).splitlines()) <= size[1]
            await person.press("escape")

    stage.show(many(60))
    stage.play(all_screens, size=size)


def test_rows_fit_when_the_terminal_changes_its_size(stage: Stage) -> None:
    stage.show(many(60))
    small = stage.screen("end")

    async def resized(person: Person) -> None:
        await person.press("end")
        await person.pilot.resize_terminal(120, 40)
        wide = await person.look()
        await person.pilot.resize_terminal(80, 24)
        assert "stack2/service-59" in wide
        assert await person.look() == small

    stage.play(resized)
