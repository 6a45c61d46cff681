"""Reads a commit object, and finds faults in its header and message.

Git does not check what it fetches: it would refuse the whole branch for one bad commit anywhere in its history. Only
the head's tree is ever applied, so only the head is judged.
"""

from __future__ import annotations

import re

from reconciler.model.outcome import Level, Reason, Violation
from reconciler.observe.git import Git
from reconciler.observe.refs import SHA

RULE = "malformed-commit"

_ORDER = re.compile(
    rb"tree [0-9a-f]{40,64}\n(?:parent [0-9a-f]{40,64}\n)*(?:author [^\n]*\n)+committer [^\n]*\n(?:[^\n]+\n)*(?:\n|\Z)"
)


_PARENTS = re.compile(rb"tree [0-9a-f]{40,64}\n((?:parent [0-9a-f]{40,64}\n)*)")


def parents(data: bytes) -> frozenset[str]:
    """The parents that git reads from a commit object."""
    found = _PARENTS.match(data)
    return frozenset(found[1].decode("ascii").split()) - {"parent"} if found else frozenset()


def malformed(sha: str, data: bytes) -> tuple[Violation, ...]:
    """The faults that git's own check would report for this commit object, as far as they matter."""
    head, _, message = data.partition(b"\n\n")
    if b"\0" in head:
        return (_violation(sha, "has a NUL in its header", Level.DENY),)
    if not _ORDER.match(data):
        return (_violation(sha, "has no proper header (tree, parents, author, committer)", Level.DENY),)
    if b"\0" in message:
        return (_violation(sha, "has a NUL in its message, where many programs stop reading", Level.WARN),)
    return ()


def read_commit(git: Git, sha: str) -> bytes:
    """The commit object, even if it has faults. Of one that is larger than the limit for a program's output, only the
    beginning. KeyError if the repository does not have it."""
    done = git.run("cat-file", "commit", sha) if SHA.fullmatch(sha) else None
    if done is None or (done.returncode != 0 and not done.cut):
        raise KeyError(sha)
    return done.stdout


def _violation(sha: str, what: str, level: Level) -> Violation:
    return Violation(
        Reason.PARSE_FAILED,
        RULE,
        f"commit {sha[:12]} {what}",
        "Make the commit again with git (git commit --amend) and push it; later commits are judged by themselves.",
        level=level,
    )
