"""Whatever ends a wait also ends the work that is waited for."""

from __future__ import annotations

import os
import threading
import time

import pytest

from reconciler import process
from reconciler.waiting import attend, listening, patiently

ENV = {"PATH": os.environ["PATH"]}


class NotWantedError(Exception):
    pass


def not_wanted() -> None:
    raise NotWantedError


def test_a_program_that_is_not_wanted_any_more_is_killed() -> None:
    begun = time.monotonic()
    with listening(not_wanted), pytest.raises(NotWantedError):
        process.run(["sh", "-c", "sleep 300 & sleep 300"], env=ENV, timeout=300)
    assert time.monotonic() - begun < 10


def test_a_program_that_has_closed_its_output_is_not_wanted_either() -> None:
    with listening(not_wanted), pytest.raises(NotWantedError):
        process.run(["sh", "-c", "exec >&- 2>&-; sleep 300"], env=ENV, timeout=300)


def test_a_program_that_ends_at_once_asks_nobody() -> None:
    with listening(not_wanted):
        assert process.run(["true"], env=ENV, timeout=10).returncode == 0


def test_a_call_that_is_not_wanted_any_more_is_cut_and_left_to_itself() -> None:
    cut = threading.Event()
    with listening(not_wanted), pytest.raises(NotWantedError):
        patiently(cut.wait, cut.set)
    assert cut.is_set()


def test_what_the_work_says_and_raises_comes_through() -> None:
    assert patiently(lambda: 7) == 7
    with pytest.raises(NotWantedError):
        patiently(not_wanted)


def test_other_threads_and_what_is_asked_itself_wait_in_peace() -> None:
    asked: list[str] = []

    def ask() -> None:
        asked.append("asked")
        with listening(lambda: None):
            process.run(["sleep", "0.6"], env=ENV, timeout=10)

    with listening(ask):
        attend()
        other = threading.Thread(target=lambda: process.run(["sleep", "0.6"], env=ENV, timeout=10))
        other.start()
        other.join()
    attend()
    assert asked == ["asked"]
