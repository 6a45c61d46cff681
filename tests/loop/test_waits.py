"""Lives in which something takes long, and a request, a newer commit or the end comes meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from reconciler.loop.newer import BACK_FIRST
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import Behaviour, always_starting, healthy, never_healthy
from tests.fakes.life import Life, document, service
from tests.loop.lives import assert_quiet, proven

STUBBORN = Behaviour(ignores_stop=True)
SOON = 2.0
"""Seconds within which the wait must end."""

LONG_GATE = {"min_healthy_time": "2s", "healthy_deadline": "1000h", "progress_deadline": "1000h"}


def stubborn(image: str = "web:1", grace: str = "9m", **more: Any) -> dict[str, Any]:
    return service(image, stop_grace_period=grace, **more)


def waiting_to_stop() -> tuple[Life, str]:
    """The second commit waits for a container that ignores its stop signal."""
    life = Life()
    life.behave("web:1", STUBBORN)
    life.push(web=stubborn())
    assert life.turn().outcome is Outcome.SUCCEEDED
    return life, life.push(web=service("web:2"))


def happens(life: Life, what: Callable[[], object], after: float = 30.0) -> list[float]:
    """So long after the stop began; returns the time at which it has happened."""
    began: list[float] = []

    def act() -> None:
        what()
        life.pushed = True
        began.append(life.machine.clock.seconds)

    life.during["StopContainer"] = lambda: life.machine.at(life.machine.clock.seconds + after, act)
    return began


# -- a container that does not stop -----------------------------------------------------------------------------------


def test_a_newer_commit_takes_over_while_a_container_does_not_stop() -> None:
    life, second = waiting_to_stop()
    kept = life.ids()["shop-web-1"]
    when = happens(life, lambda: life.push(web=stubborn(), other=service("other:1")))
    turn = life.turn()
    assert turn.outcome is Outcome.SUCCEEDED
    assert life.machine.clock.seconds - when[0] < SOON + 10
    assert life.reporter.told[second] == ("superseded", "Superseded")
    assert life.ids()["shop-web-1"] == kept, "it was not killed after all"
    assert life.machine.named("shop-web-1").restart == "unless-stopped"
    assert life.machine.named("shop-web-1").starts == 1
    assert_quiet(life)


def test_what_was_asked_to_stop_and_is_wanted_again_is_started_again_when_it_ends_late() -> None:
    life, _ = waiting_to_stop()
    life.behave("web:1", Behaviour(stop_takes=34.0))
    happens(life, lambda: life.push(web=stubborn(), other=service("other:1")))
    life.behave("other:1", healthy(10.0))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:1", "shop-other-1": "other:1"}
    assert life.machine.named("shop-web-1").starts == 2
    assert_quiet(life)


def test_a_third_version_stops_it_again_and_is_there_after_the_grace() -> None:
    life, _ = waiting_to_stop()
    happens(life, lambda: life.push(web=service("web:3")))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.running() == {"shop-web-1": "web:3"}
    assert_quiet(life)


def test_a_newer_commit_that_is_refused_leaves_the_rollout_alone() -> None:
    life, second = waiting_to_stop()
    happens(life, lambda: life.push(web=service("web:3", mem_limit=str(64 << 30))))
    assert life.turn().revision == second
    assert life.running() == {"shop-web-1": "web:2"}
    assert life.turn().outcome is Outcome.REJECTED


def test_a_suspension_is_answered_while_a_container_does_not_stop() -> None:
    life, second = waiting_to_stop()
    heard: list[float] = []
    life.machine.at(0.0, lambda: None)
    when = happens(life, lambda: life.ask("suspend", why="x"))
    remove = life.requests.remove

    def removed(request: Any) -> None:
        heard.append(life.machine.clock.seconds)
        remove(request)

    life.requests.remove = removed  # type: ignore[method-assign]
    turn = life.turn()
    assert heard[0] - when[0] <= SOON
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, second)
    assert life.turn().reason is Reason.SUSPENDED


def test_the_end_of_the_process_is_heard_while_a_container_does_not_stop() -> None:
    life, second = waiting_to_stop()

    def ends() -> None:
        life.stopping = True

    when = happens(life, ends)
    turn = life.turn()
    assert (turn.outcome, turn.exit_code) == (Outcome.INTERRUPTED, 143)
    assert life.machine.clock.seconds - when[0] <= SOON
    assert life.running() == {"shop-web-1": "web:1"}
    life.stopping = False
    life.start()
    assert life.turn().revision == second
    assert life.running() == {"shop-web-1": "web:2"}
    assert_quiet(life)


def test_a_stop_that_takes_long_is_told_as_silence() -> None:
    life, _ = waiting_to_stop()
    life.during["StopContainer"] = lambda: [
        life.machine.at(life.machine.clock.seconds + 5.0 * n, life.watchdog.check) for n in range(100)
    ]
    assert life.turn().outcome is Outcome.SUCCEEDED
    silent = [item["step"] for item in life.journal.lines if item["kind"] == "silent"]
    assert len(silent) == 1
    assert "StopContainer shop/web" in silent[0]


def test_what_was_never_good_has_ten_seconds_on_the_rollback() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", Behaviour(health=((2.0, "unhealthy"),), ignores_stop=True))
    life.push(web=stubborn("web:2"))
    began: list[float] = []
    life.machine.listen(lambda action, id: began.append(life.machine.clock.seconds) if action == "kill" else None)
    turn = life.turn()
    assert turn.outcome is Outcome.ROLLED_BACK
    asked, killed = began[-2:]
    assert killed - asked == pytest.approx(10.0)
    assert life.running() == {"shop-web-1": "web:1"}


def test_what_was_made_with_a_longer_time_has_no_more_than_the_operator_allows() -> None:
    life = Life()
    life.behave("web:1", STUBBORN)
    life.push(web=stubborn())
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.machine.named("shop-web-1").grace = 3_600_000.0
    life.push(web=service("web:2"))
    before = life.machine.clock.seconds
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert 600.0 <= life.machine.clock.seconds - before < 660.0


# -- gates -------------------------------------------------------------------------------------------------------------


def test_a_rollback_that_waits_for_ever_is_cut_by_a_commit_that_corrects_what_it_waits_for() -> None:
    life = Life()
    life.document = document(LONG_GATE)
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    bad = life.push(web=service("web:2"))
    life.behave("web:2", Behaviour(exits_after=0.5, exit_code=1))
    life.behave("web:1", always_starting())
    corrected: list[str] = []

    def back() -> None:
        life.machine.at(life.machine.clock.seconds + 20.0, lambda: corrected.append(life.push(web=service("web:3"))))

    def quarantined(kind: str, **fields: Any) -> None:
        append(kind, **fields)
        if kind == "condemned":
            back()

    append = life.journal.append
    life.journal.append = quarantined  # type: ignore[method-assign]
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, corrected[0])
    assert BACK_FIRST <= life.machine.clock.seconds < 3 * BACK_FIRST
    assert life.reporter.told[bad] == ("failure", "Crashed")
    assert life.running() == {"shop-web-1": "web:3"}
    assert_quiet(life)


def test_a_repair_that_waits_for_ever_is_cut_by_a_commit_that_corrects_what_it_waits_for() -> None:
    life = Life()
    life.document = document(LONG_GATE)
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:1", always_starting())
    life.machine.vanishes("shop-web-1")
    corrected: list[str] = []
    life.during["WaitHealthy"] = lambda: corrected.append(life.push(web=service("web:2")))
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, corrected[0])
    assert life.machine.clock.seconds < 60
    assert_quiet(life)


def test_a_repair_while_the_head_is_a_refused_one_is_not_cut_by_it() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.machine.vanishes("shop-web-1")
    life.behave("web:1", healthy(12.0))
    assert life.turn().reason is Reason.DRIFT_CORRECTED
    assert life.running() == {"shop-web-1": "web:1"}


# -- images ------------------------------------------------------------------------------------------------------------


def pulling(life: Life, takes: float = 1700.0) -> str:
    """A commit with an image whose pull takes long."""
    life.machine.registry["slow:1"] = life.machine.images.pop("slow:1", life.machine.images["web:1"])
    life.machine.takes["slow:1"] = takes
    model = {"services": {"web": service("web:1"), "slow": service("slow:1")}}
    return life.push_files(model)


def test_a_newer_commit_cuts_a_pull() -> None:
    life = proven(web=service("web:1"))
    slow = pulling(life)
    life.during["Pull"] = lambda: life.machine.at(
        life.machine.clock.seconds + 30.0, lambda: life.push(web=service("web:2"))
    )
    before = life.machine.clock.seconds
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.clock.seconds - before < 60
    assert life.reporter.told[slow] == ("superseded", "Superseded")
    assert life.running() == {"shop-web-1": "web:2"}
    assert_quiet(life)


def test_a_suspension_cuts_a_pull_and_the_commit_is_tried_again_after_it() -> None:
    life = proven(web=service("web:1"))
    slow = pulling(life)
    life.during["Pull"] = lambda: life.machine.at(
        life.machine.clock.seconds + 30.0, lambda: life.ask("suspend", why="quiet")
    )
    before = life.machine.clock.seconds
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.HELD, Reason.SUSPENDED, 1)
    assert life.machine.clock.seconds - before < 60
    assert "nothing is changed" in life.answer().message
    assert slow not in life.reporter.told
    assert life.turn().reason is Reason.SUSPENDED
    life.machine.takes.clear()
    life.ask("resume")
    turn = life.turn()
    assert (turn.outcome, turn.revision) == (Outcome.SUCCEEDED, slow)


def test_the_end_of_the_process_cuts_a_pull() -> None:
    life = proven(web=service("web:1"))
    pulling(life)

    def ends() -> None:
        life.stopping = True

    life.during["Pull"] = lambda: life.machine.at(life.machine.clock.seconds + 30.0, ends)
    before = life.machine.clock.seconds
    assert life.turn().outcome is Outcome.INTERRUPTED
    assert life.machine.clock.seconds - before < 30 + SOON


def test_commits_that_each_come_before_the_other_is_done_do_not_keep_last_good_down() -> None:
    life = proven(web=service("web:1"))
    pulling(life)
    pushes = 8

    def another() -> None:
        nonlocal pushes
        pushes -= 1
        if pushes:
            life.during["Pull"] = lambda: life.machine.at(life.machine.clock.seconds + 20.0, another)
            pulling(life)
        else:
            life.push(web=service("web:1"), other=service("other:1"))

    life.during["Pull"] = lambda: life.machine.at(life.machine.clock.seconds + 20.0, another)
    life.machine.at(life.machine.clock.seconds + 10.0, lambda: life.machine.vanishes("shop-web-1"))
    found: list[int] = []
    life.machine.listen(lambda action, id: found.append(pushes) if action == "start" else None)
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert found[0] > 0, "it ran again while commits still came"
