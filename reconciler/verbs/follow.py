"""post-receive: shows the rollout in the output of the push, until the verdict. It only reads files."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reconciler.observe.pushed import PushedRepository, Update
from reconciler.observe.refs import SHA
from reconciler.observe.told import TOLD, is_alive, told
from reconciler.record.text.layout import paragraph
from reconciler.record.text.push import STYLE, Pushed, PushView
from reconciler.verbs.gate import NO_WAIT

LOOK = 0.2
"""Seconds between two reads of the agent's file."""

DEAD = 1.0
"""Seconds within which an agent that has just started reports that it runs."""

LONGEST = 3600.0
"""Seconds after which the view ends."""

Tell = Callable[[str], None]
Json = dict[str, Any]


def follow(
    repository: PushedRepository, updates: Sequence[Update], options: Sequence[str], branch: str, tell: Tell
) -> None:
    """Follow the pushed update. `branch`: the watched branch, if no agent's file names it."""
    folder = repository.folder / TOLD
    watched = {str(one.get("branch")) for one in told(folder)} or {branch}
    for update in updates:
        if update.ref.removeprefix("refs/heads/") in watched and not update.deletes:
            if NO_WAIT in options:
                short, command = update.new[:7], "`git log --notes='reconciler/*'`"
                for line in _phrase(f"reconciler: not waited for {short}: {command} tells its outcome"):
                    tell(line)
            else:
                Following(repository, update, folder, tell).run()


class Following:
    """One update, and the progress of the agents that watch its branch."""

    def __init__(self, repository: PushedRepository, update: Update, folder: Path, tell: Tell) -> None:
        self._repository, self._update, self._folder, self._tell = repository, update, folder, tell
        at = repository.changed_at(update.ref) or time.time() - DEAD
        self._pushed = Pushed(update.new, self._revert, at)
        self._views: dict[str, PushView] = {}
        self._begun = time.monotonic()

    def run(self) -> None:
        """Run until there is nothing more to show, or nobody reads it."""
        while not self._over():
            if _nobody_reads():
                return
            time.sleep(LOOK)

    def _over(self) -> bool:
        documents = self._documents()
        for document in documents:
            self._show(document)
        passed = time.monotonic() - self._begun
        if not self._views:
            if passed >= DEAD:
                self._say(self._no_agent())
            return passed >= DEAD
        if all(view.ended for view in self._views.values()):
            return True
        newer = self._repository.newest(self._update.ref)
        if newer is not None and newer != self._update.new and not self._is_rolled_out(documents):
            both = f"{self._update.new[:7]} is superseded by {newer[:7]}"
            self._tell(f"reconciler: {both}, shown in its own push")
            return True
        if passed >= LONGEST:
            self._say(_phrase("reconciler: no verdict within an hour; `reconciler status` on the machine tells more"))
        return passed >= LONGEST

    def _documents(self) -> list[Json]:
        branch = self._update.ref.removeprefix("refs/heads/")
        return [dict(one) for one in told(self._folder) if one.get("branch") == branch]

    def _show(self, document: Json) -> None:
        host, alive, now = str(document.get("host")), is_alive(document), time.time()
        view = self._views.get(host) or PushView(host, self._pushed, now)
        try:
            if host not in self._views and (alive or view.tells(document)):
                self._views[host] = view
                self._say(_phrase(f"{host}: the agent looks at it (Ctrl-C ends only this view)"))
            if host in self._views and not view.ended:
                lines = view.lines(document, now)
                self._say(lines if alive or view.ended else [*lines, *view.dead(document)])
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
            view.ended = True
            self._views[host] = view
            remedy = "run `reconciler hooks install` again"
            self._say(_phrase(f"{host}: its agent has another version than this hook: {remedy}"))

    def _is_rolled_out(self, documents: Sequence[Json]) -> bool:
        """Whether an agent works on this very commit, so that it will report the outcome. `documents`: those that were
        shown. A newer one could have the outcome already, which nobody would show then."""
        rollouts = [one.get("rollout") for one in documents if is_alive(one)]
        return any(isinstance(one, dict) and one.get("revision") == self._update.new for one in rollouts)

    def _no_agent(self) -> list[str]:
        dead = self._documents()
        if dead:
            who = f"{dead[0].get('host')} (it was process {dead[0].get('pid')})"
            return _phrase(f"reconciler: no agent runs for {who}: nothing changes until `reconciler run`")
        told = (
            f"reconciler: no agent writes its status into {self._folder}, so nothing can be shown. An agent must "
            "watch this folder (source.url), run, and be allowed to write there: see docs/push.md. The commit is in "
            "the repository"
        )
        return _phrase(told)

    def _revert(self, back: str | None) -> str:
        """The git command that makes a commit with the files of `back`, or of the commit before the push; '' if there
        is none. `back`: the commit that the agent names, which may be unknown here."""
        old, new = self._update.old, self._update.new
        found = self._repository.between(back, new) if back and SHA.fullmatch(back) else []
        if found and back:
            old = back
        elif self._update.creates:
            return ""
        else:
            found = self._repository.between(old, new)
        parents = found[0][1:] if found else []
        if len(parents) > 1 and old in parents:
            return f"git revert -m {parents.index(old) + 1} --no-edit {new[:7]}"
        if any(len(item) > 2 for item in found):  # git cannot revert a range with a merge in it
            return f"git read-tree -mu HEAD {old[:7]} && git commit -m revert"
        return f"git revert --no-edit {old[:7]}..{new[:7]}" if len(found) > 1 else f"git revert --no-edit {new[:7]}"

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._tell(line)


def _phrase(text: str) -> list[str]:
    return paragraph(text, STYLE, after="  ")


def _nobody_reads() -> bool:
    """Whether git has closed its end: the connection is gone, or the pusher has stopped."""
    poll = select.poll()
    poll.register(1, 0)
    return any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in poll.poll(0))
