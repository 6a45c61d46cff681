"""A commit's own lines, read from its object, and what is wrong with them.

Git is not asked to check what it fetches: it would refuse the whole branch for one bad commit anywhere in its history.
Nothing of a commit but its tree is ever applied, and only the head's is; so the head alone is judged.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from reconciler.model.files import Commit
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.observe.git import Git
from reconciler.observe.refs import SHA

RULE = "malformed-commit"

SHOWN = 4096
"""Bytes of a line that are decoded for people. An encoding may take its time: its name is the commit's choice."""

_ORDER = re.compile(
    rb"tree [0-9a-f]{40,64}\n(?:parent [0-9a-f]{40,64}\n)*(?:author [^\n]*\n)+committer [^\n]*\n(?:[^\n]+\n)*(?:\n|\Z)"
)


def read_commit(git: Git, sha: str) -> Commit:
    """KeyError when the repository does not have it. Whatever else is wrong with it, it is read."""
    head, _, message = _raw(git, sha).partition(b"\n\n")
    encoding = _field(head, b"encoding").decode("ascii", errors="replace") or "utf-8"
    return Commit(
        sha=sha,
        tree=_field(head, b"tree").decode("ascii", errors="replace"),
        subject=" ".join(_text(message.lstrip()[:SHOWN].partition(b"\n\n")[0], encoding).split()),
        author=_text(_field(head, b"author").partition(b"<")[0], encoding).strip(),
        time=_time(_field(head, b"committer")),
    )


def malformed(git: Git, sha: str) -> tuple[Violation, ...]:
    """What git's own check would say of this commit, as far as it matters."""
    data = _raw(git, sha)
    head, _, message = data.partition(b"\n\n")
    if b"\0" in head:
        return (_violation(sha, "has a NUL in its header", Level.DENY),)
    if not _ORDER.match(data):
        return (_violation(sha, "has no proper header (tree, parents, author, committer)", Level.DENY),)
    if b"\0" in message:
        return (_violation(sha, "has a NUL in its message, where many programs stop reading", Level.WARN),)
    return ()


def _raw(git: Git, sha: str) -> bytes:
    """The beginning of the object, of one that is larger than any program's output may be."""
    done = git.run("cat-file", "commit", sha) if SHA.fullmatch(sha) else None
    if done is None or (done.returncode != 0 and not done.cut):
        raise KeyError(sha)
    return done.stdout


def _field(head: bytes, name: bytes) -> bytes:
    """The first header of that name; '' where there is none."""
    found = re.search(rb"^%s ([^\n]*)" % name, head, re.MULTILINE)
    return found[1][:SHOWN] if found else b""


def _text(data: bytes, encoding: str) -> str:
    """Some encodings that Python knows refuse even to replace what they cannot read, or are no text at all."""
    try:
        return data.decode(encoding, errors="replace")
    except (LookupError, ValueError):
        return data.decode(errors="replace")


def _time(identity: bytes) -> str:
    """RFC 3339 of `name <address> seconds zone`; the epoch where that is no time."""
    seconds = identity.rpartition(b">")[2].split()[:1]
    try:
        return datetime.fromtimestamp(int(seconds[0]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (IndexError, ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


def _violation(sha: str, what: str, level: Level) -> Violation:
    return Violation(
        Reason.PARSE_FAILED,
        RULE,
        f"commit {sha[:12]} {what}",
        "Make the commit again with git (git commit --amend) and push it; later commits are judged by themselves.",
        level=level,
    )
