"""`plan`: the outcome of the next turn. It changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.decide.history.folding import fold
from reconciler.decide.lower.pull_policy import moved_tags
from reconciler.errors import Usage
from reconciler.loop.options import Options, Ports
from reconciler.loop.ports import Source
from reconciler.loop.rehearsal import Rehearsal, rehearse
from reconciler.model.files import Commit
from reconciler.model.outcome import Outcome, Reason, Violation
from reconciler.record import summary
from reconciler.verbs import Answer

Record = Mapping[str, Any]


def plan(
    ports: Ports,
    options: Options,
    records: Sequence[Record],
    trees: Callable[[], Iterable[str]],
    revision: str | None,
    fetch: bool,
) -> Answer:
    """The outcome of a turn, and each of its steps, if `revision` were the branch's head.

    `ports`, `records`, `trees`: as for `rehearse`. `options`: behaviour of the acting agent. `revision`: a full sha, or
    the beginning of one that was head; None: the branch's head. `fetch` False: another process holds the mirror, so its
    newest head is used. A given commit is judged as if it were the head, wherever it is.
    """
    newest = ports.source.fetch() if fetch else None
    head = newest if newest is not None and revision is None else _commit(ports.source, records, revision)
    forward = options.require_fast_forward and head.sha == (ports.source.fetched() or head.sha)
    found = rehearse(ports, replace(options, require_fast_forward=forward), records, head, trees)
    planned = replace(found.plan, violations=(*found.plan.violations, *_moved(ports, found)))
    unchanged = found.outlook.outcome is Outcome.UNCHANGED and not planned.changes
    return (0 if unchanged else 1), summary.plan(planned, found.outlook)


def _moved(ports: Ports, found: Rehearsal) -> tuple[Violation, ...]:
    if found.prepared is None or not found.images:
        return ()
    wants = found.prepared.wants
    return moved_tags(wants, ports.images.local(wants), found.images)


def _commit(source: Source, records: Sequence[Record], revision: str | None) -> Commit:
    """The newest head that starts so; None: the newest of all."""
    begins = revision or ""
    wanted = next((sha for sha in reversed(fold(records).seen) if sha.startswith(begins)), begins)
    try:
        return source.commit(wanted)
    except KeyError:
        raise Usage(
            Reason.FILE_MISSING,
            f"the mirror has no commit {wanted or '(none was seen yet)'}",
            "name a commit by its full sha, or by the beginning of one that the agent has seen",
        ) from None
