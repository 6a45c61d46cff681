"""When a target is told, from values alone: hold-off, flapping, reminders, quiet hours, several at once."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.history import History
from reconciler.report.notices import Standing
from reconciler.report.watches import KEPT, MOST, Target, Teller, due, look, next_look, quiet_for
from reconciler.settings import NotifySettings
from tests.report.attempts import back, bad, good, history

TELLER = Teller("mini", steady=60.0)
WELL = Standing(True, "a" * 40, (), stalled=False)
BROKEN = Standing(False, "a" * 40, (("shop/db", "Degraded, Crashed"),), stalled=False)
BOTH = Standing(False, "a" * 40, (("shop/db", "Degraded"), ("shop/web", "Missing")), stalled=False)
STARTING = Standing(True, "a" * 40, None, stalled=False)
AWAY = Standing(True, "a" * 40, (), stalled=False, fetch="no route")


class Watched:
    """One target through time."""

    def __init__(self, **more: Any) -> None:
        self.wanted = NotifySettings("json://x", **more)
        self.target = Target(0.0)

    def see(self, at: float, now: Standing, told: History | None = None) -> list[str]:
        """What is new to tell."""
        before = len(self.target.items)
        look(self.target, self.wanted, TELLER, told or History(), now, at)
        return [item.title.removeprefix("mini: ") for item in self.target.items[before:]]


def test_a_condition_is_told_once_it_has_lasted_and_its_end_too() -> None:
    one = Watched()
    assert one.see(100.0, BROKEN) == []
    assert next_look(one.target, one.wanted, TELLER) == 130.0
    assert one.see(129.0, BROKEN) == []
    assert one.see(130.0, BROKEN) == ["degraded: shop/db"]
    assert one.see(500.0, BROKEN) == []
    assert one.see(600.0, WELL) == []
    assert next_look(one.target, one.wanted, TELLER) == 630.0
    assert one.see(630.0, WELL) == ["recovered: all services work again"]
    assert one.target.facts == {}
    assert next_look(one.target, one.wanted, TELLER) == float("inf")


def test_an_alert_of_the_monitor_begins_and_ends_once() -> None:
    one = Watched()
    alert = replace(WELL, alerts=(("disk-low /", "the disk / has 9 GiB free"),))
    none, unknown = replace(WELL, alerts=()), replace(WELL, alerts=None)
    assert [*one.see(100.0, alert), *one.see(130.0, alert)] == ["alert: disk-low /"]
    assert "9 GiB free" in one.target.items[0].body
    assert [*one.see(200.0, unknown), *one.see(900.0, unknown), *one.see(910.0, alert)] == []
    assert [*one.see(920.0, none), *one.see(950.0, none)] == ["recovered: disk-low / is over"]
    assert one.target.items[-1].body.startswith("Over since ")


def test_each_alert_begins_and_ends_by_itself() -> None:
    low, full = ("disk-low /", "9 GiB free"), ("budget-full", "13 of 14 GiB")
    one = Watched(reminder=3600.0)

    def at(moment: float, *alerts: tuple[str, str]) -> list[str]:
        return one.see(moment, replace(WELL, alerts=alerts))

    assert [*at(0.0, low), *at(30.0, low)] == ["alert: disk-low /"]
    assert [*at(40.0, low, full), *at(70.0, low, full)] == ["alert: budget-full"]
    assert "9 GiB" not in one.target.items[-1].body
    assert [*at(100.0, full), *at(130.0, full)] == ["recovered: disk-low / is over"]
    assert [*at(140.0, full), *at(150.0)] == [], "another one that does not last"
    assert at(3669.0, full) == []
    assert at(3670.0, full) == ["still alert: budget-full"]
    assert [*at(3700.0), *at(3730.0)] == ["recovered: budget-full is over"]
    assert one.target.facts == {}
    assert one.target.open == []
    assert [*at(5000.0, low, full), *at(5030.0, low, full)] == ["alert: budget-full", "alert: disk-low /"]
    assert [*at(5100.0), *at(5130.0)] == ["recovered: budget-full is over", "recovered: disk-low / is over"]


def test_what_does_not_last_is_not_told() -> None:
    one = Watched()
    assert one.see(100.0, BROKEN) == one.see(110.0, WELL) == one.see(140.0, WELL) == []
    assert one.see(150.0, BROKEN) == one.see(175.0, BROKEN) == []


def test_flapping_is_one_message() -> None:
    one = Watched()
    found = [title for n in range(100) for title in one.see(100.0 + 5 * n, BROKEN if n % 2 else WELL)]
    assert found == ["degraded: shop/db"]
    assert one.see(700.0, WELL) == []
    assert one.see(730.0, WELL) == ["recovered: all services work again"]


def test_a_service_that_starts_again_and_again_is_one_message() -> None:
    one = Watched()
    found = [title for n in range(20) for title in one.see(100.0 + 20 * n, BROKEN if n % 2 else STARTING)]
    assert found == ["degraded: shop/db"]


def test_more_services_are_told_and_fewer_are_not() -> None:
    one = Watched()
    assert [*one.see(100.0, BROKEN), *one.see(130.0, BROKEN)] == ["degraded: shop/db"]
    assert [*one.see(200.0, BOTH), *one.see(230.0, BOTH)] == ["degraded: shop/db, shop/web"]
    assert [*one.see(300.0, BROKEN), *one.see(400.0, BROKEN)] == []
    assert [*one.see(500.0, WELL), *one.see(530.0, WELL)] == ["recovered: all services work again"]


def test_a_reminder() -> None:
    one = Watched(reminder=3600.0)
    assert [*one.see(0.0, BROKEN), *one.see(30.0, BROKEN)] == ["degraded: shop/db"]
    assert next_look(one.target, one.wanted, TELLER) == 3630.0
    assert [*one.see(3629.0, BROKEN), *one.see(3630.0, BROKEN)] == ["still degraded: shop/db"]
    none = Watched(reminder=0.0)
    assert [*none.see(0.0, BROKEN), *none.see(30.0, BROKEN), *none.see(1e7, BROKEN)] == ["degraded: shop/db"]


def test_a_fault_of_the_environment_lasts_for_two_polls() -> None:
    one = Watched()
    assert one.see(100.0, AWAY) == one.see(159.0, AWAY) == []
    assert one.see(160.0, AWAY) == ["waiting: FetchFailed"]
    assert one.see(200.0, WELL) == []
    assert one.see(260.0, WELL) == ["recovered: engine, remote, registry and disk work again"]


def test_events_that_are_not_asked_for() -> None:
    one = Watched(on=("success",))
    assert [*one.see(0.0, BROKEN), *one.see(30.0, BROKEN), *one.see(60.0, WELL), *one.see(90.0, WELL)] == []
    assert one.see(400.0, WELL, history(good(), bad(), back())) == [
        "aaaaaaaaaaaa healthy after 41 s", "recovered: cccccccccccc healthy, nothing had to restart",
    ]  # fmt: skip
    quiet = Watched(on=("degraded",))
    assert [*quiet.see(0.0, BROKEN), *quiet.see(30.0, BROKEN), *quiet.see(60.0, WELL)] == ["degraded: shop/db"]
    assert quiet.see(90.0, WELL) == []
    assert [*quiet.see(100.0, BROKEN), *quiet.see(130.0, BROKEN)] == ["degraded: shop/db"]


def test_a_commit_is_told_at_once_and_once() -> None:
    one = Watched()
    told = history(good(), bad())
    assert one.see(300.0, WELL, told) == ["bbbbbbbbbbbb rolled back"]
    assert one.see(301.0, WELL, told) == []
    assert one.see(302.0, WELL, history(good(), bad(name="9-other"))) == [], "the journal lost its end"
    fresh = Watched()
    fresh.target.floor = 250.0
    assert fresh.see(300.0, WELL, told) == [], "what was decided before somebody asked"


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    one = Watched()
    one.see(5000.0, BROKEN)
    assert one.see(100.0, BROKEN) == []
    assert one.see(130.0, BROKEN) == ["degraded: shop/db"]
    assert one.see(40.0, WELL) == []
    assert one.see(70.0, WELL) == ["recovered: all services work again"]


def test_memory_is_bounded() -> None:
    one = Watched()
    many = [bad(f"{n:040x}", 200.0 + n, f"{n}-x") for n in range(1000)]
    for n in range(100, 1000, 100):
        one.see(2000.0, WELL, history(*many[:n]))
    assert len(one.target.items) == MOST
    assert len(one.target.commits) <= KEPT
    assert "dropped" in one.target.lost


def at(clock: str) -> float:
    return time.mktime(time.strptime(f"2026-03-03 {clock}", "%Y-%m-%d %H:%M:%S"))


@pytest.mark.parametrize(
    ("hours", "clock", "seconds"),
    [
        ("23:00-07:00", "22:59:59", 0.0),
        ("23:00-07:00", "23:00:00", 8 * 3600.0),
        ("23:00-07:00", "00:30:30", 6.5 * 3600.0 - 30),
        ("23:00-07:00", "06:59:59", 1.0),
        ("23:00-07:00", "07:00:00", 0.0),
        ("12:00-13:30", "12:30:00", 3600.0),
        ("12:00-13:30", "13:30:00", 0.0),
        ("", "03:00:00", 0.0),
    ],
)
def test_quiet_hours(hours: str, clock: str, seconds: float) -> None:
    assert quiet_for(hours, at(clock)) == seconds


def test_what_had_to_wait_goes_in_one_message() -> None:
    one = Watched()
    one.see(1000.0, WELL, history(good(), bad(), back()))
    assert len(one.target.items) == 2
    assert due(one.target, 1000.0) == 1
    assert due(one.target, 1100.0) == 2
    one.target.sending = 1
    assert due(one.target, 1100.0) == 1, "what was sent before is composed as it was"
