"""The texts of reports on an open pull request: one comment on it, and one status on its head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.model.history import Planned
from reconciler.model.outcome import Level, Violation
from reconciler.report.comment import bounded, plan_lines, sealed, violation_block, warning_lines
from reconciler.report.inert import code
from reconciler.report.messages import Policy, State
from reconciler.report.phrases import plan_line
from reconciler.report.pulls import Pull
from reconciler.values import dataclass

PREVIEW = "preview"
"""The channel."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The expected outcome of a pull request. `state`: SUCCESS: it would be rolled out; PENDING: held; FAILURE:
    rejected; ERROR: it cannot be judged now. `planned` None: nothing would be carried out. `message`: the reason or a
    remark. `onto`: the head of the watched branch with which it was merged."""

    state: State
    message: str = ""
    planned: Planned | None = None
    violations: tuple[Violation, ...] = ()
    onto: str = ""


def context(policy: Policy) -> str:
    """The context (name) of the status."""
    return f"reconciler/{policy.host}/{PREVIEW}"


def mark(policy: Policy, pull: Pull) -> str:
    """The text with which our comment on the pull request begins."""
    return sealed(policy, f"preview:{pull.number}")


def line(verdict: Verdict) -> str:
    """The description of the status, one line. It must pass the redactor before it is sent."""
    match verdict.state:
        case State.SUCCESS:
            told = plan_line(verdict.planned or Planned())
        case State.PENDING:
            told = f"would be held: {verdict.message}"
        case State.FAILURE:
            told = f"would be rejected: {verdict.message}"
        case _:
            told = f"cannot be judged now: {verdict.message}"
    return " ".join(told.split())


def comment(policy: Policy, pull: Pull, branch: str, verdict: Verdict) -> str:
    """The whole comment. It must pass the redactor before it is sent."""
    lines = [mark(policy, pull), *_body(policy, pull, branch, verdict)]
    return bounded(lines)


def _body(policy: Policy, pull: Pull, branch: str, verdict: Verdict) -> Iterator[str]:
    yield f"**{code(policy.host)}: preview of {code(pull.revision[:12])}: {_WORDS[verdict.state]}**"
    yield ""
    if verdict.state is State.SUCCESS:
        yield from plan_lines(verdict.planned or Planned())
    if verdict.message:
        yield f"- {code(verdict.message)}" if verdict.state is State.SUCCESS else code(verdict.message)
    denied = _of(verdict.violations, Level.DENY)
    if denied:
        yield from ("", *violation_block(denied))
    merged = f", merged into {code(branch)} at {code(verdict.onto[:12])}" if verdict.onto else ""
    yield ""
    yield f"As the machine is now{merged}. Nothing was pulled, built or created."
    yield from warning_lines(_of(verdict.violations, Level.WARN))


_WORDS = {
    State.SUCCESS: "it would be rolled out",
    State.PENDING: "it would be held",
    State.FAILURE: "it would be rejected",
    State.ERROR: "it cannot be judged now",
}


def _of(found: Sequence[Violation], level: Level) -> list[Violation]:
    return [item for item in found if item.level is level]
