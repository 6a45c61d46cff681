"""`deploy` and `rollback` from the laptop: push a commit to a machine's branch, and follow it to the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any, Protocol

from reconciler.errors import Interrupted, Transient, Usage
from reconciler.model.fleet import RemoteHost
from reconciler.model.outcome import Outcome, Reason
from reconciler.record import summary_remote
from reconciler.values import dataclass
from reconciler.verbs import Answer

Json = Mapping[str, Any]

LOOK = 1.0
"""Seconds between two questions to the machine."""

DEAD = 15.0
"""Seconds without a running agent before `deploy` reports it; the agent may just be restarting."""

_EXIT_CODES = {Outcome.SUCCEEDED: 0, Outcome.FAILED: 3, Outcome.ROLLBACK_FAILED: 4}


class Repository(Protocol):
    """The laptop's clone (`observe.clone.Clone`)."""

    def changes(self) -> list[str]: ...

    def commit(self, revision: str) -> str | None: ...

    def tree(self, sha: str) -> str: ...

    def title(self, sha: str) -> str: ...

    def fetched(self, remote: str, branch: str) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Hands:
    """Functions with effects. `ask`: runs a verb on the machine, returns its exit code and document. `push`: returns
    None, or the lines in which the remote has refused. `restore`: makes a commit of a tree, a parent and a message,
    returns its sha. `tell`: prints progress."""

    ask: Callable[..., tuple[int, Json]]
    push: Callable[[str, str, str, Sequence[str], float], list[str] | None]
    restore: Callable[[str, str, str], str]
    tell: Callable[[str], None]
    stop: Event


class Deployer:
    """Deploys to one machine. `remote`: the git remote or address to push to."""

    def __init__(self, host: RemoteHost, remote: str, clone: Repository, hands: Hands) -> None:
        self._host, self._remote, self._clone, self._hands = host, remote, clone, hands

    def deploy(self, *, dirty: bool, wait: bool, timeout: float) -> Answer:
        """Push HEAD. `dirty`: push it although the folder has uncommitted changes. `timeout`: seconds until the
        verdict, the push included. Usage if something is uncommitted; Transient if the machine does not decide in
        time."""
        changes = [] if dirty else self._clone.changes()
        if changes:
            told = f"{len(changes)} changes are in no commit, and would not be deployed"
            hint = "commit them or put them away (`git stash`), or add --dirty to deploy HEAD as it is"
            raise Usage(Reason.USAGE_INVALID, told, hint, changes[:10])
        sha = self._clone.commit("HEAD")
        if sha is None:
            raise Usage(Reason.USAGE_INVALID, "there is no commit here", "commit what is to be deployed")
        return self._pushed(sha, wait=wait, timeout=timeout)

    def roll_back(self, to: str | None, agree: Callable[[str], bool] | None, *, wait: bool, timeout: float) -> Answer:
        """Push a commit that restores the tree of `to`; None: of the newest good revision whose files differ from the
        head's.

        `agree`: asks a person; None: nobody can be asked, then Usage. Interrupted if the person does not agree.
        """
        head = self._clone.fetched(self._remote, self._host.branch)
        if head is None:
            told = f"{self._remote} has no branch {self._host.branch}"
            raise Usage(Reason.USAGE_INVALID, told, "correct `branch` in hosts.yaml")
        target = self._target(to, head)
        if self._clone.tree(target) == self._clone.tree(head):
            message = f"{target[:12]} and the head {head[:12]} have the same files: there is nothing to roll back"
            return 0, summary_remote.turn(Outcome.UNCHANGED, None, message, head)
        self._preview(target, head, agree)
        message = f"Roll back to {target[:12]}\n\nRestores the files of {target}:\n{self._clone.title(target)}\n"
        return self._pushed(self._hands.restore(self._clone.tree(target), head, message), wait=wait, timeout=timeout)

    def _target(self, to: str | None, head: str) -> str:
        if to is not None:
            found = self._clone.commit(to)
            if found is None:
                raise Usage(Reason.USAGE_INVALID, f"there is no commit {to} here", "fetch it first, or correct --to")
            return found
        _, history = self._hands.ask("history", "--limit", "200")
        good: list[str] = [
            row["revision"] for row in history["attempts"] if row["outcome"] == "Succeeded" and row["final"]
        ]
        found = next((sha for sha in good if sha != head and self._differs(sha, head)), None)
        if found is None:
            message = f"{self._host.name} knows no other good revision whose files differ from {head[:12]}"
            raise Usage(Reason.USAGE_INVALID, message, "name the commit: rollback --to REV")
        return found

    def _differs(self, sha: str, head: str) -> bool:
        return self._clone.commit(sha) is not None and self._clone.tree(sha) != self._clone.tree(head)

    def _preview(self, target: str, head: str, agree: Callable[[str], bool] | None) -> None:
        code, plan = self._hands.ask("plan", "--commit", target)
        if plan["outcome"] in ("Held", "Rejected"):
            told = f"{self._host.name} would not take {target[:12]}: {plan['reason']}: {plan['message']}"
            raise Usage(Reason.USAGE_INVALID, told, self._hint(plan["hint"], target[:12]))
        down = {f"{item['stack']}/{item['service']}": item["atMostSeconds"] for item in plan["downtime"]}
        lines = [f"roll back {self._host.name} from {head[:12]} to the files of {target[:12]}"]
        lines += [f"  {name} restarts" + (f", down for at most {down[name]:g} s" if name in down else "")
                  for name in plan["restarts"]]  # fmt: skip
        lines += [] if code else ["  nothing restarts"]
        lines.append("  volumes and data/ stay as they are: what was written since then is not undone")
        if agree is None:
            raise Usage(Reason.USAGE_INVALID, "nobody could be asked", "add --yes", lines)
        if not agree("\n".join([*lines, "Go on? [y/N] "])):
            raise Interrupted(Reason.INTERRUPTED, "nothing was pushed", "")

    def _hint(self, hint: str, target: str) -> str:
        """The hint of a plan for `target`. A person cannot accept `target` itself, only a new commit with its files."""
        if f"reconciler accept {target}" not in hint:
            return hint
        restore = f"git restore --source={target} --staged --worktree :/"
        return (
            f"if this is intended, make the commit by hand (`{restore}`), push it, and accept that commit: "
            f"`reconciler --on {self._host.name} accept {self._host.branch}`"
        )

    def _pushed(self, sha: str, *, wait: bool, timeout: float) -> Answer:
        begun = time.monotonic()
        self._hands.tell(f"push {sha[:12]} to {self._host.branch} of {self._remote}")
        options = () if wait else ("reconciler.no-wait",)
        refused = self._hands.push(self._remote, sha, self._host.branch, options, timeout)
        if refused is not None:
            message = f"{self._remote} has refused the push"
            return 1, summary_remote.turn(Outcome.REJECTED, None, message, sha, lines=refused)
        if not wait:
            message = f"pushed; `reconciler --on {self._host.name} history {sha[:12]}` tells its outcome"
            return 0, summary_remote.turn(Outcome.STARTED, None, message, sha)
        return self._followed(sha, begun, timeout)

    def _followed(self, sha: str, begun: float, timeout: float) -> Answer:
        known = ""
        while not self._hands.stop.is_set():
            row, passed = self._newest(sha), time.monotonic() - begun
            decided = row is not None and (row["final"] or (row["outcome"] == "Held" and row["endedAt"] is None))
            if row is not None and decided:
                outcome = Outcome(row["outcome"])
                return _EXIT_CODES.get(outcome, 1), summary_remote.turn_of(row, passed)
            now = f"{row['outcome']}: {row['message']}" if row is not None and row["message"] else ""
            if now != known:
                self._hands.tell(now)
                known = now
            if passed > timeout:
                told = f"{self._host.name} has not decided on {sha[:12]} within {timeout:g} s"
                hint = f"`reconciler --on {self._host.name} status` tells what it waits for"
                raise Transient(Reason.STALLED, told, hint)
            if row is None and passed > DEAD:
                self._require_agent()
            self._hands.stop.wait(LOOK)
        raise Interrupted(Reason.INTERRUPTED, f"not followed any more; {self._host.name} goes on with {sha[:12]}", "")

    def _newest(self, sha: str) -> Json | None:
        """The newest attempt of the commit; None while the machine does not know it, or cannot be reached."""
        try:
            _, found = self._hands.ask("history", sha)
        except Transient as error:
            self._hands.tell(f"{error.message}; looking again")
            return None
        rows = found.get("attempts") or ()
        return rows[0] if rows else None

    def _require_agent(self) -> None:
        _, status = self._hands.ask("status", "--no-engine")
        if not status.get("agent", {}).get("running"):
            hint = f"start it there: `reconciler --on {self._host.name} install`"
            raise Transient(Reason.HOST_UNREACHABLE, f"no agent runs on {self._host.name}: nothing changes there", hint)
