"""A folder of this machine as the remote: whose it is, and how git serves it without running anything of its own.

Whoever owns the repository decides what its configuration and its hooks say, and may be anybody. Git on that side runs
as us, so what would start a program there is overridden on its command line, which no configuration can undo.
"""

from __future__ import annotations

import os
import shlex
import shutil
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
"""`true` and `false` are programs that do nothing; a hooks folder that is none has no hooks."""

_WRITTEN = (
    *_INERT,
    "receive.autogc=false",
    "receive.denyCurrentBranch=ignore",  # never checked out: that goes through filters, which are programs
    "receive.denyNonFastForwards=false",
    "receive.unpackLimit=1",  # a push must not leave folders that the owner cannot write to
    "receive.updateServerInfo=false",
)
_DECIDES = ("", "config", "HEAD", "hooks", "objects", "refs")
"""What decides of a repository's content and behaviour."""


def reading(remote: Remote) -> tuple[str, ...]:
    """Options of `fetch` and `ls-remote`: how a folder is read. None for what another machine serves."""
    return () if remote.path is None else (f"--upload-pack={_command('upload-pack', _INERT)}",)


def writing(remote: Remote) -> tuple[str, ...]:
    """The same for `push`. Root writes to another user's folder as that user, where the user can get there: then no
    link in it leads to what only root may write."""
    if remote.path is None:
        return ()
    return (f"--receive-pack=umask 022 && {_command('receive-pack', _WRITTEN, as_owner(remote.path))}",)


def peek(remote: Remote, ref: str) -> str | None:
    """The sha of a ref there, '' for none, read from its file; None where only git can tell."""
    refs = refs_of(remote.path) if remote.path else None
    if refs is None:
        return None
    return refs.read(ref) or (None if refs.stands(ref) else "")


def stranger(folder: Path) -> int | None:
    """The uid of somebody, neither root nor us, who owns the repository or what decides in it."""
    for path in _parts(folder):
        with suppress(OSError):
            owner = path.stat().st_uid
            if owner not in (0, os.geteuid()):
                return owner
    return None


def not_pushed(folder: Path, owner: int) -> str:
    """Why notes are kept, for people."""
    return (
        f"notes stay in the state folder: {folder} belongs to another user (uid {owner}). "
        "To push them, with that repository's hooks switched off: `notes: {push: true}` in the agent config"
    )


def as_owner(folder: Path) -> tuple[str, ...]:
    """What starts a program as the folder's owner; empty where we are that user, or cannot."""
    setpriv = shutil.which("setpriv", path=os.defpath) if sys.platform == "linux" else None
    if os.geteuid() != 0 or setpriv is None:
        return ()
    try:
        status = folder.stat()
    except OSError:
        return ()
    if status.st_uid == 0 or not _reaches(folder.resolve(), status.st_uid, status.st_gid):
        return ()
    return (setpriv, f"--reuid={status.st_uid}", f"--regid={status.st_gid}", "--clear-groups")


def _parts(folder: Path) -> Iterator[Path]:
    for base in (folder, folder / ".git"):
        yield from (base / name for name in _DECIDES)


def _reaches(folder: Path, uid: int, gid: int) -> bool:
    """Whether a user without further groups can walk to the folder."""
    for above in folder.parents:
        status = above.stat()
        shift = 6 if status.st_uid == uid else 3 if status.st_gid == gid else 0
        if not status.st_mode >> shift & 1:
            return False
    return True


def _command(program: str, settings: Sequence[str], start: Sequence[str] = ()) -> str:
    """For a shell. No configuration of the user is read as another one; and nothing is fetched on demand."""
    given = ["GIT_ALLOW_PROTOCOL=none", "GIT_NO_LAZY_FETCH=1", *(["GIT_CONFIG_GLOBAL=/dev/null"] if start else [])]
    options = [part for setting in settings for part in ("-c", setting)]
    return " ".join([*given, shlex.join([*start, "git", *options, program])])
