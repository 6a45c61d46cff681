"""A commit's own lines, read from its object."""

from __future__ import annotations

from datetime import UTC, datetime

from reconciler.model.files import Commit
from reconciler.observe.git import Git
from reconciler.observe.refs import SHA


def read_commit(git: Git, sha: str) -> Commit:
    """KeyError when the repository does not have it."""
    done = git.run("cat-file", "commit", sha) if SHA.fullmatch(sha) else None
    if done is None or done.returncode != 0:
        raise KeyError(sha)
    head, _, message = done.stdout.partition(b"\n\n")
    fields = dict(reversed([line.partition(b" ")[::2] for line in head.split(b"\n")]))
    encoding = fields.get(b"encoding", b"utf-8").decode("ascii", errors="replace")
    author, committer = fields.get(b"author", b""), fields.get(b"committer", b"")
    return Commit(
        sha=sha,
        tree=fields[b"tree"].decode("ascii", errors="replace"),
        subject=" ".join(_text(message.strip().partition(b"\n\n")[0], encoding).split()),
        author=_text(author.partition(b"<")[0], encoding).strip(),
        time=_time(committer),
    )


def _text(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, errors="replace")
    except LookupError:
        return data.decode(errors="replace")


def _time(identity: bytes) -> str:
    """RFC 3339 of `name <address> seconds zone`; the epoch where that is no time."""
    seconds = identity.rpartition(b">")[2].split()[:1]
    try:
        return datetime.fromtimestamp(int(seconds[0]), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (IndexError, ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"
