"""Merges two commits without a working tree."""

from __future__ import annotations

from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.observe.git import Git
from reconciler.observe.refs import SHA

_NOBODY = {
    **{f"GIT_{who}_{what}": "reconciler" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
    **{f"GIT_{who}_DATE": "@0 +0000" for who in ("AUTHOR", "COMMITTER")},
}
"""Always the same, so that the same merge has the same sha."""

_USAGE = 129
"""Exit code of git before 2.38, which cannot merge without a working tree."""


def merge(git: Git, onto: str, head: str) -> tuple[str | None, tuple[str, ...]]:
    """The sha of the merge of `head` into `onto`, None if they conflict; and the paths of the conflicts.

    If `head` builds on `onto`, or git is older than 2.38, the result is `head` itself. Transient if git cannot merge.
    """
    if git.run("merge-base", "--is-ancestor", onto, head).returncode == 0:
        return head, ()
    command = ("merge-tree", "--write-tree", "--name-only", "--no-messages", "-z", onto, head)
    done = git.run("-c", "merge.renameLimit=400", *command)
    words = done.stdout.decode(errors="replace").split("\0")
    tree = words[0].strip()
    if done.returncode == 1 and SHA.fullmatch(tree):
        return None, tuple(word for word in words[1:] if word)
    if done.returncode == _USAGE:
        return head, ()
    if done.returncode == 0:
        made = git.run("commit-tree", tree, "-p", onto, "-p", head, "-m", "merged", extra=_NOBODY)
        if made.returncode == 0:
            return made.stdout.decode("ascii").strip(), ()
    told = f"git cannot merge {head[:12]} into {onto[:12]}"
    raise Transient(Reason.FETCH_FAILED, told, "it is tried again later")
