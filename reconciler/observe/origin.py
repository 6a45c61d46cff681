"""A folder of this machine as the remote: who owns it, and how git serves it without starting a program of it.

The owner of the repository decides on its configuration and hooks, and may be anybody. Git on that side runs as us, so
its command line overrides everything that would start a program; no configuration can undo that.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from reconciler.observe.git import STREAMED
from reconciler.observe.refs import refs_of
from reconciler.observe.remote import Remote

_INERT = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.alternateRefsCommand=true",
    "core.sshCommand=false",
    "core.logAllRefUpdates=false",
    f"core.bigFileThreshold={STREAMED}",
    "gc.auto=0",
    "maintenance.auto=false",
)
"""`true` and `false` are programs that do nothing; a hooks folder that does not exist has no hooks."""

_WRITTEN = (
    *_INERT,
    "receive.autogc=false",
    "receive.denyCurrentBranch=ignore",  # never checked out, because that runs filters, which are programs
    "receive.denyNonFastForwards=false",
    "receive.unpackLimit=1",  # a push must leave no folders that the owner cannot write to
    "receive.updateServerInfo=false",
)
_DECIDES = ("", "config", "HEAD", "hooks", "objects", "refs")
"""The files and folders that decide on a repository's content and behaviour."""


def reading(remote: Remote) -> tuple[str, ...]:
    """Options of `fetch` and `ls-remote` for reading a folder. None for a repository on another machine."""
    return () if remote.path is None else (f"--upload-pack={_command('upload-pack', _INERT)}",)


def writing(remote: Remote) -> tuple[str, ...]:
    """Options of `push` for writing to a folder. Root writes to another user's folder as that user, if the user can
    reach it, so that no link in it leads to a file that only root may write."""
    if remote.path is None:
        return ()
    command = _command("receive-pack", _WRITTEN, as_owner(remote.path))
    return (f"--receive-pack=umask {_umask(remote.path)} && {command}",)


def peek(remote: Remote, ref: str) -> str | None:
    """The sha of a ref there, '' if it does not exist, read from its file; None if only git can tell."""
    refs = refs_of(remote.path) if remote.path else None
    if refs is None:
        return None
    return refs.read(ref) or (None if refs.stands(ref) else "")


def foreign_owner(folder: Path) -> int | None:
    """The uid of an owner of the repository, or of its deciding parts, who is neither root nor us."""
    for path in _parts(folder):
        with suppress(OSError):
            owner = path.stat().st_uid
            if owner not in (0, os.geteuid()):
                return owner
    return None


def not_pushed(folder: Path, owner: int) -> str:
    """Why notes are not pushed, for people."""
    return (
        f"notes stay in the state folder: {folder} belongs to another user (uid {owner}). "
        "To push them, with that repository's hooks switched off: `notes: {push: true}` in the agent config"
    )


def as_owner(folder: Path, *, groups: bool = False) -> tuple[str, ...]:
    """The prefix that starts a program as the folder's owner; empty if we are that user, or cannot become it. `groups`:
    with the further groups of its owner, such as the engine's."""
    setpriv = shutil.which("setpriv", path=os.defpath) if sys.platform == "linux" else None
    if os.geteuid() != 0 or setpriv is None:
        return ()
    try:
        status = folder.stat()
    except OSError:
        return ()
    if status.st_uid == 0 or not _reaches(folder.resolve(), status.st_uid, status.st_gid):
        return ()
    return (
        setpriv,
        f"--reuid={status.st_uid}",
        f"--regid={status.st_gid}",
        "--init-groups" if groups else "--clear-groups",
    )


def _umask(folder: Path) -> str:
    """The umask for git's new files in the repository. If a group shares it, git makes new folders writable for the
    group. They must be so from the start: the agent's unit does not let git change the mode of such a folder
    (RestrictSUIDSGID)."""
    shared = stat.S_ISGID | stat.S_IWGRP
    with suppress(OSError):
        if folder.stat().st_mode & shared == shared:
            return "002"
    return "022"


def _parts(folder: Path) -> Iterator[Path]:
    for base in (folder, folder / ".git"):
        yield from (base / name for name in _DECIDES)


def _reaches(folder: Path, uid: int, gid: int) -> bool:
    """Whether a user without further groups can reach the folder."""
    for above in folder.parents:
        status = above.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not status.st_mode >> shift & 1:
            return False
    return True


def _command(program: str, settings: Sequence[str], start: Sequence[str] = ()) -> str:
    """A command for a shell. Git reads no other user's configuration, and fetches nothing on demand."""
    given = ["GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1", *(["GIT_CONFIG_GLOBAL=/dev/null"] if start else [])]
    options = [part for setting in settings for part in ("-c", setting)]
    return " ".join([*given, shlex.join([*start, "git", *options, program])])
