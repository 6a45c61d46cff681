"""Changes that a person asks for from the laptop: a commit that restores a tree, and a push. The working tree stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.process import run


class Place(Protocol):
    """The clone that a person works in, and git's environment."""

    folder: str
    environ: Mapping[str, str]


REFUSED = 1
"""Git's exit code if the remote, or a hook here, refused the commit. Any other failure says nothing about the
commit."""


def restoring_commit(place: Place, tree: str, parent: str, message: str) -> str:
    """The sha of a new commit with this tree, on top of `parent`, by the person's own git identity."""
    argv = ["git", "-C", place.folder, "commit-tree", tree, "-p", parent, "-m", message]
    done = run(argv, env=place.environ, timeout=60.0, reason=Reason.DISK_FAILED)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        hint = "tell git who you are: git config user.name … and user.email …"
        raise Usage(Reason.USAGE_INVALID, f"git cannot make the commit: {said[-1] if said else ''}", hint)
    return done.stdout.decode().strip()


def push(
    place: Place, remote: str, sha: str, branch: str, options: Sequence[str], timeout: float, *, shown: bool
) -> list[str] | None:
    """Push one commit. None: the remote has it, or the push was cut off and the remote may have it. Otherwise git's
    last lines: the remote has refused it.

    `options`: push options, left out if the remote takes none. `timeout`: seconds after which git is ended; a hook of
    ours may show a rollout for an hour. `shown`: git's output, and with it the rollout, goes to this process's stderr.
    Transient where the remote is away.
    """
    code, said = _pushed(place, remote, sha, branch, options, timeout, shown=shown and not options)
    if options and code != 0 and "does not support push options" in said:
        code, said = _pushed(place, remote, sha, branch, (), timeout, shown=False)
    if shown and options:
        sys.stderr.write(said)
    if code < 0:  # ended by a signal: ours, or Ctrl-C at the terminal
        return None
    if code not in (0, REFUSED):
        raise Transient(
            Reason.FETCH_FAILED,
            f"the push to {remote} failed",
            "see whether `git push` works by itself, from this folder",
            said.strip().splitlines()[-5:],
        )
    return None if code == 0 else said.strip().splitlines()[-10:]


def _pushed(
    place: Place, remote: str, sha: str, branch: str, options: Sequence[str], timeout: float, *, shown: bool
) -> tuple[int, str]:
    given = [word for option in options for word in ("-o", option)]
    argv = ["git", "-C", os.path.abspath(place.folder), "push", *given, "--", remote, f"{sha}:refs/heads/{branch}"]
    stderr = None if shown else subprocess.PIPE
    try:
        done = subprocess.run(
            argv, env=dict(place.environ), stdout=subprocess.PIPE, stderr=stderr, check=False, timeout=timeout
        )
    except subprocess.TimeoutExpired:
        return -signal.SIGKILL, ""
    return done.returncode, (done.stderr or b"").decode(errors="replace")
