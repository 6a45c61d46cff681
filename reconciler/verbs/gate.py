"""The hooks that can refuse: pre-receive on the machine, pre-commit and pre-push on the laptop.

They refuse only what they found to be wrong. If they cannot check something, they say so and do not refuse: the agent
judges every commit again before anything is touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.errors import ReconcilerError
from reconciler.model.documents import BindGrant, Grant
from reconciler.model.files import Files
from reconciler.model.needs import Variable
from reconciler.model.outcome import Level, Violation
from reconciler.observe.pushed import PushedRepository, Update
from reconciler.record.text import gate as text
from reconciler.values import dataclass
from reconciler.verbs.known import KnownAnswers

if TYPE_CHECKING:
    from reconciler.verbs.validate import MakePreparer

ACCEPT = "reconciler.accept"
NO_WAIT = "reconciler.no-wait"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Watched:
    """What a hook knows about the agent. `host` None: a commit is judged for every host that it describes. `base`: the
    folder of the desired state in the repository. `forward`: a force-push needs consent. `trouble`: why an existing
    agent config cannot be read, so that its grants are unknown. `secrets`: the values of secrets_dir are known here."""

    branch: str
    host: str | None = None
    base: str = ""
    forward: bool = True
    trouble: str = ""
    secrets: bool = False


class Gate:
    """`read`: the files of a commit. `make`: the preparer that judges them. `known`: commits that are valid."""

    def __init__(
        self,
        repository: PushedRepository,
        watched: Watched,
        read: Callable[[str], Files],
        make: MakePreparer,
        known: KnownAnswers,
        tell: Tell,
    ) -> None:
        self._repository, self._watched, self._known = repository, watched, known
        self._read, self._make, self._tell = read, make, tell

    def pre_receive(self, updates: Sequence[Update], options: Sequence[str]) -> int:
        """Exit code for git: 0 accepts the push. Other branches and tags are not checked."""
        unknown = [item for item in options if item.startswith("reconciler.") and item not in (ACCEPT, NO_WAIT)]
        for item in unknown:
            self._say(text.option(item, (ACCEPT, NO_WAIT)))
        accepted = ACCEPT in options
        return max((self._received(item, accepted) for item in self._ours(updates)), default=0)

    def pre_push(self, updates: Sequence[Update]) -> int:
        """Exit code for git: 0 lets the push be sent."""
        return max((self._left(item.new) for item in self._ours(updates) if not item.deletes), default=0)

    def pre_commit(self, tree: str) -> int:
        """Exit code for git: 0 lets a commit of this tree be made."""
        return self._left(self._repository.committed(tree), "this commit")

    def _ours(self, updates: Sequence[Update]) -> list[Update]:
        return [item for item in updates if item.ref == f"refs/heads/{self._watched.branch}"]

    def _received(self, update: Update, accepted: bool) -> int:
        branch = self._watched.branch
        if update.deletes:
            return 0 if accepted else self._refuse(text.deletion(branch, ACCEPT))
        rewrites = self._watched.forward and not update.creates and not self._repository.builds_on(update)
        if rewrites and not accepted:
            return self._refuse(text.rewritten(branch, update.old, update.new, ACCEPT))
        from reconciler.loop.prepare import HOST_MISSING

        passing = (HOST_MISSING,) if accepted else ()
        return self._judged(f"{branch} {update.new[:7]}", update.new, passing, quiet=False)

    def _left(self, sha: str, name: str = "") -> int:
        from reconciler.decide.read.parse import NOTHING_DESIRED
        from reconciler.loop.prepare import HOST_MISSING

        passing = (HOST_MISSING, NOTHING_DESIRED)
        return self._judged(name or f"{self._watched.branch} {sha[:7]}", sha, passing, quiet=True)

    def _judged(self, name: str, sha: str, passing: Collection[str], quiet: bool) -> int:
        """Exit code for one commit. `passing`: rules that refuse nothing here. `quiet`: print nothing about a valid
        commit."""
        try:
            files = self._read(sha)
            answer, kept = self._known.get(files)
            if answer is not None and quiet:
                return answer[0]
            from reconciler.verbs.validate import fullest, hosts_of

            hosts = [self._watched.host] if self._watched.host else hosts_of(files, self._watched.base)
            judged = [self._make(host, True).prepare(files) for host in hosts]
        except ReconcilerError as error:
            self._say(text.unknown(name, error.message))
            return 0
        found = list(dict.fromkeys(item for one in judged for item in one.violations))
        denied = [item for item in found if item.level is Level.DENY]
        if denied and all(item.rule in passing for item in denied):
            return 0
        excused = [replace(item, level=Level.WARN) if self._excused(item) else item for item in found]
        from reconciler.record.summary_validation import validation

        document = validation(excused, None, fullest(judged))
        unseen = text.unseen(self._watched.trouble, found != excused)
        if document["valid"]:
            self._say(text.valid(name, document, unseen, quiet))
            if quiet and not unseen:
                self._known.put(kept, (0, {}))
            return 0
        return self._refuse(text.invalid(name, document, unseen))

    def _excused(self, item: Violation) -> bool:
        """Whether the operator may have configured what we cannot read."""
        if isinstance(item.need, Variable):
            return not self._watched.secrets
        return bool(self._watched.trouble) and isinstance(item.need, Grant | BindGrant)

    def _refuse(self, lines: Sequence[str]) -> int:
        self._say(lines)
        return 1

    def _say(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._tell(line)
