"""The watched branch, through a bare mirror in the state folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from reconciler.effects import Effects
from reconciler.errors import Transient, Usage
from reconciler.model.files import Commit, Files
from reconciler.model.outcome import Reason
from reconciler.observe.blobs import DamagedError
from reconciler.observe.commits import parents, read_commit
from reconciler.observe.fetch_faults import known_fault, other_ref, shallow, timed_out, too_large, unknown_fault
from reconciler.observe.git import Git
from reconciler.observe.login import NOBODY, Login
from reconciler.observe.mirror import Mirror
from reconciler.observe.origin import reading
from reconciler.observe.refs import SHA, Refs, is_shallow, odd_file, refs_of
from reconciler.observe.remote import check_branch, parse_remote
from reconciler.observe.signatures import NOBODY_ASKED, Signers
from reconciler.observe.tree import GitFiles
from reconciler.process import ProcessTimeout
from reconciler.workspace import room

SMALL_PUSH = 16 << 20
"""Bytes that a fetch may always bring, even if the disk is full: the commit that frees space may be among them."""

SMALL_COMMIT = 1 << 16
"""Bytes of a commit object that is kept until the commit is judged; a larger one is read again."""

OURS = "refs/reconciler/"
HEADS = "refs/fetched/"
_PIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9][A-Za-z0-9_-]*)*")

TIMEOUTS = (60.0, 900.0)
"""Seconds for a fetch, and for the first one, which brings the whole history and cannot be continued."""


class GitSource:
    """One branch of one repository (`loop.ports.Source`).

    `mirror`: a folder that only we use. A damaged mirror is replaced silently; its pins are lost then. `environ`: the
    agent's environment. `signers`: the signers of which one must have signed a judged commit. `login`: the credentials.
    Usage if the address or the branch may not be given to git. Only the holder of the state lock may fetch; others may
    read, and then nothing is repaired.
    """

    def __init__(
        self,
        url: str,
        branch: str,
        mirror: Path,
        *,
        environ: Mapping[str, str],
        effects: Effects,
        timeouts: tuple[float, float] = TIMEOUTS,
        signers: Signers = NOBODY_ASKED,
        login: Login = NOBODY,
    ) -> None:
        self.remote = parse_remote(url, login)
        self.branch = check_branch(branch)
        self.git = Git(mirror, environ, self.remote)
        self._mirror = Mirror(mirror, self.remote)
        self._refs = Refs(mirror)
        self._effects, self._timeouts, self._signers = effects, timeouts, signers
        self._commits: dict[str, Commit] = {}
        self._raw: tuple[str, bytes] = ("", b"")
        self._may_correct = False
        self._prepared: int | None = None
        """`git.begun` when the mirror was last prepared. If it is still the same, no git process has run since."""

    def fetch(self) -> Commit:
        """The branch's head. Transient (FetchFailed, DiskFailed) if the remote or the branch cannot be read."""
        if self.git.running:
            # Called during a wait for another git process here: its locks must not be removed.
            raise Transient(Reason.FETCH_FAILED, f"cannot {self._what}: git is running there", "it is asked again soon")
        self._may_correct = True
        quiet = self._unchanged() if self.git.begun == self._prepared else None
        if quiet is not None:
            return quiet
        self._mirror.prepare()
        self._prepared = self.git.begun
        return self._unchanged() or self._fetched()

    def commit(self, sha: str) -> Commit:
        """The commit. KeyError if the mirror does not have it."""
        if sha not in self._commits:
            raw = read_commit(self.git, sha)
            self._raw = (sha, raw) if len(raw) <= SMALL_COMMIT else ("", b"")
            self._commits[sha] = Commit(sha)
        return self._commits[sha]

    def files(self, sha: str) -> Files:
        """The files of a commit. KeyError if the mirror does not have it."""
        self.commit(sha)
        raw = self._raw[1] if self._raw[0] == sha else None
        try:
            return GitFiles(self.git, sha, self._correct, self._signers, raw)
        except DamagedError:
            self._correct()
        try:
            return GitFiles(self.git, sha, self._correct, self._signers)
        except DamagedError:
            raise KeyError(sha) from None

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` descends from `old`. False, too, if one of them is no longer known."""
        if not (SHA.fullmatch(old) and SHA.fullmatch(new)):
            return False
        if new == self._raw[0] and old in parents(self._raw[1]):
            return True  # almost every push; it needs no process
        return old == new or self.git.run("merge-base", "--is-ancestor", old, new).returncode == 0

    def pin(self, name: str, sha: str) -> None:
        """Keep a commit under `refs/reconciler/<name>`: an effect, but only if it changes something.

        KeyError if the mirror does not have the commit.
        """
        ref = _pin_ref(name)
        if self._refs.read(ref) == sha:
            return
        self.commit(sha)
        self._effects.point(f"pin {name}")
        done = self.git.run("update-ref", ref, sha)
        if done.returncode != 0:
            raise unknown_fault(f"keep commit {sha} as {name}", done.stderr)

    def unpin(self, name: str) -> None:
        """Remove a pin: an effect, but only if the pin exists."""
        ref = _pin_ref(name)
        if self._refs.read(ref) is None:
            return
        self._effects.point(f"unpin {name}")
        done = self.git.run("update-ref", "-d", ref)
        if done.returncode != 0:
            raise unknown_fault(f"forget {name}", done.stderr)

    def find(self, revision: str) -> str | None:
        """The full sha for a revision that people write: a sha, the beginning of one, the branch, main~2."""
        if not revision or revision.startswith("-") or not revision.isprintable():
            return None
        for name in (revision, HEADS + revision):
            done = self.git.run("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}")
            sha = done.stdout.decode(errors="replace").strip()
            if done.returncode == 0 and SHA.fullmatch(sha):
                return sha
        return None

    def fetched(self) -> str | None:
        """The branch's head of the last fetch; None before the first fetch."""
        return self._refs.read(HEADS + self.branch)

    def pins(self, prefix: str) -> Mapping[str, str]:
        """name → sha of every pin whose name starts with `prefix`."""
        found = self._refs.under(OURS + prefix)
        return {name.removeprefix(OURS): sha for name, sha in found.items()}

    def tidy(self) -> None:
        """Drop objects that no head and no pin leads to, if there are many packs.

        Only the holder of the state lock may do so. Transient if git takes too long.
        """
        self._mirror.tidy(self.git)

    def _unchanged(self) -> Commit | None:
        """The head, if the other repository's files show that it is the one that we have."""
        refs = refs_of(self.remote.path) if self.remote.path else None
        there = refs.read(f"refs/heads/{self.branch}") if refs else None
        if there is None or there != self._refs.read(HEADS + self.branch):
            return None
        try:
            return self.commit(there)
        except KeyError:
            return None

    def _fetched(self) -> Commit:
        with suppress(DamagedError):
            return self._attempt()
        self._mirror.drop(HEADS)
        try:
            return self._attempt()
        except DamagedError as damage:
            if self._mirror.sound(self.git):
                raise unknown_fault(self._what, str(damage).encode()) from damage
        return self._anew()

    def _anew(self) -> Commit:
        self._mirror.discard()
        self._commits.clear()
        self._mirror.prepare()
        try:
            head = self._attempt()
        except DamagedError as damage:
            raise unknown_fault(self._what, str(damage).encode()) from damage
        self._mirror.forget()
        return head

    def _correct(self) -> None:
        if not self._may_correct:
            raise Transient(
                Reason.FETCH_FAILED,
                f"the mirror {self.git.folder} is damaged or being made anew",
                "the agent corrects it at its next turn; try again then",
            )
        self._anew()

    def _attempt(self) -> Commit:
        """One fetch. DamagedError if it failed and the remote is not clearly the reason."""
        self._refuse_what_git_would_wait_for()
        first = not self._refs.under("refs/")
        if first and self.remote.path and is_shallow(self.remote.path):
            raise shallow(self._what, self.remote)
        timeout = self._timeouts[1 if first else 0]
        largest = max(SMALL_PUSH, room(self.git.folder))
        try:
            fetch = ("fetch", *reading(self.remote), *_FETCH, self.remote.address, self._refspec)
            done = self.git.run(*fetch, timeout=timeout, largest=largest)
        except ProcessTimeout:
            self._mirror.sweep()
            raise timed_out(self._what, timeout) from None
        if done.returncode != 0:
            outgrown = self._mirror.sweep() >= largest
            if outgrown:
                raise too_large(self._what, largest)
            raise self._fault(done.stderr) or DamagedError(done.stderr.decode(errors="replace"))
        if b"shallow roots are not allowed" in done.stderr:  # a warning: the ref is unchanged, or missing
            raise shallow(self._what, self.remote)
        sha = self._refs.read(HEADS + self.branch)
        try:
            head = self.commit(sha or "")
        except KeyError:
            self._refuse_what_is_no_commit(sha or "")
            raise DamagedError(f"the mirror lacks the head, {sha}") from None
        self._mirror.pack(self.git)
        return head

    def _fault(self, stderr: bytes) -> Transient | None:
        missing = b"couldn't find remote ref" in stderr
        other = other_ref(self.git, self.remote, self.branch, self._what) if missing else None
        return other or known_fault(self._what, stderr, self.remote)

    def _refuse_what_git_would_wait_for(self) -> None:
        odd = odd_file(self.remote.path, self.branch) if self.remote.path else None
        if odd is not None:
            raise Transient(
                Reason.FETCH_FAILED,
                f"cannot {self._what}: in that repository, {odd}",
                "remove it, or put back the file that git had there",
            )

    def _refuse_what_is_no_commit(self, sha: str) -> None:
        """Git itself writes only commits into a branch; a person, or another program, can write anything."""
        kind = self.git.run("cat-file", "-t", sha).stdout.decode(errors="replace").strip()
        if kind:
            raise Transient(
                Reason.FETCH_FAILED,
                f"cannot {self._what}: it names a {kind} ({sha[:12]}) and no commit",
                f"make the branch name a commit again: git -C REPOSITORY branch -f {self.branch} COMMIT",
            )

    @property
    def _what(self) -> str:
        return f"fetch branch {self.branch} from {self.remote.shown}"

    @property
    def _refspec(self) -> str:
        return f"+refs/heads/{self.branch}:{HEADS}{self.branch}"


_FETCH = (
    "--quiet", "--no-tags", "--no-auto-maintenance", "--no-write-fetch-head", "--no-recurse-submodules",
    "--no-show-forced-updates", "--end-of-options",
)  # fmt: skip


def files_at(git_dir: Path, revision: str, environ: Mapping[str, str], signers: Signers = NOBODY_ASKED) -> Files:
    """The files of a commit of a user's repository: `git_dir` is its folder or the .git in it.

    `revision` is anything that names a commit there: a sha, an abbreviated one, a branch, HEAD~2. Usage if there is no
    such repository or commit.
    """
    git = Git(_git_folder(git_dir), environ)
    done = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", _named(revision) + "^{commit}")
    if done.returncode == 128:
        raise Usage(
            Reason.USAGE_INVALID,
            f"--git-dir: {git_dir} is no git repository",
            "name the folder of a repository, or the .git in it",
        )
    if done.returncode != 0:
        raise _no_commit(revision, f"is not in {git_dir}")
    sha = done.stdout.decode().strip()
    try:
        return GitFiles(git, sha, signers=signers)
    except DamagedError as damage:
        raise Transient(Reason.FETCH_FAILED, f"{git_dir}: {damage}", "run `git fsck` in that repository") from damage


def _named(revision: str) -> str:
    if not revision or revision.startswith("-") or not revision.isprintable():
        raise _no_commit(revision, "cannot name a commit")
    return revision


def _git_folder(repository: Path) -> Path:
    inside = repository / ".git"
    if inside.is_file():
        return repository / inside.read_text("utf-8", errors="replace").removeprefix("gitdir:").strip()
    return inside if inside.exists() else repository


def _pin_ref(name: str) -> str:
    if not _PIN.fullmatch(name) or ".lock" in name:
        raise ValueError(f"{name!r} cannot name a pin")
    return OURS + name


def _no_commit(revision: str, why: str) -> Usage:
    return Usage(
        Reason.USAGE_INVALID,
        f"--commit: {revision!r} {why}",
        "give a sha, an abbreviated one, a branch or HEAD",
    )
