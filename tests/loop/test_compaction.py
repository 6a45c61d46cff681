"""A shortened journal gives the same history of today, and the life continues unchanged."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from reconciler.decide.history.compaction import compacted
from reconciler.decide.history.folding import fold
from reconciler.loop.ledger import Ledger
from reconciler.model.history import History
from reconciler.model.outcome import Outcome
from tests.fakes.behaviour import STEADY, crashing
from tests.fakes.life import Life, service
from tests.fakes.machine import Died
from tests.loop.lives import assert_quiet, dies_before, proven


def today(history: History) -> Mapping[str, Any]:
    """The parts of the history that turns depend on."""
    finals = history.finals.items()
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
        "last": history.last,
        "asked": history.requests,
        "unclosed": [item.id for item in history.attempts if item.open or not item.closed],
    }


def lived(chance: random.Random, deeds: int = 25) -> Life:
    """Good and bad commits, retried ones, kills, removed containers; nothing happens at the end."""
    life, bad = Life(), ""
    for n in range(deeds):
        what = chance.choice(["good", "good", "bad", "retry", "kill", "vanish", "same"])
        life.start(chance.randrange(1, 25) if what == "kill" else None)
        if what == "bad":
            life.behave(f"web:bad{n}", crashing(0.1))
            bad = life.push(web=service(f"web:bad{n}", restart="no"), db=service("db:1"))
        elif what == "retry" and bad:
            for image in list(life.machine.images):
                life.behave(image, STEADY)
            life.ask("retry", bad)
        elif what == "vanish" and life.running():
            life.machine.vanishes(sorted(life.running())[0])
        elif what != "same":
            life.push(web=service(f"web:{chance.randrange(4)}"), db=service("db:1"))
        with suppress(Died):
            life.turn()
    life.start()
    for _ in range(3):
        life.turn()
    return life


@pytest.mark.parametrize("seed", range(15))
def test_what_is_left_tells_the_same_of_today(seed: int) -> None:
    life = lived(random.Random(seed))
    before = life.journal.lines
    assert all(item.closed for item in fold(before).attempts)
    shorter = compacted(before, recent=2)
    assert len(shorter) < 0.8 * len(before)
    assert today(fold(shorter)) == today(fold(before))
    assert compacted(shorter, recent=2) == shorter
    life.journal.lines = list(shorter)
    life.start()
    life.turn()
    assert life.effects == 0
    names = [item.id for item in life.cycle.history.attempts]
    life.push(web=service("web:new"))
    turn = life.turn()
    assert turn.outcome is not Outcome.FAILED, turn
    assert turn.attempt not in names


def test_what_is_young_is_left_alone() -> None:
    life = lived(random.Random(1))
    assert compacted(life.journal.lines) == life.journal.lines


def test_what_was_adopted_stays_proven() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    adopted = {"stack": "shop", "spec": "s", "mounts": {}, "image": "i"}
    record = {"kind": "adopted", "at": "2020-01-01T00:00:00Z", "stacks": ["shop"], "links": [], "content": None}
    life.journal.lines.insert(0, record | {"containers": {"shop-old-1": adopted}})
    for n in range(4):
        life.behave(f"bad:{n}", crashing(0.1))
        life.push(web=service(f"bad:{n}", restart="no"))
        life.turn()
    before = life.journal.lines
    assert fold(before).adopted["shop-old-1"].proven
    assert fold(compacted(before, recent=2)).adopted == fold(before).adopted


def test_commits_that_are_refused_at_sight_do_not_let_it_grow_for_ever() -> None:
    life = proven(web=service("web:1"))
    life.journal.longest = 900
    most = 0
    for n in range(400):
        life.push(web=service("web:1", privileged=True, command=[str(n)]))
        assert life.turn().outcome is not Outcome.SUCCEEDED
        most = max(most, len(life.journal.lines))
    assert most < 1100
    assert len(life.cycle.history.finals) == len(life.cycle.history.told) == 401
    assert_quiet(life)


def test_what_was_cut_off_is_not_shortened_away() -> None:
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))
    dies_before(life, "start")
    life.journal.longest = 0
    ledger = Ledger(life.journal, life.machine.clock)
    ledger.refresh()
    assert ledger.history.unfinished
    before = list(life.journal.lines)
    ledger.shorten()
    assert life.journal.lines == before
