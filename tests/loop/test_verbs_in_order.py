"""Every pair of an operator's verbs, in every order and every state: the next turn contradicts no answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from reconciler.decide.policy import UNENDED_LIMIT
from reconciler.loop.turn import Turn
from reconciler.model.observed import ObservedVolume
from reconciler.model.outcome import Outcome, Reason
from reconciler.model.requests import Answered
from tests.fakes.behaviour import STEADY, crashing
from tests.fakes.life import Life, document, service
from tests.loop.lives import dies_before

REST = {name: service(f"{name}:1") for name in ("db", "cache", "mail")}
VERBS = ("suspend", "suspend --for", "resume", "retry head", "retry other", "accept head", "accept other")
SUSPENDS = ("suspend", "suspend --for")
KEPT = (Reason.RECONCILIATION_SUCCEEDED, Reason.REVISION_QUARANTINED, Reason.ENGINE_UNAVAILABLE, Reason.STALLED)
COMMAND = re.compile(r"`reconciler ([^`]+)`")


@dataclass
class State:
    """`head`: the branch's head. `other`: a quarantined commit that is not the head. `way`: the verb that lets the head
    run. `stays`: reason of each turn until then."""

    life: Life
    head: str
    other: str
    way: str
    stays: Reason


def push(life: Life, version: int, **more: dict[str, object]) -> str:
    return life.push(web=service(f"web:{version}", restart="no"), **{**REST, **more})


def begun() -> tuple[Life, str]:
    """One commit is good, a later one was rejected."""
    life = Life()
    push(life, 1)
    assert life.turn().outcome is Outcome.SUCCEEDED
    life.behave("web:9", crashing(0.5))
    refused = push(life, 9)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    return life, refused


def last_good() -> State:
    life, refused = begun()
    return State(life, push(life, 2), refused, "", Reason.RECONCILIATION_SUCCEEDED)


def quarantined() -> State:
    life, refused = begun()
    life.behave("web:8", crashing(0.5))
    head = push(life, 8, web2=service("web:1"))
    life.turn()
    life.behave("web:8", STEADY)
    return State(life, head, refused, "retry head", Reason.REVISION_QUARANTINED)


def stalled() -> State:
    life, refused = begun()
    life.behave("web:8", crashing(0.5))
    life.during["WaitHealthy"] = lambda: life.behave("web:1", crashing(0.5))
    head = push(life, 8)
    assert life.turn().outcome is Outcome.ROLLBACK_FAILED
    life.behave("web:8", STEADY)
    return State(life, head, refused, "retry head", Reason.STALLED)


def rewritten() -> State:
    life, refused = begun()
    push(life, 2)
    life.turn()
    life.source.rewind(1)
    return State(life, push(life, 3), refused, "accept head", Reason.NOT_FAST_FORWARD)


def rewritten_to_last_good() -> State:
    """The rejected commit was removed from the branch."""
    life, refused = begun()
    life.behave("web:8", crashing(0.5))
    push(life, 8)
    assert life.turn().outcome is Outcome.ROLLED_BACK
    life.source.rewind(2)
    return State(life, life.source.branch[-1], refused, "accept head", Reason.NOT_FAST_FORWARD)


def shrunken() -> State:
    life, refused = begun()
    return State(life, life.push(web=service("web:2")), refused, "accept head", Reason.CONSENT_MISSING)


def without_document() -> State:
    life, refused = begun()
    gone = life.source.push({"desired-state/other.yaml": document().replace("mini", "other")})
    return State(life, gone, refused, "accept head", Reason.FILE_MISSING)


def taking_over() -> State:
    life, refused = begun()
    life.machine.volumes["shop_vault"] = ObservedVolume()
    vault = {"type": "volume", "source": "vault", "target": "/vault"}
    model = {"services": {"web": service("web:2", volumes=[vault]), **REST}, "volumes": {"vault": {}}}
    return State(life, life.push_model(model), refused, "accept head", Reason.CONSENT_MISSING)


def backing_off() -> State:
    """The engine went away in the middle of the attempt."""
    life, refused = begun()
    life.during["CreateContainer"] = lambda: life.machine.go_away(1.0)
    head = push(life, 2)
    assert life.turn(patient=True).outcome is Outcome.FAILED
    life.machine.advance(2.0)
    return State(life, head, refused, "retry head", Reason.ENGINE_UNAVAILABLE)


def killed() -> State:
    life, refused = begun()
    head = push(life, 2)
    for _ in range(3):
        dies_before(life, "journal ended")
    return State(life, head, refused, "retry head", Reason.STALLED)


def suspended() -> State:
    life, refused = begun()
    life.ask("suspend", why="x")
    return State(life, push(life, 2), refused, "resume", Reason.SUSPENDED)


STATES = (
    last_good, quarantined, stalled, rewritten, rewritten_to_last_good, shrunken, without_document, taking_over,
    backing_off, killed, suspended,
)  # fmt: skip
by_name = pytest.mark.parametrize("build", STATES, ids=lambda build: build.__name__)


def ask(state: State, verb: str) -> None:
    name, _, about = verb.partition(" ")
    revision = {"head": state.head, "other": state.other}.get(about, "")
    state.life.ask(name, revision, "x", 3600.0 if about == "--for" else None)


@by_name
def test_what_was_answered_is_what_the_next_turn_does(build: Callable[[], State]) -> None:
    for first, between, second in itertools.product(VERBS, (False, True), VERBS):
        pair = _Pair(build(), f"{first}, {'a turn, ' if between else ''}{second}")
        pair.asked(first)
        if between:
            pair.turns()
        pair.asked(second)
        pair.turns()
        pair.turns()
        if pair.suspended:
            pair.asked("resume")
            pair.turns()


class _Pair:
    """The requests in one life, and the operator's expectations."""

    def __init__(self, state: State, story: str) -> None:
        self.state, self.life, self.story = state, state.life, story
        self.suspended = self.released = self.kept = self.ran = False
        self.waiting: list[str] = []
        turn = self.life.turn(patient=True)
        assert turn.reason is state.stays, (story, turn)
        self.suspended = turn.reason is Reason.SUSPENDED

    def asked(self, verb: str) -> None:
        ask(self.state, verb)
        self.waiting.append(verb)
        if verb in (*SUSPENDS, "resume"):
            self.suspended = verb in SUSPENDS
        if verb == "accept head" and self.state.stays is Reason.STALLED and not self.released:
            self.kept = self.life.cycle.history.unended < UNENDED_LIMIT
        if verb == self.state.way or not self.state.way:
            self.released, self.kept = True, False

    def turns(self) -> None:
        before, known = self.life.machine.snapshot(), len(self.life.cycle.history.requests)
        history = self.life.cycle.history
        idle = not history.unfinished and history.suspended(self.life.machine.clock.now()) is not None
        turn = self.life.turn(patient=True)
        answers = self.life.cycle.history.requests[known:]
        where = (self.story, [(item.message, item.hint) for item in answers], turn)
        if idle and self.suspended:
            assert self.life.machine.snapshot() == before, where
        self._expect(turn, history.unfinished, where)
        for verb, item in zip(self.waiting, answers, strict=True):
            self._believe(verb, item, turn, where)
        self.waiting = []

    def _expect(self, turn: Turn, unfinished: bool, where: object) -> None:
        if self.suspended and unfinished:
            assert turn.reason in (Reason.SUSPENDED, Reason.STALLED, Reason.DRIFT_CORRECTED), where
        elif self.suspended:
            assert turn.reason is Reason.SUSPENDED, where
        elif self.released:
            assert turn.outcome in ((Outcome.UNCHANGED,) if self.ran else (Outcome.SUCCEEDED, Outcome.UNCHANGED)), where
            assert (turn.applied, turn.revision) == (True, self.state.head), where
            self.ran = True
        elif self.kept:
            assert (turn.outcome, turn.reason, turn.stalled) == (Outcome.HELD, Reason.ROLLBACK_FAILED, False), where
        else:
            assert turn.reason is self.state.stays, where

    def _believe(self, verb: str, answer: Answered, turn: Turn, where: object) -> None:
        """The text of an answer must come true, unless it, or a later request, names an obstacle."""
        said = f"{answer.message}; {answer.hint}"
        if not answer.done:
            assert verb != self.state.way or self.ran, where
        elif self.suspended:
            after = self.life.cycle.history.requests[-1]
            assert "suspen" in said or "resume" in said or after is not answer, where
        elif "is tried again" in said:
            assert turn.outcome is Outcome.SUCCEEDED, where
        elif "resumed" in said:
            assert turn.reason is not Reason.SUSPENDED, where
        elif "may pass" in said or "is followed" in said:
            assert turn.reason is not self.state.stays or self.state.stays in KEPT, where


@by_name
def test_each_remedy_can_be_typed_as_it_stands_and_works(build: Callable[[], State]) -> None:
    def held() -> tuple[State, Turn]:
        state = build()
        return state, state.life.turn(patient=True)

    _, told = held()
    if told.outcome is Outcome.HELD and told.until is None:
        assert COMMAND.findall(told.hint), told
    for command in COMMAND.findall(told.hint):
        state, before = held()
        verb, _, revision = command.partition(" ")
        state.life.ask(verb, revision)
        after = state.life.turn(patient=True)
        assert state.life.answer().done, (before, state.life.answer())
        assert (after.outcome, after.message) != (before.outcome, before.message), (command, after)
        assert not after.stalled, after


@by_name
@pytest.mark.parametrize("verb", ["retry", "accept"])
def test_the_hints_of_answers_lead_on(build: Callable[[], State], verb: str) -> None:
    """Whoever types what each answer says gets a head that runs, and no suspension."""
    state = build()
    state.life.turn(patient=True)
    state.life.ask("suspend", why="x")
    asked = [f"{verb} {state.head}"]
    while asked:
        assert len(state.life.cycle.history.requests) < 9, f"the hints go round in a circle: {state.life.answer()}"
        name, _, revision = asked.pop(0).partition(" ")
        state.life.ask(name, revision)
        state.life.turn(patient=True)
        asked = asked or COMMAND.findall(state.life.answer().hint)
    assert state.life.cycle.history.suspended(state.life.machine.clock.now()) is None
    last = state.life.cycle.history.last
    assert last is not None
    kept = verb == "accept" and last.outcome is Outcome.ROLLBACK_FAILED
    assert kept or state.life.turn(patient=True).applied, state.life.turn(patient=True)
