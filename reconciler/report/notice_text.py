"""The words of notifications: plain text, in which no part of a log, a message or a name has an effect.

Targets interpret text in different ways: `<@id>` and `@everyone` call people, `<b>` and `[x](y)` are formatted. Such
characters are replaced by characters that look alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from reconciler.model.history import Attempt
from reconciler.model.outcome import CommitState, Outcome
from reconciler.record.reporter import told_message
from reconciler.report.inert import shortened
from reconciler.report.notices import Condition, Event, Verdict
from reconciler.report.phrases import changed, duration, named, verdict

TITLE, BODY, LINE = 120, 1500, 200
"""Characters. Discord takes 2,000 in all; e-mail, ntfy and most others take more."""

LOG = 8
"""Lines of a failed service's log at most."""

SHOWN = 20
"""Notices that one message lists."""

ALIKE = str.maketrans({"<": "‹", ">": "›", "@": "＠", "[": "［", "]": "］", "`": "'"})

TWICE = "You may have this message already: an earlier try got no answer."


class Text(NamedTuple):
    title: str
    body: str


def inert(text: str, most: int) -> str:
    """Text in which no character has an effect in a target."""
    return shortened(text.translate(ALIKE), most)


def of_commit(told: Verdict, host: str, log_lines: int, output: bool) -> Text:
    """The outcome of a commit. `output`: with the output of the commit's programs."""
    attempt, short = told.attempt, told.attempt.revision[:12]
    if attempt.state is CommitState.SUCCESS:
        done = changed(attempt)
        what = f"healthy after {duration(attempt):.0f} s" if done else "healthy, nothing had to restart"
        recovered = "recovered: " if Event.RECOVERED in told.events else ""
        return Text(f"{host}: {recovered}{short} {what}", f"Changed {named(done)}." if done else attempt.message)
    return Text(f"{host}: {short} {verdict(attempt)}", "\n".join(_failure(attempt, log_lines, output)))


def begun(condition: Condition, host: str, since: float, still: bool) -> Text:
    """A condition has begun. `since`: Unix seconds. `still`: it was told before, and this is a reminder."""
    again = "still " if still else ""
    names = condition.facts or ()
    title = {
        Event.DEGRADED: f"degraded: {named(names)}",
        Event.ALERT: f"alert: {', '.join(names)}",
        Event.STALLED: "stalled, a person is needed",
        Event.HELD: f"held: {', '.join(dict.fromkeys(_held(name) for name in names))}",
        Event.ENVIRONMENT: f"waiting: {', '.join(names)}",
    }[condition.event]
    lines = [*condition.lines, f"Since {moment(since)}. See `reconciler status` on the machine."]
    return Text(f"{host}: {again}{title}", "\n".join(lines))


def ended(event: Event, host: str, fact: str, at: float) -> Text | None:
    """A condition is over since `at` (Unix seconds); if its facts are told one by one, `fact` is over. None: no
    message, because a person has ended it."""
    titles = {
        Event.DEGRADED: "all services work again",
        Event.ALERT: f"{fact} is over",
        Event.STALLED: "no person is needed any more",
        Event.ENVIRONMENT: "engine, remote, registry and disk work again",
    }
    return Text(f"{host}: recovered: {titles[event]}", f"Over since {moment(at)}.") if event in titles else None


def together(host: str, items: Sequence[tuple[float, str]]) -> Text:
    """Several notices in one message: (when, title) of each, the oldest first."""
    lines = [f"{moment(at)}  {title.removeprefix(f'{host}: ')}" for at, title in items[-SHOWN:]]
    if len(items) > SHOWN:
        lines.insert(0, f"{len(items) - SHOWN} earlier notices are left out: see `reconciler history` on the machine")
    return Text(f"{host}: {len(items)} notices", "\n".join(lines))


def trial(host: str) -> Text:
    """The notification that `notify test` sends."""
    return Text(f"{host}: test", "reconciler can send notifications to this target.")


def moment(at: float) -> str:
    """The time (Unix seconds) as the machine's local time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


def _held(fact: str) -> str:
    revision, _, reason = fact.partition(" ")
    return f"{revision[:12]} {reason}"


def _failure(attempt: Attempt, log_lines: int, output: bool) -> Iterator[str]:
    short, failure = attempt.revision[:12], attempt.failure
    yield shortened(f"{attempt.reason or ''}: {told_message(attempt, output)}", LINE * 2)
    if attempt.reverted_to:
        yield f"Running again: {attempt.reverted_to[:12]}"
    if attempt.outcome is Outcome.FAILED:
        yield "It is tried again."
    else:
        yield f"Push a correction, or: git revert {short}. To try it again: reconciler retry {short}"
    for line in attempt.lines[:LOG]:
        yield shortened(line, LINE)
    if failure is None or not output:
        return
    if failure.exit_code is not None:
        yield f"exit code {failure.exit_code}"
    if failure.health_output:
        yield shortened(f"health check: {' '.join(failure.health_output.split())}", LINE)
    log = failure.log[-min(log_lines, LOG) :] if log_lines else ()
    if log:
        yield f"The last lines of {f'{failure.stack}/{failure.service}' if failure.service else 'the build'}:"
        yield from (shortened(" ".join(line.split()), LINE) for line in log)
