"""A journal that was shortened tells the same of today, and the life goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings

from reconciler.decide.compaction import compacted
from reconciler.decide.folding import fold
from reconciler.model.history import History
from reconciler.model.outcome import Outcome
from tests.properties.lives import Script
from tests.properties.player import play
from tests.properties.scripts import scripts

TOO_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


def today(history: History) -> Mapping[str, Any]:
    """What turns depend on."""
    finals = history.finals.items()
    last = history.last
    return {
        "good": history.last_good,
        "quarantined": history.quarantined,
        "finals": {sha: (item.id, item.state, item.reason, item.message, item.content) for sha, item in finals},
        "told": history.told,
        "ran": history.ran_once,
        "stacks": history.stacks,
        "fetched": history.fetched,
        "head": history.seen[-1:],
        "since": history.seen_at,
        "unended": history.unended,
        "last": last,
        "open": [item.id for item in history.attempts if item.open or not item.closed],
    }


@settings(max_examples=60, deadline=None, suppress_health_check=TOO_SLOW, derandomize=True)
@given(scripts(most=20))
def test_what_is_left_tells_the_same_of_today(script: Script) -> None:
    life = play(script)
    before = life.journal.lines
    if any(not item.closed for item in fold(before).attempts):
        return
    shorter = compacted(before, recent=2)
    assert today(fold(shorter)) == today(fold(before))
    assert compacted(shorter, recent=2) == shorter
    life.journal.lines = list(shorter)
    life.start()
    life.turn()
    assert life.effects == 0
    assert [record["kind"] for record in life.journal.lines] == [record["kind"] for record in shorter]
    names = [item.id for item in life.cycle.history.attempts]
    life.push_model({"services": {"web": {"image": "web:1", "networks": {"default": None}, "restart": "always"}}})
    turn = life.turn()
    assert turn.outcome is not Outcome.FAILED, turn
    assert turn.attempt not in names
