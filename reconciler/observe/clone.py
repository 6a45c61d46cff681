"""A person's clone on the laptop, read with git and that person's configuration of git."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.process import Completed, run

NOTES = "refs/notes/reconciler/"
"""Refs of the git notes in which agents write outcomes; README says how to fetch them."""

EXPLICIT = "safe.bareRepository=explicit"
"""Otherwise git takes a folder of committed files for a repository, whose config can name programs."""

_NETWORK = 120.0
"""Seconds that a fetch or a look at the remote may take."""


class Clone:
    """The repository around `folder`. `root` raises Usage if there is none; methods that read a remote raise Transient
    if it cannot be read."""

    def __init__(self, folder: str, environ: Mapping[str, str]) -> None:
        self.folder, self.environ = folder, environ

    def root(self) -> str:
        done = self._git("rev-parse", "--show-toplevel")
        if done.returncode != 0:
            hint = "call it in the clone from which you push to the machine"
            raise Usage(Reason.USAGE_INVALID, f"{self.folder} is in no git repository with files", hint)
        return _line(done)

    def url(self, remote: str) -> str | None:
        """The push address of a remote; None if there is no such remote."""
        done = self._git("remote", "get-url", "--push", "--", remote)
        return _line(done) if done.returncode == 0 else None

    def remotes(self) -> list[str]:
        done = self._git("remote")
        return done.stdout.decode(errors="replace").split() if done.returncode == 0 else []

    def changes(self) -> list[str]:
        """Lines of `git status --short`: changes that are in no commit."""
        return self._read("status", "--porcelain", "--untracked-files=normal").splitlines()

    def commit(self, revision: str) -> str | None:
        """The full sha of a revision that a person has typed; None if the clone has no such commit."""
        done = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return _line(done) if done.returncode == 0 else None

    def tree(self, sha: str) -> str:
        return self._read("rev-parse", "--verify", f"{sha}^{{tree}}").strip()

    def title(self, sha: str) -> str:
        """The first line of the commit's message."""
        return self._read("log", "-1", "--format=%s", sha).strip()

    def fetched(self, remote: str, branch: str) -> str | None:
        """Fetch a branch of a remote; returns its head. None if the remote has no such branch."""
        listed = self._network("ls-remote", "--exit-code", "--", remote, f"refs/heads/{branch}")
        if listed.returncode == 2:
            return None
        self._answered(listed, remote)
        self._answered(self._network("fetch", "--quiet", "--", remote, f"refs/heads/{branch}"), remote)
        return _line(listed).split()[0]

    def notes(self, remote: str) -> Iterator[tuple[str, str]]:
        """Fetch the notes of all agents; returns (host's name, ref) of each."""
        listed = self._network("ls-remote", "--", remote, f"{NOTES}*")
        self._answered(listed, remote)
        refs = [line.split()[1] for line in listed.stdout.decode(errors="replace").splitlines()]
        if refs:
            self._answered(self._network("fetch", "--quiet", "--", remote, f"+{NOTES}*:{NOTES}*"), remote)
        return ((ref.removeprefix(NOTES), ref) for ref in refs)

    def newest_note(self, ref: str, head: str) -> tuple[str, str] | None:
        """(sha, note) of the newest of the last 200 commits before `head` that has a note; None if none has one."""
        listed = self._read("notes", f"--ref={ref}", "list").splitlines()
        noted = {line.split()[1] for line in listed}
        for sha in self._read("rev-list", "--max-count=200", head).split():
            if sha in noted:
                return sha, self._read("notes", f"--ref={ref}", "show", sha)
        return None

    def written_at(self, ref: str) -> str:
        """The time of the newest note in `ref` (RFC 3339)."""
        return self._read("log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", ref).strip()

    def _read(self, *arguments: str) -> str:
        done = self._git(*arguments)
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
            raise Usage(Reason.USAGE_INVALID, f"git {arguments[0]} failed: {said}", "see what git says, in this folder")
        return done.stdout.decode(errors="replace")

    def _network(self, *arguments: str) -> Completed:
        return self._git(*arguments, timeout=_NETWORK)

    def _answered(self, done: Completed, remote: str) -> None:
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().splitlines()
            raise Transient(
                Reason.FETCH_FAILED,
                f"{remote} cannot be read: {said[-1] if said else 'git said nothing'}",
                "see whether `git fetch` works by itself, from this folder",
                said[:-1][-5:],
            )

    def _git(self, *arguments: str, timeout: float = 60.0) -> Completed:
        environ = {**self.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "TZ": "UTC"}
        return run(
            ["git", "-c", EXPLICIT, "-C", os.path.abspath(self.folder), *arguments],
            env=environ, timeout=timeout, reason=Reason.FETCH_FAILED,
        )  # fmt: skip


def _line(done: Completed) -> str:
    return done.stdout.decode(errors="surrogateescape").removesuffix("\n").split("\n", 1)[0]
