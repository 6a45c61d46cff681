"""The journal, the store, the mirror or the remote is lost: running containers stay, and bad content stays
quarantined."""

from __future__ import annotations

import json

from reconciler.model.outcome import Outcome, Reason
from tests.fakes.behaviour import (
    never_healthy,
)
from tests.fakes.life import Life, document, service
from tests.loop.lives import assert_quiet, dies_before, proven, settled


def test_a_bad_commit_is_remembered_without_the_journal() -> None:
    life = proven(web=service("web:1"))
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.journal.lines.clear()
    life.start()
    turn = life.turn()
    assert (turn.exit_code, turn.reason) == (1, Reason.REVISION_QUARANTINED)
    assert life.running() == {"shop-web-1": "web:1"}
    assert life.turn().exit_code == 1
    assert life.effects == 0


def test_a_bad_commit_without_the_journal_leaves_what_ran_before() -> None:
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.journal.lines.clear()
    life.start()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
    life.turn()
    assert_quiet(life)


def test_last_good_is_proven_anew_without_the_journal() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    before = life.machine.snapshot()
    life.journal.lines.clear()
    life.start()
    settled(life)
    assert life.machine.snapshot() == before
    assert life.cycle.history.last_good is not None
    assert (life.cycle.history.last_good.revision, life.cycle.history.last_good.content) != (sha, "")


def test_what_an_attempt_began_in_a_stack_that_no_commit_names_waits_for_one_that_does() -> None:
    """Without the journal nobody knows that the stack was this host's. It has no policy yet, and gets it then."""
    life = proven(web=service("web:1"))
    alone, life.document = life.document, document(stacks=("shop", "blog"))
    blog = json.dumps({"services": {"reader": service("reader:1")}})
    life.image("reader:1")
    life.push_model({"services": {"web": service("web:1")}}, **{"blog.yaml": blog})
    dies_before(life, "journal ended")
    life.journal.lines.clear()
    life.start()
    life.document, named = alone, life.document
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert_quiet(life)
    policies = {item.name: item.restart for item in life.machine.containers.values()}
    assert policies == {"shop-web-1": "unless-stopped", "blog-reader-1": "no"}
    life.document = named
    life.push_model({"services": {"web": service("web:1")}}, **{"blog.yaml": blog})
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert {item.restart for item in life.machine.containers.values()} == {"unless-stopped"}


def test_a_lost_store_is_rendered_anew() -> None:
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.store.states.clear()
    life.turn()
    assert_quiet(life)
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    life.store.states.clear()
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before


def test_a_lost_store_and_pruned_images_leave_what_runs() -> None:
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.store.states.clear()
    life.machine.images.clear()
    life.turn()
    assert_quiet(life)
    assert life.machine.snapshot() == before


def test_a_rewritten_branch_in_a_new_mirror_is_held() -> None:
    life = Life()
    sha = life.push(web=service("web:1"))
    settled(life)
    life.source.rewind(1)
    life.push(web=service("web:2"))
    del life.source.commits[sha]
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.NOT_FAST_FORWARD)
    life.machine.vanishes("shop-web-1")
    life.turn()
    assert life.running() == {"shop-web-1": "web:1"}


def test_the_rollback_is_found_without_remote_and_mirror() -> None:
    life = proven(web=service("web:1"))
    before = life.machine.snapshot()
    life.behave("web:2", never_healthy())
    life.push(web=service("web:2"))
    life.start()
    dies_before(life, "journal ended")
    life.source.commits.clear()
    life.source.away = True
    assert life.turn().outcome is Outcome.ROLLED_BACK
    assert life.machine.snapshot() == before
