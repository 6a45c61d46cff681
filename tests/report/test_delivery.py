"""When a message is sent, and what follows if it cannot be sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loguru import logger

from reconciler.decide.redact import Redactor
from reconciler.model.history import History
from reconciler.report.channels import channels
from reconciler.report.delivery import DEADLINE
from reconciler.report.messages import Policy
from reconciler.settings import ForgeSettings
from tests.report.attempts import BAD, GOOD, bad, good, history, overtaken
from tests.report.fake_forge import TOKEN, Comment, FakeForge, Reply, serving
from tests.report.outboxes import Sender


@pytest.fixture
def forge() -> Iterator[FakeForge]:
    with serving("gitea") as made:
        yield made
        assert made.wrong == []


@pytest.fixture
def sender(forge: FakeForge, tmp_path: Path) -> Sender:
    return Sender(forge, tmp_path, Policy("mini", comments="none"), now=50.0)


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), format="{level} {message}")
    yield lines
    logger.remove(sink)


def error(sender: Sender, channel: str = "statuses", told: History | None = None) -> str:
    found = channels(told or history(good()), sender.policy, sender.delivery.box)
    return next(item.error or "" for item in found if item.name == channel)


def test_a_token_that_lacks_a_scope_is_told_at_once_and_not_tried_again_until_it_changes(
    forge: FakeForge, sender: Sender, log: list[str]
) -> None:
    forge.scopes.discard("statuses")
    sender.tell(history(good(), bad()))
    assert len(forge.requests) == 1, "all of the channel waits"
    assert "write:repository" in error(sender)
    assert "lacks a scope" in "".join(log)
    for _ in range(5):
        assert sender.tell(history(good(), bad())) == 60.0
        sender.now += 60.0
    sender.start()
    sender.tell(history(good(), bad()))
    assert len(forge.requests) == 1
    forge.scopes.add("statuses")
    sender.settings = ForgeSettings(forge.kind, forge.api, "me/home", ca_file="/etc/ssl/certs/ca-certificates.crt")
    sender.now += 2 * DEADLINE
    sender.tell_all(history(good(), bad()))
    assert forge.states(BAD, "reconciler/mini") == ["failure"]
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
    assert error(sender) == ""


def test_a_scope_that_is_added_on_the_forge_is_found_within_an_hour(
    forge: FakeForge, sender: Sender, log: list[str]
) -> None:
    told = history(good(), bad())
    forge.scopes.discard("statuses")
    for _ in range(130):
        assert sender.tell(told) == 60.0
        sender.now += 60.0
    assert len(forge.requests) == 3, "once an hour"
    assert "".join(log).count("lacks a scope") == 1, "and told once"
    forge.scopes.add("statuses")
    sender.now += 3600.0 + DEADLINE
    sender.tell_all(told)
    assert forge.states(BAD, "reconciler/mini") == ["failure"]
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
    assert error(sender) == ""


def test_a_token_that_was_revoked_is_said_so(forge: FakeForge, sender: Sender) -> None:
    sender.token = "old"
    sender.tell(history(good()))
    assert "answers 401" in error(sender)
    assert "not valid" in error(sender)
    sender.token = TOKEN
    sender.now += 60
    sender.tell_all(history(good()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]


def test_a_forge_that_is_away_is_asked_by_one_request_after_each_growing_pause(
    forge: FakeForge, sender: Sender
) -> None:
    forge.faults.extend(Reply(503, None, cut=0) for _ in range(4))
    waits = []
    for _ in range(4):
        wait = sender.tell(history(good(), bad()))
        assert wait is not None
        waits.append(wait)
        sender.now += wait
    assert len(forge.requests) == 4
    assert waits == sorted(waits)
    assert 8 <= waits[0] <= 12
    sender.tell_all(history(good(), bad()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]


def test_a_rate_limit_is_kept_also_by_the_next_process(forge: FakeForge, sender: Sender) -> None:
    forge.faults.append(Reply(429, {"message": "slow down"}, {"Retry-After": "300"}))
    assert sender.tell(history(good())) == 300.0
    sender.now += 299.0
    sender.start()
    assert sender.tell(history(good())) == 1.0
    assert len(forge.requests) == 1
    sender.now += 1.0
    assert sender.tell(history(good())) is None


def test_a_clock_that_was_set_back_ends_each_pause(forge: FakeForge, sender: Sender) -> None:
    for fault in (Reply(429, {"message": "slow down"}, {"Retry-After": "300"}), Reply(502)):
        attempt = good() if fault.status == 429 else bad()
        forge.faults.append(fault)
        assert sender.tell(history(attempt))
        sender.now -= 86_400.0
        assert sender.tell(history(attempt)) is None


def test_the_last_request_that_a_limit_allows_is_the_last(forge: FakeForge, sender: Sender) -> None:
    spent = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 100)}
    forge.faults.append(Reply(201, {"id": 1}, spent))
    wait = sender.tell(history(good(), bad()))
    assert wait is not None
    assert 90 <= wait <= 100
    assert len(forge.requests) == 1


def test_a_commit_that_the_forge_does_not_know_holds_nobody_up(forge: FakeForge, sender: Sender) -> None:
    forge.unknown.add(BAD)
    sender.tell(history(good(), bad()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
    forge.unknown.clear()
    sender.tell_all(history(good(), bad()))
    assert forge.states(BAD, "reconciler/mini") == ["failure"]


def test_a_message_is_given_up_loudly_after_a_day(forge: FakeForge, sender: Sender, log: list[str]) -> None:
    forge.unknown.add(BAD)
    begun = sender.now
    sender.tell_all(history(bad()))
    assert sender.now - begun >= DEADLINE
    assert len(forge.requests) < 600, "by growing pauses"
    assert "given up after a day" in "".join(log)
    assert f"given up after a day, for {BAD[:12]}: 127.0.0.1 answers 500" in error(sender)
    before = len(forge.requests)
    forge.unknown.clear()
    sender.start()
    sender.tell_all(history(bad()))
    assert len(forge.requests) == before
    sender.tell_all(history(bad(), good(GOOD, 90_000.0, "3-a")))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]


def test_the_head_goes_first_after_a_day_offline(forge: FakeForge, sender: Sender) -> None:
    old = [overtaken(f"{n:040x}", 100.0 + n, f"{n}-{n:08x}") for n in range(1, 50)]
    sender.tell_all(history(*old, good(BAD, 200.0, "50-b")))
    order = [line.rpartition("/")[2] for line in forge.requests if line.startswith("POST")]
    assert order[0] == BAD
    assert order[-1] == f"{1:040x}"
    assert len(order) == 49 + 2


def test_a_pull_request_that_is_known_late_gets_its_comment(forge: FakeForge, sender: Sender) -> None:
    sender.policy = Policy("mini", statuses=False)
    sender.start()
    wait = sender.tell(history(bad()))
    assert wait is not None
    forge.pulls[BAD] = 7
    sender.now += wait
    assert sender.tell(history(bad())) is None
    assert len(forge.comments_of(BAD)) == 1


def test_a_locked_pull_request_refuses_its_own_comment_alone(forge: FakeForge, sender: Sender) -> None:
    forge.pulls, forge.locked = {GOOD: 1, BAD: 2}, {2}
    sender.policy = Policy("mini")
    sender.start()
    sender.tell(history(good(), bad()))
    assert len(forge.comments_of(GOOD)) == 1
    assert "The pull request is locked" in error(sender, "comments", history(good(), bad()))
    assert forge.states(BAD, "reconciler/mini") == ["failure"]


def test_comments_that_are_too_many_to_be_read_hold_no_status_up(forge: FakeForge, sender: Sender) -> None:
    """Whoever may comment on a pull request could have it so."""
    forge.pulls = {BAD: 2}
    forge.comments += [Comment(100 + n, BAD, "x" * 60_000) for n in range(80)]
    sender.policy = Policy("mini")
    sender.start()
    sender.tell(history(good(), bad()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
    assert forge.states(BAD, "reconciler/mini") == ["failure"]
    assert "too large" in error(sender, "comments", history(good(), bad()))


def test_a_conflict_passes(forge: FakeForge, sender: Sender) -> None:
    forge.faults.append(Reply(409, {"message": "Another update to this commit status is in progress"}))
    sender.tell(history(good()))
    assert "answers 409" in error(sender)
    sender.tell_all(history(good()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]


def test_a_commit_without_a_pull_request_has_no_comment_and_no_error(forge: FakeForge, sender: Sender) -> None:
    sender.policy = Policy("mini")
    sender.start()
    sender.tell_all(history(bad()))
    assert forge.comments == []
    assert error(sender, "comments") == ""
    assert sender.now < 200.0


def test_secrets_never_arrive(forge: FakeForge, sender: Sender) -> None:
    forge.pulls[BAD] = 1
    canary = "hunter2-canary"
    sender.redactor = Redactor([canary])
    sender.policy = Policy("mini")
    sender.start()
    failed = bad()
    assert failed.failure is not None
    leaked = replace(failed.failure, log=(f"password is {canary}",), health_output=canary)
    sender.tell_all(history(replace(failed, message=f"no: {canary}", failure=leaked)))
    assert len(forge.comments_of(BAD)) == 1
    assert canary not in "".join(forge.raw)
    assert "***" in forge.comments_of(BAD)[0]


def test_a_disk_that_is_full_delays_and_loses_nothing(forge: FakeForge, sender: Sender, tmp_path: Path) -> None:
    blocked = tmp_path / "outbox.draft"
    blocked.mkdir()
    assert sender.tell(history(good())) == 60.0
    assert forge.requests == []
    blocked.rmdir()
    sender.tell_all(history(good()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]


def test_a_damaged_outbox_begins_anew_and_asks_before_it_repeats(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(good(), bad()))
    (sender.folder / "outbox.json").write_text('{"v": 1, "entries": 7}')
    sender.now = 5000.0
    sender.start()
    sender.tell_all(history(good(), bad()))
    assert forge.states(BAD, "reconciler/mini") == ["failure"]
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
