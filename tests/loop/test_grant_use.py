"""Which grants last good needs, over the life of a machine: used, no longer used, and never used."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reconciler.decide.admit.grant_use import unused
from reconciler.model.documents import BindGrant, Grant, Permissions
from reconciler.model.uses import Uses
from tests.fakes.behaviour import Behaviour
from tests.fakes.life import Life, service

DAY = 86400.0
TUN = Grant("capability", "shop", "web", "a tunnel", ("NET_ADMIN",))
SPARE = Grant("capability", "shop", "db", "was asked for once", ("SYS_TIME",))
FILMS = BindGrant("/srv/films", "/srv/films", "the library")
BUNDLE = (
    Grant("devices", "shop", "web", "films", ("/dev/dri",), bundle="media"),
    Grant("runtime", "shop", "web", "films", ("nvidia",), bundle="media"),
)
PLAIN = service("web:1")
TUNNEL = service("web:2", cap_add=["NET_ADMIN"])
CINEMA = service("web:3", volumes=[{"type": "bind", "source": "/srv/films/new", "target": "/f", "read_only": True}])
SHOWN = service("web:4", devices=[{"source": "/dev/dri", "target": "/dev/dri", "permissions": "rwm"}])


def living(*entries: Grant | BindGrant) -> Life:
    life = Life()
    configure(life, *entries)
    return life


def configure(life: Life, *entries: Grant | BindGrant) -> None:
    """The operator has written these into the config, and the agent has started again."""
    grants = tuple(item for item in entries if isinstance(item, Grant))
    binds = tuple(item for item in entries if isinstance(item, BindGrant))
    life._rules = replace(life._rules, permissions=Permissions(grants, binds))
    life.start()


def told(life: Life) -> list[str]:
    found = unused(life.uses.kept.entries, life._rules.permissions, life.machine.clock.now())
    return [item.bundle or (item.policy if isinstance(item, Grant) else item.path) for item, _ in found]


def wait(life: Life, days: float) -> None:
    life.machine.clock.seconds += days * DAY
    life.turn()


def roll_out(life: Life, **services: dict[str, object]) -> None:
    life.push(**services)
    assert life.turn().outcome == "Succeeded"


@pytest.mark.parametrize(
    ("entries", "used", "name"),
    [((TUN,), TUNNEL, "capability"), ((FILMS,), CINEMA, "/srv/films"), (BUNDLE, SHOWN, "media")],
    ids=["grant", "bind", "bundle"],
)
def test_an_entry_is_told_a_month_after_the_last_commit_that_needed_it(
    entries: tuple[Grant | BindGrant, ...], used: dict[str, object], name: str
) -> None:
    life = living(*entries)
    roll_out(life, web=used)
    wait(life, 400)
    assert told(life) == []
    roll_out(life, web=PLAIN)
    wait(life, 29)
    assert told(life) == []
    wait(life, 2)
    assert told(life) == [name]
    roll_out(life, web=used)
    assert told(life) == []


def test_an_entry_that_nothing_ever_needed_counts_from_when_it_was_written() -> None:
    life = living(TUN)
    roll_out(life, web=TUNNEL)
    wait(life, 90)
    configure(life, TUN, SPARE)
    life.turn()
    assert told(life) == []
    wait(life, 31)
    assert told(life) == ["capability"]


def test_what_is_written_in_another_way_is_used_as_before_and_a_new_reason_is_no_new_entry() -> None:
    life = living(TUN, SPARE)
    roll_out(life, web=TUNNEL)
    wait(life, 20)
    configure(life, replace(TUN, service="*"), replace(SPARE, reason="nobody knows"))
    life.turn()
    wait(life, 31)
    found = unused(life.uses.kept.entries, life._rules.permissions, life.machine.clock.now())
    assert [item.reason for item, _ in found] == ["nobody knows"]


def test_a_commit_that_is_rolled_back_uses_nothing_and_takes_nothing_away() -> None:
    life = living(TUN, SPARE)
    roll_out(life, web=TUNNEL)
    life.behave("bad:1", Behaviour(exits_after=0.1, exit_code=1))
    life.push(web=PLAIN, db=service("bad:1", cap_add=["SYS_TIME"], health=False, restart="no"))
    assert life.turn().outcome == "RolledBack"
    wait(life, 31)
    assert [item for item, _ in unused(life.uses.kept.entries, life._rules.permissions, 1e12)] == [SPARE]


def test_the_record_is_written_with_a_new_last_good_and_never_in_a_quiet_turn() -> None:
    life = living(TUN)
    roll_out(life, web=TUNNEL)
    before = life.uses.read, life.uses.written
    for _ in range(5):
        wait(life, 10)
    assert (life.uses.read, life.uses.written) == before
    life.start()
    life.turn()
    assert (life.uses.read, life.uses.written) == (before[0] + 1, before[1])
    assert life.effects == 0


def test_what_is_lost_begins_anew_and_nothing_is_written_where_nothing_is_allowed() -> None:
    life = living(TUN, SPARE)
    roll_out(life, web=TUNNEL)
    wait(life, 31)
    life.uses.kept = Uses()
    life.start()
    assert life.turn().outcome == "Unchanged"
    assert told(life) == []
    wait(life, 31)
    assert told(life) == ["capability"]
    nothing = living()
    roll_out(nothing, web=PLAIN)
    assert nothing.uses.written == 0
