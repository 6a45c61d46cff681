"""`preview`: judges open pull requests against the present machine, and updates their comment and status on the forge.

Like `plan` it reads the agent's stored state and changes nothing on the machine. It is a separate process, so that the
agent does not wait for it and does not load its modules (ADR 27).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from reconciler.decide.history.outline import outline, planned_of
from reconciler.errors import ReconcilerError
from reconciler.log import logger
from reconciler.loop.rehearsal import Rehearsal
from reconciler.model.history import Attempt, Planned
from reconciler.model.outcome import Intent, Outcome
from reconciler.record.summary_preview import Told, preview
from reconciler.report import preview as texts
from reconciler.report.answers import Broken, ForgeError, Refused, Unreachable, remedy
from reconciler.report.delivery import Forge
from reconciler.report.inert import shortened
from reconciler.report.messages import STATUSES, Message, Policy, State
from reconciler.report.preview_box import PreviewBox, Seen
from reconciler.report.pulls import Pull, Pulls
from reconciler.values import dataclass
from reconciler.verbs import Answer

LONGEST = 120.0
"""Seconds after which no further pull request is begun."""

TRIES = 3
"""Times that the judgement of a pull request may begin without an end."""

AGAIN = 3600.0
"""Seconds after which an unchanged pull request is judged again: the machine may have changed."""

QUIET = 60.0
"""Seconds without requests after the forge has not answered."""

SCOPES = {
    "github": "`repo` (fine-grained: Pull requests and Commit statuses, write)",
    "gitlab": "`api`, and the role Developer",
    "gitea": "`write:issue` and `write:repository`",
    "forgejo": "`write:issue` and `write:repository`",
}
"""Forge → scopes that the token needs for previews, by the forge's documentation."""


class NotAdmitted(Exception):
    """The author may not have commits judged here. Nothing is reported on the forge."""


class Judge(Protocol):
    """The machine. Each method may raise ReconcilerError."""

    def busy(self) -> bool:
        """Whether a rollout is open."""

    def basis(self) -> str:
        """Digest of everything on which all verdicts depend, except the observed machine."""

    def judge(self, pull: Pull) -> texts.Verdict | None:
        """The verdict; None if the branch has moved meanwhile. Raises NotAdmitted."""


@dataclass(frozen=True, slots=True)
class Teller:
    """The forge. `statuses` makes a client for the branch of a pull request. `clean` masks a whole text."""

    kind: str
    policy: Policy
    pulls: Pulls
    statuses: Callable[[str], Forge]
    clean: Callable[[str], str]


class Preview:
    """One look at all open pull requests. `keep` makes the box durable; `branch`: the watched one."""

    def __init__(
        self, box: PreviewBox, judge: Judge, teller: Teller, branch: str, keep: Callable[[PreviewBox], None],
        now: Callable[[], float],
    ) -> None:  # fmt: skip
        self._box, self._judge, self._teller, self._branch = box, judge, teller, branch
        self._keep, self._now = keep, now

    def run(self) -> Answer:
        """Judge and report. Exit code 1 if a pull request could not be judged or reported."""
        told: list[Told] = []
        if self._now() < self._box.next_at:
            return 1, preview((), f"the forge is asked again later: {self._box.error}")
        if self._judge.busy():
            return 0, preview((), "a rollout is open; pull requests are judged after it")
        before, self._box.error, self._box.next_at = self._box.error, "", 0.0
        try:
            told = self._all()
        except Unreachable as error:
            wait = QUIET if error.wait is None else error.wait
            self._box.error, self._box.next_at = self._teller.clean(error.message), self._now() + wait
        except Refused as error:
            scope = SCOPES[self._teller.kind]
            self._box.error = f"{self._teller.clean(error.message)}. {remedy(error, 'previews', scope)}"
        except ForgeError as error:
            self._box.error = self._teller.clean(error.message)
        except ValueError as error:
            self._box.error = f"an unexpected answer: {error}"
        if self._box.error and self._box.error != before:
            logger.warning("preview: {}", self._box.error)
        self._keep(self._box)
        return (1 if self._box.trouble else 0), preview(told, self._box.error)

    def _all(self) -> list[Told]:
        """Judge and report each open pull request, and forget closed ones."""
        found = self._teller.pulls.open(self._branch)
        numbers = {str(pull.number) for pull in found}
        self._box.pulls = {number: seen for number, seen in self._box.pulls.items() if number in numbers}
        end, told, common = self._now() + LONGEST, [], self._judge.basis()
        for pull in sorted(found, key=lambda item: self._seen(item).at):
            if self._now() > end or self._judge.busy():
                break
            told.append(self._one(pull, common))
        return told

    def _seen(self, pull: Pull) -> Seen:
        return self._box.pulls.setdefault(str(pull.number), Seen())

    def _one(self, pull: Pull, common: str) -> Told:
        seen, basis = self._seen(pull), _digest(f"{pull} {common}")
        if seen.basis == basis and not seen.error and self._now() - seen.at < AGAIN:
            return Told(pull.number, pull.branch, pull.revision, "Unchanged")
        before = seen.error
        try:
            verdict = self._judged(pull, seen, basis)
            if verdict is None:
                return Told(pull.number, pull.branch, pull.revision, "Moved")
            self._tell(pull, seen, verdict)
        except NotAdmitted as error:
            seen.basis, seen.at, seen.error = basis, self._now(), ""
            return Told(pull.number, pull.branch, pull.revision, "NotAdmitted", str(error))
        except ReconcilerError as error:
            seen.error = f"{error.message}. {error.hint}"
        except (Broken, Refused) as error:
            if isinstance(error, Refused) and error.for_all:
                raise
            hint = f". {remedy(error, 'previews', SCOPES[self._teller.kind])}" if isinstance(error, Refused) else ""
            seen.error = self._teller.clean(error.message) + hint
        else:
            seen.basis, seen.at, seen.error = basis, self._now(), ""
            return Told(pull.number, pull.branch, pull.revision, verdict.state.value.title(), verdict.message)
        seen.at = self._now()
        if seen.error != before:
            logger.warning("preview: pull request {}: {}", pull.number, seen.error)
        return Told(pull.number, pull.branch, pull.revision, "Failed", seen.error)

    def _judged(self, pull: Pull, seen: Seen, basis: str) -> texts.Verdict | None:
        """Judge one pull request. After TRIES judgements that were killed before their end it is given up until
        something changes; a few are allowed, because a rollout also kills this process."""
        seen.tries = seen.tries + 1 if seen.trying == basis else 1
        if seen.tries > TRIES:
            return texts.Verdict(State.ERROR, "it takes too long, so it was given up")
        seen.trying = basis
        self._keep(self._box)
        try:
            return self._judge.judge(pull)
        finally:
            seen.trying, seen.tries = "", 0

    def _tell(self, pull: Pull, seen: Seen, verdict: texts.Verdict) -> None:
        """Send the comment and the status, each if it has changed since it was last sent."""
        policy, teller = self._teller.policy, self._teller
        text = teller.clean(texts.comment(policy, pull, self._branch, verdict))
        if _digest(text) != seen.comment:
            self._comment(pull, seen, text)
            seen.comment = _digest(text)
            self._delivered()
        forge = teller.statuses(pull.branch)
        line = shortened(teller.clean(texts.line(verdict)), forge.description)
        status = _digest(f"{pull.revision} {verdict.state} {line}")
        if status != seen.status:
            nobody = Attempt("", pull.revision, Intent.ADVANCE, self._now())
            forge.set_status(
                Message(STATUSES, pull.revision, texts.context(policy), verdict.state, nobody, self._now()), line
            )
            seen.status = status
            self._delivered()

    def _comment(self, pull: Pull, seen: Seen, text: str) -> None:
        """Edit or add our comment. If its id is not known, the comments are searched: another process may have made
        it."""
        pulls, mark = self._teller.pulls, texts.mark(self._teller.policy, pull)
        remote = seen.remote or pulls.find(pull.number, mark)
        if remote:
            try:
                pulls.edit(pull.number, remote, text)
            except KeyError:
                remote = ""
            except Refused as error:
                if seen.remote or not error.for_all:
                    raise
                remote = ""  # somebody else has written a comment with our mark
        seen.remote = remote or pulls.add(pull.number, text)

    def _delivered(self) -> None:
        self._box.delivered_at = self._now()
        self._keep(self._box)


def verdict_of(found: Rehearsal, revision: str, onto: str) -> texts.Verdict:
    """`revision`: of the pull request, as its author knows it. `onto`: see `Verdict`."""
    outlook, plan = found.outlook, found.plan
    message = outlook.message
    if found.revision:
        message = message.replace(found.revision[:12], revision[:12])
    if outlook.outcome is Outcome.REJECTED:
        return texts.Verdict(State.FAILURE, f"{outlook.reason}: {message}", None, plan.violations, onto)
    if outlook.outcome is Outcome.HELD:
        return texts.Verdict(State.PENDING, f"{outlook.reason}: {message}", None, plan.violations, onto)
    if outlook.outcome is None and outlook.reason is not None:
        return texts.Verdict(State.ERROR, f"{outlook.reason}: {message}", None, plan.violations, onto)
    planned = Planned()
    if outlook.outcome is None and found.desired is not None and found.foreseen is not None:
        planned = planned_of(outline(plan, found.desired, found.foreseen.observed))
    told = message if outlook.outcome is None else ""
    return texts.Verdict(State.SUCCESS, told, planned, plan.violations, onto)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:16]
