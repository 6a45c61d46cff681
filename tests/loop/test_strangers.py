"""Commits without an accepted signature."""

from __future__ import annotations

from dataclasses import replace

from reconciler.decide.mounts.sources import Places
from reconciler.loop.prepare import Preparer, Rules
from reconciler.model.outcome import CommitState, Intent, Outcome, Reason, Violation
from tests.fakes.life import CanonicalRenderer, Life, service

NOBODY = Violation(Reason.SIGNATURE_INVALID, "signature", "commit c0ffee is not signed", "Sign it.")


def push_unsigned(life: Life, image: str) -> str:
    model = {"services": {"web": service(image)}}
    sha = life.push_model(model, unsigned="yes")
    life.source.commits[sha] = replace(life.source.commits[sha], refused=(NOBODY,))
    return sha


def test_a_commit_that_nobody_vouches_for_is_refused_and_nothing_is_touched() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    before = life.ids()
    sha = push_unsigned(life, "web:2")
    turn = life.turn()
    assert (turn.outcome, turn.reason, turn.intent) == (Outcome.REJECTED, Reason.SIGNATURE_INVALID, Intent.ADVANCE)
    assert turn.hint == "Sign it."
    assert life.reporter.told[sha] == (str(CommitState.FAILURE), str(Reason.SIGNATURE_INVALID))
    assert life.settle().outcome == Outcome.UNCHANGED
    assert (life.ids(), life.running()) == (before, {"shop-web-1": "web:1"})
    life.push(web=service("web:3"))
    assert life.turn().outcome == Outcome.SUCCEEDED, "a signed commit upon an unsigned one is taken"


def test_a_refused_commit_is_judged_again_when_the_keys_change() -> None:
    keys = ["ann"]
    preparer = Preparer(CanonicalRenderer(), Rules("mini", Places("/trees", "/data")), lambda: keys[0])
    before = preparer.inputs()
    keys[0] = "ann and bob"
    assert preparer.inputs() != before


def test_what_somebody_else_wrote_is_not_read() -> None:
    life = Life()
    sha = push_unsigned(life, "web:1")
    files = life.source.commits[sha]
    preparer = Preparer(CanonicalRenderer(), Rules("mini", Places("/trees", "/data")))
    assert preparer.prepare(replace(files, texts={})).violations == (NOBODY,)
