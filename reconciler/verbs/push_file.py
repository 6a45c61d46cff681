"""Writes the agent's progress into a file of the repository that people push to; its hook shows it in the push.

Everybody who may read the repository may read the file, so nobody needs access to the state folder. It contains no more
than git notes do, and no program acts on it. The repository may belong to another user, so no link that this user could
have made is followed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler import __version__
from reconciler.loop.ledger import line
from reconciler.loop.turn import Turn
from reconciler.model.history import Attempt
from reconciler.model.outcome import Reason
from reconciler.model.plan import Action, Plan
from reconciler.observe.told import process_facts, read_told, told_in
from reconciler.ownership import FOLDER, open_folder
from reconciler.verbs.agent import Progress

Json = Mapping[str, Any]

_TURNS = 5
"""Number of newest turns in the file, because one turn can follow another within a moment."""

_LINES = 10
"""Number of violations of a rejected commit in the file."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class PushFile:
    """`repository`: its folder on this machine; None if it is elsewhere. `mask` removes secrets from a document;
    without `output` the file contains no output of the commit's programs."""

    def __init__(
        self, repository: Path | None, host: str, branch: str, mask: Callable[[Json], Json], *, output: bool
    ) -> None:
        self._folder = told_in(repository) if repository is not None else None
        self._host, self._branch, self._mask, self._output = host, branch, mask, output
        self._turn: Turn | None = None
        self._born = process_facts(os.getpid())[1]
        self._turns: list[Json] = self._known()
        self._last = b""

    def publish(self, progress: Progress, attempts: Sequence[Attempt]) -> None:
        """Replace the file if something is new. A failed write does not stop the agent."""
        if self._folder is None or not self._folder.is_dir():
            return
        if progress.turn is not None and progress.turn is not self._turn:
            self._note(progress.turn, attempts, progress.clock.now())
        data = json.dumps(self._mask(self._record(progress)), ensure_ascii=False).encode(errors="replace")
        if data != self._last:
            with suppress(OSError):
                _replace(self._folder, f"{self._host}.json", data)
                self._last = data

    def _known(self) -> list[Json]:
        """The turns that this process had written before it restarted itself."""
        before = read_told(self._folder / f"{self._host}.json") if self._folder is not None else None
        same = isinstance(before, dict) and (before.get("pid"), before.get("born")) == (os.getpid(), self._born)
        found = before.get("turns") if same and isinstance(before, dict) else None
        rows: list[Any] = found if isinstance(found, list) else []
        return [*filter(lambda item: isinstance(item, dict), rows)][-_TURNS:]

    def _record(self, progress: Progress) -> Json:
        return {
            "kind": "Push",
            "version": __version__,
            "host": self._host,
            "branch": self._branch,
            "pid": os.getpid(),
            "born": self._born,
            "plan": _plan(*progress.plan) if progress.plan else None,
            "rollout": asdict(progress.rollout) if progress.rollout else None,
            "error": progress.error,
            "silence": progress.silence.message if progress.silence else None,
            "turns": self._turns,
        }

    def _note(self, turn: Turn, attempts: Sequence[Attempt], now: float) -> None:
        self._turn = turn
        own = next((item for item in reversed(attempts) if item.id == turn.attempt), None)
        row = _ended(turn, own, self._output)
        if not self._turns or {**self._turns[-1], "at": None} != {**row, "at": None}:
            self._turns = [*self._turns, {**row, "at": now}][-_TURNS:]


def _replace(folder: Path, name: str, data: bytes) -> None:
    """Replace the file; the new one gets the folder's owner and permissions."""
    repository = open_folder(str(folder.parent))
    try:
        there = os.open(folder.name, FOLDER, dir_fd=repository)
    finally:
        os.close(repository)
    try:
        status, draft = os.fstat(there), f".{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=there)
        with os.fdopen(os.open(draft, _NEW, 0o600, dir_fd=there), "wb") as file:
            file.write(data)
            if os.geteuid() == 0:
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), 0o600 | (status.st_mode & 0o044))
        os.rename(draft, name, src_dir_fd=there, dst_dir_fd=there)
    finally:
        os.close(there)


def _plan(plan: Plan, attempt: Attempt) -> Json:
    down = {(item.stack, item.service): item.at_most for item in plan.downtime}
    first: dict[tuple[str, str], tuple[Action, str]] = {}
    for step in plan.steps:
        if step.stack and step.service:
            first.setdefault((step.stack, step.service), (step.action, step.cause))
    return {
        "attempt": attempt.id,
        "revision": attempt.revision,
        "intent": plan.intent.value,
        "steps": len(plan.steps),
        "peakBytes": plan.peak,
        "boundBytes": plan.bound,
        "services": [
            {
                "stack": key[0],
                "service": key[1],
                "what": "replace" if key in plan.restarts else _WORDS.get(action, "change"),
                "cause": cause,
                "downSeconds": down.get(key),
            }
            for key, (action, cause) in first.items()
        ],
    }


_WORDS = {
    Action.CREATE_CONTAINER: "create",
    Action.START_CONTAINER: "start",
    Action.RUN_ONCE: "run once",
    Action.STOP_CONTAINER: "stop",
    Action.REMOVE_CONTAINER: "remove",
}


def _ended(turn: Turn, attempt: Attempt | None, output: bool) -> dict[str, Any]:
    """The end of a turn."""
    failure, ended = turn.failure, attempt.ended_at if attempt else None
    message = turn.message
    if not output and turn.reason is Reason.BUILD_FAILED:
        message = message.partition(": ")[0]  # a builder's message ends with its own words
    return {
        "revision": turn.revision,
        "outcome": turn.outcome.value,
        "reason": turn.reason.value,
        "message": message,
        "hint": turn.hint,
        "applied": turn.applied,
        "again": turn.until or turn.again,
        "revertedTo": turn.reverted_to,
        "seconds": round(ended - attempt.started_at, 1) if attempt and ended else None,
        "lines": [line(item) for item in turn.violations[:_LINES]],
        "services": [asdict(item) for item in attempt.services] if attempt else [],
        "failure": None
        if failure is None
        else {
            "stack": failure.stack,
            "service": failure.service,
            "exitCode": failure.exit_code,
            "healthOutput": failure.health_output if output else None,
            "log": list(failure.log) if output else [],
        },
    }
