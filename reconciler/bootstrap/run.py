"""Carries out the plan of a bootstrap, or shows it; then runs the checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import field
from typing import Protocol

from reconciler.bootstrap.driver import ChangeFailed, Made
from reconciler.bootstrap.model import Change, Plan
from reconciler.model.checks import Check
from reconciler.record.contract import Document
from reconciler.record.summary_bootstrap import bootstrap as document
from reconciler.values import dataclass
from reconciler.verbs import Answer

Tell = Callable[[str], None]


class Hands(Protocol):
    """Makes changes (`driver.Driver`)."""

    def would(self, change: Change) -> Made: ...

    def make(self, change: Change) -> Made: ...


@dataclass(slots=True)
class Done:
    """The result so far. `changes`: each with its state: planned, made or failed. `following`: next steps for a
    person."""

    changes: list[tuple[Made, str]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    following: list[str] = field(default_factory=list)


class Bootstrap:
    """`host`: the name of the host."""

    def __init__(self, host: str, hands: Hands, tell: Tell) -> None:
        self._host, self._hands, self._tell = host, hands, tell

    def rehearse(self, plan: Plan) -> Answer:
        """Show the needed changes and their commands. Nothing is changed."""
        done = Done(checks=[*plan.refusals], notes=[*plan.notes])
        if not plan.refusals:
            for change in _needed(plan.changes):
                try:
                    made = self._hands.would(change)
                except ChangeFailed as error:
                    done.checks.append(_failure(change, error))
                    break
                if made.commands:
                    done.changes.append((made, "planned"))
        return self._answer(done, "rehearsed")

    def run(self, plan: Plan, after: Callable[[frozenset[str], Done], Iterable[Check]]) -> Answer:
        """Make the needed changes, unless a person must do something first; then call `after`.

        `after`: gets the names of the made changes, does the work on the laptop, and returns the checks.
        """
        done = Done(checks=[*plan.refusals], notes=[*plan.notes])
        if plan.refusals:
            return self._answer(done, "refused")
        for change in _needed(plan.changes):
            self._tell(f"{change.sentence} …")
            try:
                made = self._hands.make(change)
            except ChangeFailed as error:
                done.changes.append((Made(change, ()), "failed"))
                done.checks.append(_failure(change, error))
                return self._answer(done, "failed")
            if made.commands:
                done.changes.append((made, "made"))
        for check in after(frozenset(made.change.name for made, _ in done.changes), done):
            done.checks.append(check)
        return self._answer(done, "done")

    def _answer(self, done: Done, how: str) -> Answer:
        code = 1 if any(item.ok is False for item in done.checks) else 0
        rows = [(made.change.name, made.change.sentence, made.commands, state) for made, state in done.changes]
        shown: Document = document(self._host, how, rows, done.checks, done.notes, done.following)
        return code, shown


def _needed(changes: Iterable[Change]) -> Iterator[Change]:
    return (change for change in changes if change.needed)


def _failure(change: Change, error: ChangeFailed) -> Check:
    said = "\n".join(error.said) or "it said nothing"
    return Check(change.name, False, f"{change.sentence}: failed\n{said}", change.hint)
