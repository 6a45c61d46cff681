"""What a snapshot says while the engine does not answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.model.endpoints import Answer, Check, Watched
from reconciler.model.measures import Machine, Usage
from reconciler.model.observed import Container
from reconciler.monitor.collector import Collector, Sources
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Board, Json, Snapshot
from tests.monitor.conftest import NOW, container, snapshot

WEB = Watched("shop", "web", "tcp://127.0.0.1:80")


class Engine:
    """`away`: it does not answer; a failed call is counted."""

    def __init__(self) -> None:
        self.away, self.errors = False, 0

    def status(self) -> tuple[Json, Sequence[Container]]:
        self.errors += self.away
        return snapshot().status or {}, [] if self.away else [container(id="web")]


def test_endpoints_are_unknown_from_the_first_look_at_an_engine_that_is_away(tmp_path: Path) -> None:
    engine, board, turn = Engine(), Board(Snapshot(NOW, "mini", 30.0)), tmp_path / "turn"
    there = container(id="web")
    nothing: Any = None
    sources = Sources(
        "mini", 30.0, engine.status, lambda: (WEB,), lambda: None, lambda limit: ({}, snapshot().past),
        lambda: [there], lambda ids: {"web": Usage(1 << 20, 1.0)}, lambda: engine.errors,
        lambda: Machine(0.1, 1, 1, 0, 0, ()), nothing, tmp_path / "journal", turn,
    )  # fmt: skip
    checks = (Check(WEB, Answer(""), NOW, NOW),)
    collector = Collector(sources, board, Samples(), checks=lambda: checks, clock=lambda: NOW)

    def look() -> tuple[bool, int]:
        turn.write_text("x" * (board.version + 1))  # a turn of the agent; the next sample is not due
        collector.turn()
        assert board.newest.measures is not None
        return board.newest.measures.answered, len(board.newest.endpoints)

    assert look() == (True, 1)
    engine.away = True
    assert look() == (False, 0)
    engine.away = False
    assert look() == (True, 1)
