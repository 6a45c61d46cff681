"""A repository as one of its hooks sees it: git's input for the hook, and the objects that the hook may read."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from reconciler.errors import Transient
from reconciler.model.files import Files
from reconciler.model.outcome import Reason
from reconciler.observe.blobs import DamagedError
from reconciler.observe.git import Git
from reconciler.observe.hook_place import find_place
from reconciler.observe.refs import SHA, refs_of
from reconciler.observe.signatures import Signers
from reconciler.observe.tree import GitFiles
from reconciler.values import dataclass

_QUARANTINE = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_OPTIONS = 100
"""Number of push options that are read."""

NOTHING = re.compile(r"0{40,64}")
"""The sha that git uses for a branch that does not exist."""

_AUTHOR = {f"GIT_{who}_{what}": "reconciler" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


@dataclass(frozen=True, slots=True)
class Update:
    """A pushed ref. `old`, `new`: zeros if it did not exist before, or does not exist after."""

    ref: str
    old: str
    new: str

    @property
    def deletes(self) -> bool:
        return NOTHING.fullmatch(self.new) is not None

    @property
    def creates(self) -> bool:
        return NOTHING.fullmatch(self.old) is not None


def updates(text: str) -> list[Update]:
    """Input of pre-receive and post-receive: lines of old sha, new sha and ref."""
    words = [line.split(" ", 2) for line in text.split("\n")]  # the name of a ref may contain other line ends
    return [Update(item[2], item[0], item[1]) for item in words if len(item) == 3]


def pushed_updates(text: str) -> list[Update]:
    """Input of pre-push: lines of local ref, local sha, remote ref and remote sha."""
    words = [line.rsplit(" ", 3) for line in text.split("\n")]  # a local ref may be HEAD@{1 hour ago}
    return [Update(item[2], item[3], item[1]) for item in words if len(item) == 4]


def push_options(environ: Mapping[str, str]) -> list[str]:
    """The values of `git push -o`."""
    count = environ.get("GIT_PUSH_OPTION_COUNT", "")
    number = min(int(count), _OPTIONS) if count.isdecimal() else 0
    return [environ.get(f"GIT_PUSH_OPTION_{n}", "") for n in range(number)]


class PushedRepository:
    """The repository in which git has started a hook. Pushed objects are read from the place where git keeps them until
    the hook accepts them. Nothing in the repository's configuration starts a program."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        named = environ.get("GIT_DIR")
        self.folder = Path(named).resolve() if named else find_place(os.getcwd(), environ).common
        kept = {name: environ[name] for name in _QUARANTINE if name in environ}
        self._git = Git(self.folder, environ, quarantine=kept)

    def setting(self, name: str) -> str | None:
        """A setting of this repository, without those of the user and the system."""
        done = self._git.run("config", "--local", "--get", name)
        return done.stdout.decode(errors="replace").strip() or None if done.returncode == 0 else None

    @cached_property
    def default_branch(self) -> str | None:
        """The branch that HEAD names."""
        return self._named("HEAD", "refs/heads/")

    def remote_branch(self, remote: str) -> str | None:
        """The default branch of a remote, as a clone knows it."""
        return self._named(f"refs/remotes/{remote}/HEAD", f"refs/remotes/{remote}/")

    def _named(self, symbolic: str, prefix: str) -> str | None:
        """The ref that a symbolic one names, without the prefix. Git would shorten it to `heads/main` if a tag `main`
        exists."""
        done = self._git.run("symbolic-ref", "--quiet", symbolic)
        found = done.stdout.decode(errors="replace").strip()
        return found.removeprefix(prefix) if done.returncode == 0 and found.startswith(prefix) else None

    def builds_on(self, update: Update) -> bool:
        """Whether the new commit descends from the old one."""
        return self._git.run("merge-base", "--is-ancestor", update.old, update.new).returncode == 0

    def between(self, old: str, new: str) -> list[list[str]]:
        """The commits after `old` up to `new`, newest first, each as a list of its sha and its parents' shas. Empty if
        `new` does not descend from `old`."""
        if self._git.run("merge-base", "--is-ancestor", old, new).returncode != 0:
            return []
        done = self._git.run("rev-list", "--parents", f"{old}..{new}")
        return [line.split() for line in done.stdout.decode("ascii").splitlines()] if done.returncode == 0 else []

    def newest(self, ref: str) -> str | None:
        """The present sha of the ref, read from its file; None if only git can tell."""
        refs = refs_of(self.folder)
        return refs.read(ref) if refs else None

    def changed_at(self, ref: str) -> float | None:
        """Time at which the ref was written, in Unix seconds; None if it has no file of its own."""
        try:
            return (self.folder / ref).lstat().st_mtime
        except OSError:
            return None

    def files(self, sha: str, signers: Signers) -> Files:
        """Files of a pushed commit. Transient if it is not complete, or no commit."""
        try:
            if SHA.fullmatch(sha):
                return GitFiles(self._git, sha, signers=signers)
            raise DamagedError("its sha is none of SHA-1")
        except (DamagedError, KeyError) as error:
            told = f"commit {sha[:12]} cannot be read: {error}"
            raise Transient(Reason.FETCH_FAILED, told, "run `git fsck` in the clone it comes from") from error

    def committed(self, tree: str) -> str:
        """A commit of this tree that no ref names: it is judged like the commit that is about to be made."""
        done = self._git.run("commit-tree", tree, "-m", "to be committed", extra=_AUTHOR)
        if done.returncode != 0:
            raise Transient(Reason.FETCH_FAILED, f"{tree[:12]} is no tree of this repository", "run `git fsck`")
        return done.stdout.decode("ascii").strip()
