"""Makes the note of a commit from its attempt in the journal alone, so a lost note can be written again unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reconciler.model.history import Attempt, History
from reconciler.model.outcome import CommitState, FinalReport, Reason

if TYPE_CHECKING:
    from reconciler.record.notes import NoteWriter

WARNED = 20
"""Number of lines for warnings in a note, one for each rule."""


class Reporter:
    """Reports final states through git notes. `output`: with output of containers, health checks and builds."""

    def __init__(self, host: str, notes: NoteWriter, log_lines: int, output: bool = True) -> None:
        self._host, self._notes, self._log_lines, self._output = host, notes, log_lines, output

    def tell(self, attempt: Attempt) -> bool:
        """False: the note could not be written now."""
        return self._notes.tell(self._report(attempt))

    def keep(self, history: History) -> None:
        """Restore missing notes."""

        def told() -> list[FinalReport]:
            finals = history.finals
            return [self._report(finals[revision]) for revision in finals if revision in history.told]

        self._notes.keep(told)

    def _report(self, attempt: Attempt) -> FinalReport:
        return report(self._host, attempt, self._log_lines, self._output)


def report(host: str, attempt: Attempt, log_lines: int, output: bool = True) -> FinalReport:
    """The report about an ended attempt. `log_lines`: most lines of a failed service's log.

    Without `output` it contains no output of the commit's programs.
    """
    return FinalReport(
        host=host,
        revision=attempt.revision,
        state=attempt.state or CommitState.ERROR,
        reason=attempt.reason or Reason.STALLED,
        message=told_message(attempt, output),
        attempt=attempt.id,
        content=attempt.content,
        reverted_to=attempt.reverted_to,
        duration=round((attempt.ended_at or attempt.started_at) - attempt.started_at, 1),
        lines=(*_lines(attempt, log_lines, output), *_warned(attempt)),
    )


def told_message(attempt: Attempt, output: bool) -> str:
    """Without `output`: a build's message ends with the builder's own words, which may contain output of the commit's
    programs."""
    hidden = not output and attempt.reason is Reason.BUILD_FAILED
    return attempt.message.partition(": ")[0] if hidden else attempt.message


def _warned(attempt: Attempt) -> Sequence[str]:
    if not attempt.warnings:
        return ()
    # Imported here: most turns of the agent write no note, and few commits have warnings.
    from reconciler.record.summary import violation
    from reconciler.record.text.layout import Style
    from reconciler.record.text.words import grouped

    lines = grouped([violation(item) for item in attempt.warnings], Style())
    if len(lines) <= WARNED:
        return lines
    return [*lines[: WARNED - 1], f"and {len(lines) - WARNED + 1} more: `reconciler history {attempt.revision[:12]}`"]


def _lines(attempt: Attempt, log_lines: int, output: bool) -> Iterable[str]:
    yield from attempt.lines
    for item in attempt.services:
        if item.action != "Unchanged":
            down = f", down for {item.downtime:.1f} s" if item.downtime else ""
            yield f"{item.stack}/{item.service}: {item.action}{down}"
    failure = attempt.failure
    if failure is None:
        return
    if failure.exit_code is not None:
        yield f"exit code {failure.exit_code}"
    if not output:
        if failure.health_output or failure.log:
            yield f"its output: `reconciler history {attempt.revision[:12]}` on the machine"
        return
    if failure.health_output:
        yield f"health check: {failure.health_output.strip()}"
    if failure.log:
        yield "last lines of its log:"
        yield from (f"  {line}" for line in failure.log[-log_lines:])
