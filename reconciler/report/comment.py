"""A comment on a commit: made with the plan, later edited to the outcome. In its Markdown, text of others has no
effect."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

from reconciler.model.history import Attempt, Planned
from reconciler.model.outcome import CommitState, Outcome, Violation
from reconciler.record.contract import Document
from reconciler.report.inert import block, code
from reconciler.report.messages import Message, Policy, State
from reconciler.report.phrases import MIB, changed, duration, verdict

LARGEST = 60_000
"""Bytes of a whole comment; forges take 65,536 characters at least."""

_LOG, _PROBE, _WARNINGS, _LINES = 24_000, 6_000, 12_000, 8_000
"""Largest size of each part in bytes."""

LISTED = 30
"""Number of listed services."""

AGAIN = "It is tried again. `reconciler status` on the machine says what is missing."


def marker(policy: Policy, revision: str) -> str:
    """The hidden first lines of our comment on a commit."""
    return sealed(policy, f"revision:{revision}")


def sealed(policy: Policy, about: str) -> str:
    """The hidden first lines of a comment of ours. `about`: its subject, different for each comment."""
    mark = f"<!-- reconciler:{policy.host} -->\n<!-- {about} -->"
    if policy.seal is None:
        return mark
    return f"{mark}\n<!-- seal:{policy.seal(hashlib.sha256(mark.encode()).hexdigest())[:32]} -->"


def comment(message: Message, policy: Policy) -> str:
    """The whole text. It must pass the redactor before it is sent."""
    attempt = message.attempt
    lines = [marker(policy, message.revision), *_head(message, policy.host), ""]
    if message.state is State.RUNNING:
        lines += plan_lines(attempt.planned or Planned())
    elif message.state is State.PENDING:
        lines += [f"{message.held}: {code(_message(attempt, policy))}", "", AGAIN]
    else:
        lines += _outcome(attempt, policy)
    lines += warning_lines(attempt.warnings)
    return bounded(lines)


def bounded(lines: Sequence[str]) -> str:
    """The lines as one text that is short enough for every forge."""
    text = "\n".join(lines).rstrip() + "\n"
    return text.encode(errors="replace")[:LARGEST].decode(errors="ignore")


def _head(message: Message, host: str) -> Iterator[str]:
    attempt, name = message.attempt, code(host)
    match message.state:
        case State.RUNNING:
            yield f"**{name}: rollout under way**"
        case State.SUCCESS:
            took = f" after {duration(attempt):.0f} s" if changed(attempt) else ""
            yield f"**{name}: healthy{took}**"
        case State.SUPERSEDED:
            yield f"**{name}: superseded**"
        case State.PENDING:
            yield f"**{name}: waits**"
        case _:
            yield f"**{name}: {verdict(attempt)}**" + (f" after {duration(attempt):.0f} s" if changed(attempt) else "")


def plan_lines(planned: Planned) -> Iterator[str]:
    """A Markdown list of the plan's effects."""
    down = dict(planned.downtime)
    for name in planned.restarts[:LISTED]:
        yield f"- restarts {code(name)}" + (f", down for at most {down[name]:.0f} s" if name in down else "")
    for verb, names in (("starts", planned.creates), ("removes", planned.removes)):
        yield from (f"- {verb} {code(name)}" for name in names[:LISTED])
    if not planned.changes:
        yield "- nothing has to restart"
    before, after, peak, bound = (n // MIB for n in (planned.before, planned.after, planned.peak, planned.bound))
    yield f"- memory {before} MiB before, {after} MiB after, at most {peak} of {bound} MiB"
    yield from (f"- {code(name)} gets the image {code(image)}" for name, image in planned.images[:LISTED])


def _outcome(attempt: Attempt, policy: Policy) -> Iterator[str]:
    failed = attempt.state in (CommitState.FAILURE, CommitState.ERROR)
    if failed or attempt.state is CommitState.SUPERSEDED:
        yield f"{attempt.reason or ''}: {code(_message(attempt, policy))}".strip()
        yield ""
    if attempt.state is CommitState.SUCCESS and not changed(attempt):
        yield "- nothing had to restart"
    for item in attempt.services[:LISTED]:
        if item.action != "Unchanged":
            down = f", down for {item.downtime:.1f} s" if item.downtime else ""
            yield f"- {item.action} {code(f'{item.stack}/{item.service}')}{down}"
    if attempt.reverted_to:
        yield f"- runs again: {code(attempt.reverted_to[:12])}"
    planned = attempt.planned
    if planned is not None and attempt.state is CommitState.SUCCESS:
        yield f"- memory {planned.before // MIB} MiB before, {planned.after // MIB} MiB after"
    yield from _failure(attempt, policy)
    if attempt.lines:
        yield from ("", *block(attempt.lines, _LINES))
    if failed:
        yield from ("", *_next(attempt))


def _message(attempt: Attempt, policy: Policy) -> str:
    from reconciler.record.reporter import told_message

    return told_message(attempt, policy.output)


def _failure(attempt: Attempt, policy: Policy) -> Iterator[str]:
    failure = attempt.failure
    if failure is None:
        return
    where = code(f"{failure.stack}/{failure.service}") if failure.stack and failure.service else "the build"
    if failure.exit_code is not None:
        yield f"- {where} ended with exit code {failure.exit_code}"
    if not policy.output:
        if failure.log or failure.health_output:
            yield f"- its output: {code(f'reconciler history {attempt.revision[:12]}')} on the machine"
        return
    if failure.health_output:
        yield from ("", "Output of its last health check:", "", *block(failure.health_output.splitlines(), _PROBE))
    log = failure.log[-policy.log_lines :] if policy.log_lines else ()
    if log:
        yield from ("", f"The last lines of {where}:", "", *block(_lines(log), _LOG))


def _lines(log: Sequence[str]) -> list[str]:
    return [line for item in log for line in item.splitlines() or [""]]


def _next(attempt: Attempt) -> Iterator[str]:
    short = attempt.revision[:12]
    if attempt.outcome is Outcome.FAILED:
        yield AGAIN
        return
    yield (
        "This commit is not tried again. Push a correction, or revert it: "
        f"{code(f'git revert {short}')} (with {code('-m 1')} if it is a merge). "
        f"If the commit was not the cause: {code(f'reconciler retry {short}')}."
    )


def warning_lines(warnings: Sequence[Violation]) -> Iterator[str]:
    """A folded section with a line for each warning; nothing without warnings."""
    if not warnings:
        return
    count = f"{len(warnings)} warning" + ("s" if len(warnings) > 1 else "")
    yield from ("", f"<details><summary>{count}</summary>", "", *violation_block(warnings), "", "</details>")


def violation_block(found: Sequence[Violation]) -> list[str]:
    """A line for each violation, with path and line, in a fence."""
    from reconciler.record.summary import violation

    return block([_violation(violation(item)) for item in found], _WARNINGS)


def _violation(item: Document) -> str:
    at = ":".join(str(part) for part in (item["path"], item["line"], item["column"]) if part is not None)
    return f"{at or '(whole commit)'}: {item['rule']}: {item['message']}"
