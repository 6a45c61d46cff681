"""Commits that cause an error of this program: three tries, then its verdict, and last good keeps running."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest

from reconciler.errors import Transient
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.lives import assert_quiet, goes_down, proven

ODD = "odd:1"
TRIES = 3


class Defect(Exception):
    """An error of this program."""


def fails(life: Life, port: str, method: str, when: Callable[..., bool] = lambda *_: True) -> None:
    """The call fails if it is about the odd commit, in this process and later ones."""
    of = getattr(life, port) if hasattr(life, port) else getattr(life.machine, port)
    real = getattr(of, method)

    def failing(*arguments: Any, **named: Any) -> Any:
        if when(*arguments):
            raise Defect("how odd")
        return real(*arguments, **named)

    setattr(of, method, failing)


def odd(life: Life) -> str:
    sha = life.push(web=service("web:1"), odd=service(ODD))
    life.defective = True
    return sha


def reading(life: Life, sha: str) -> None:
    fails(life, "source", "files", lambda revision: revision == sha)


def fetching(life: Life, sha: str) -> None:
    fails(life, "source", "commit", lambda revision: revision == sha)
    fails(life, "source", "files", lambda revision: revision == sha)
    life.source.newest = sha


def saving(life: Life, sha: str) -> None:
    fails(life, "store", "save", lambda desired, models: desired.revision == sha)


def creating(life: Life, sha: str) -> None:
    fails(life, "applier", "create", lambda *_: life.source.branch[-1] == sha)


def starting(life: Life, sha: str) -> None:
    fails(life, "applier", "start_all", lambda ids: any(life.machine.containers[id].service == "odd" for id in ids))


@pytest.mark.parametrize("where", [reading, fetching, saving, creating, starting])
@pytest.mark.parametrize("process", ["one", "each its own"])
def test_the_third_time_is_the_verdict_and_last_good_is_looked_after(
    where: Callable[[Life, str], None], process: str
) -> None:
    life = proven(web=service("web:1"))
    sha = odd(life)
    where(life, sha)
    for n in range(TRIES):
        life.machine.advance(700.0)
        goes_down(life, "shop-web-1")
        turn = life.turn()
        assert life.machine.named("shop-web-1").state == "running", f"it was corrected in turn {n}"
        assert "Defect: how odd" in turn.message
        if n < TRIES - 1:
            assert turn.exit_code == 3
            assert sha not in life.reporter.told
        if process != "one":
            life.start()
    assert life.reporter.told[sha] == ("failure", "InternalError")
    life.machine.advance(700.0)
    goes_down(life, "shop-web-1")
    life.turn()
    assert life.running() == {"shop-web-1": "web:1"}
    records = len(life.journal.lines)
    assert_quiet(life)
    assert len(life.journal.lines) == records
    newest = life.push(web=service("web:2"))
    assert life.turn().revision == newest
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_first_commit_that_cannot_be_read_gets_its_verdict_too() -> None:
    life = Life()
    sha = odd(life)
    fetching(life, sha)
    for _ in range(TRIES):
        turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.REJECTED, Reason.INTERNAL_ERROR)
    assert life.reporter.told[sha] == ("failure", "InternalError")


def test_a_defect_that_passes_leaves_no_verdict() -> None:
    life = proven(web=service("web:1"))
    sha = odd(life)
    left = [1, 2]
    fails(life, "source", "files", lambda revision: revision == sha and bool(left) and bool(left.pop()))
    assert [life.turn().outcome for _ in range(3)] == [Outcome.FAILED, Outcome.FAILED, Outcome.SUCCEEDED]
    assert life.cycle.history.defects == {}


def test_retry_gives_it_three_more_tries() -> None:
    life = proven(web=service("web:1"))
    sha = odd(life)
    broken = [True]
    fails(life, "source", "files", lambda revision: revision == sha and broken[0])
    for _ in range(TRIES):
        life.turn()
    life.ask("retry", sha)
    assert life.turn().outcome is Outcome.FAILED
    broken[0] = False
    assert life.turn().outcome is Outcome.SUCCEEDED


# -- how long it waits -------------------------------------------------------------------------------------------------


@contextmanager
def unreachable(life: Life, sha: str) -> Iterator[list[float]]:
    """The environment prevents judging this commit; the times of the tries."""
    tried: list[float] = []
    real = life.source.files

    def files(revision: str) -> Any:
        if revision == sha:
            tried.append(life.machine.clock.seconds)
            raise Transient(Reason.ENGINE_UNAVAILABLE, "the disk is full")
        return real(revision)

    life.source.files = files  # type: ignore[method-assign,assignment]
    yield tried
    life.source.files = real  # type: ignore[method-assign]


def test_what_cannot_be_judged_waits_ten_seconds_and_twice_as_long_each_time_whatever_wakes_us() -> None:
    life = proven(web=service("web:1"))
    sha = life.push(web=service("web:2"))
    with unreachable(life, sha) as tried:
        for _ in range(200):
            life.turn(patient=True)
            life.machine.advance(1.0)
    gaps = [after - before for before, after in pairwise(tried)]
    assert gaps == pytest.approx([10.0, 20.0, 40.0, 80.0], abs=1.5)


def test_last_good_is_corrected_at_once_while_it_waits() -> None:
    life = proven(web=service("web:1"))
    sha = life.push(web=service("web:2"))
    with unreachable(life, sha):
        for _ in range(5):
            goes_down(life, "shop-web-1")
            life.turn(patient=True)
            assert life.running() == {"shop-web-1": "web:1"}
            life.machine.advance(700.0)


def test_a_newer_commit_and_a_request_end_the_wait() -> None:
    life = proven(web=service("web:1"))
    sha = life.push(web=service("web:2"))
    with unreachable(life, sha) as tried:
        life.turn(patient=True)
        life.turn(patient=True)
        assert len(tried) == 1
        life.ask("retry", sha)
        life.turn(patient=True)
        assert len(tried) == 2
        newest = life.push(web=service("web:3"))
        assert life.turn(patient=True).revision == newest


# -- without the remote ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drift", [False, True])
def test_nobody_knows_the_branch_while_the_remote_is_away_whatever_was_corrected(drift: bool) -> None:
    life = proven(web=service("web:1"))
    life.source.away = True
    if drift:
        goes_down(life, "shop-web-1")
    turn = life.turn()
    assert turn.exit_code == 3
    assert "the remote does not answer" in turn.message
    assert life.running() == {"shop-web-1": "web:1"}
    assert (turn.reason is Reason.DRIFT_CORRECTED) == drift
