"""The host's secrets change after the commit was good."""

from __future__ import annotations

import json

import pytest

from reconciler.errors import Usage
from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    never_healthy,
)
from tests.fakes.life import Life, service
from tests.loop.lives import assert_quiet, dies_before, proven, settled


def test_changed_secrets_that_change_nothing_are_quiet() -> None:
    life = proven(web=service("web:1"))
    life.store.stale |= set(life.store.states)
    life.turn()
    assert_quiet(life)


def test_changed_secrets_that_make_last_good_invalid_are_quiet() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    life.store.stale |= set(life.store.states)
    texts = dict(life.source.commits[sha].texts)
    life.source.commits[sha] = type(life.source.commits[sha])(texts | {"desired-state/mini.yaml": "kind: Nothing"}, sha)
    turn = life.turn()
    assert turn.exit_code == 1
    assert_quiet(life)
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.reporter.told[sha][0] == "success"


def secret(life: Life, sha: str, version: str) -> None:
    """The host's secrets change what this commit's web becomes."""
    texts = dict(life.source.commits[sha].texts)
    model = json.loads(texts["shop.yaml"])
    model["services"]["web"]["environment"] = {"TOKEN": version}
    model["services"]["web"]["image"] = f"web:{version}"
    life.image(f"web:{version}")
    texts["shop.yaml"] = json.dumps(model)
    life.source.commits[sha] = type(life.source.commits[sha])(texts, sha)
    life.store.stale |= set(life.store.states)


def test_changed_secrets_are_rolled_out() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    secret(life, sha, "2")
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert_quiet(life)
    assert life.running() == {"shop-web-1": "web:2"}


@pytest.mark.parametrize("policy", ["missing", "always"])
def test_changed_secrets_that_fail_are_rolled_back_and_quiet(policy: str) -> None:
    life = Life()
    life.behave("web:2", never_healthy())
    life.image("web:1")
    life.machine.registry |= life.machine.images
    sha = life.push(web=service("web:1", pull_policy=policy))
    settled(life)
    before = life.machine.snapshot()
    secret(life, sha, "2")
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    for _ in range(2):
        assert life.turn().exit_code == 1
        assert life.effects == 0
    assert life.reporter.told[sha] == ("success", "ReconciliationSucceeded")


def test_a_variable_that_has_gone_is_not_just_left_out() -> None:
    """`environment: [TOKEN]` may be unset, as in Compose, but not if it had a secret until now."""
    life = proven(web=service("web:1", environment={"TOKEN": "x", "PLAIN": "y"}), db=service("db:1"))
    life.push(web=service("web:1", environment={"TOKEN": "x", "UNSET": None}), db=service("db:1"))
    settled(life)
    sha = life.push(web=service("web:1", environment={"TOKEN": None, "UNSET": None}), db=service("db:1"))
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.CONSENT_MISSING), turn
    assert "shop/web would start without TOKEN" in turn.message
    assert life.running()["shop-web-1"] == "web:1"
    life.ask("accept", sha)
    settled(life)


def test_secrets_that_turn_bad_hold_new_commits_and_nothing_else() -> None:
    life = proven(web=service("web:1"), db=service("db:1"))
    life.trouble = Usage(Reason.FILE_MISSING, "the secret shop.env can be read", "chmod 0600 shop.env")
    life.machine.vanishes("shop-db-1")
    turn = life.turn()
    assert (turn.outcome, turn.exit_code, turn.hint) == (Outcome.HELD, 1, "chmod 0600 shop.env")
    assert "the secret shop.env can be read" in turn.message
    assert life.running() == {"shop-web-1": "web:1", "shop-db-1": "db:1"}
    assert_quiet(life)
    sha = life.push(web=service("web:2"), db=service("db:1"))
    assert life.turn().outcome is Outcome.HELD
    life.machine.vanishes("shop-db-1")
    life.turn()
    assert life.running() == {"shop-web-1": "web:1", "shop-db-1": "db:1"}
    assert life.cycle.history.holding(sha)
    life.trouble = None
    settled(life)
    assert life.running() == {"shop-web-1": "web:2", "shop-db-1": "db:1"}
    assert not life.cycle.history.holding(sha)


def test_bad_secrets_keep_no_bad_commit() -> None:
    """Work that has begun is finished: the rollback reads no secret anew."""
    life = proven(web=service("web:1"))
    life.push(web=service("web:2"))
    dies_before(life, "start")
    life.trouble = Usage(Reason.FILE_MISSING, "bad", "mend")
    life.turn()
    assert_quiet(life)
    life.trouble = None
    life.turn()
    assert_quiet(life)
    assert life.running() == {"shop-web-1": "web:2"}


def test_a_secret_that_is_taken_away_and_put_back() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    life.store.stale |= set(life.store.states)
    whole = life.source.commits[sha]
    broken = dict(whole.texts) | {"shop.yaml": "services: {web: {image: 'web:1', mem_limit: '${LIMIT}'}}"}
    life.source.commits[sha] = type(whole)(broken, sha)
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.exit_code) == (Outcome.HELD, Reason.FILE_MISSING, 1), turn
    assert "LIMIT is not set" in turn.message
    assert "last good keeps running" in turn.message
    assert "/shop/LIMIT" in turn.hint
    assert_quiet(life)
    assert not life.cycle.history.quarantined
    assert life.running() == {"shop-web-1": "web:1"}
    life.source.commits[sha] = whole
    life.store.stale.clear()
    assert life.turn().outcome is Outcome.UNCHANGED
    assert not life.cycle.history.holding(sha)
