"""Checks who can change a file: its owner, its mode, links, and every folder on the way to it.

A file that only root or the agent's own user can change is under the operator's control; any other is not.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | getattr(os, "O_PATH", os.O_RDONLY)
"""How a folder is opened on a way that is walked step by step: O_PATH needs no right to list it, but only Linux has
it."""

WRITABLE = 0o022
OPEN = 0o077
_MOST_LINKS = 40
_MACS_ADMINS = 80
"""The group of macOS's administrators. It may write to folders of programs; its members may become root anyway."""


@dataclass(frozen=True, slots=True)
class Demand:
    """The requirements for a path.

    `ours`: it belongs to the agent's user; else root may own it, too. `link`: it may be a symbolic link, if root or the
    user made it. `mask`: mode bits that it must not have. `sticky`: it may be in a folder that all may write to, if
    only its owner may replace it there (/tmp).
    """

    what: str
    ours: bool = False
    link: bool = False
    mask: int = WRITABLE
    sticky: bool = True


CONFIG = Demand("the agent config", link=True)
HOSTS = Demand("the file of hosts", link=True)
KEYS = Demand("the keys of signers", link=True)
DOCKER_CONFIG = Demand("Docker's configuration", link=True)
PROGRAM = Demand("the program", link=True, sticky=False)
STATE = Demand("the state folder", ours=True)
SECRETS = Demand("secrets_dir", ours=True)
SECRET = Demand("the secret", mask=OPEN)
SOURCE_TOKEN = Demand("the token of source.token_file", mask=OPEN)
PRIVATE_KEY = Demand("the key of source.key_file", mask=OPEN)
HOST_KEYS = Demand("source.known_hosts_file", link=True)
CERTIFICATES = Demand("the certificates of ca_file", link=True)
SECRETS_OF_STACK = Demand("the folder of secrets")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a path or a folder above it, and the command that corrects it."""

    message: str
    remedy: str


def require(path: str, demand: Demand) -> None:
    """Raise Usage with every fault and its remedy. A path that does not exist yet is judged by the folders above it."""
    found = faults(path, demand)
    if not found:
        return
    told = found[0].message if len(found) == 1 else f"{demand.what} {path} could be changed by others"
    details = [f"{item.message}. {item.remedy}" for item in found] if len(found) > 1 else []
    raise Usage(Reason.USAGE_INVALID, told, found[0].remedy if len(found) == 1 else "Fix each of these.", details)


def require_contents(folder: Path, demand: Demand) -> None:
    """Raise Usage if something in the folder belongs to another user: the folder may have been open to all before."""
    with suppress(FileNotFoundError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if status.st_uid not in _trusted():
                told = f"{entry.path} in {demand.what} belongs to {_user(status)}"
                raise Usage(Reason.USAGE_INVALID, told, f"Look what it is, then remove it or run: {_chown(entry.path)}")


def faults(path: str, demand: Demand) -> list[Fault]:
    """Everything that lets others change the target of `path`, as far as we may look."""
    steps, whole = list(_steps(os.path.join(os.getcwd(), path))), os.path.exists(path)
    found: list[Fault] = []
    for number, (item, status, last) in enumerate(steps):
        below = steps[number + 1][1] if number + 1 < len(steps) else None
        if stat.S_ISLNK(status.st_mode):
            found += _link(item, status, demand, last=last)
        elif below is None and whole:
            found += entry_faults(item, status, demand)
        else:
            found += _folder(item, status, demand, below)
    return list(dict.fromkeys(found))


def entry_faults(path: str, status: os.stat_result, demand: Demand) -> list[Fault]:
    """Everything that lets others change the object itself, by its `lstat`."""
    if stat.S_ISLNK(status.st_mode):
        return _link(path, status, demand, last=True)
    if demand.mask == OPEN and stat.S_ISDIR(status.st_mode):
        return [Fault(f"{demand.what} {path} is a folder", "Name the file itself.")]
    found = []
    if status.st_uid not in ((os.geteuid(),) if demand.ours else _trusted()):
        remedy = _as_owner(status.st_uid, _chown(path)) if demand.ours else _chown(path)
        found.append(Fault(f"{demand.what} {path} belongs to {_user(status)}", remedy))
    bits = status.st_mode & demand.mask
    if bits:
        how = "be changed" if bits & WRITABLE else "be read"
        mode = stat.S_IMODE(status.st_mode)
        wanted = "0600" if demand.mask == OPEN else "go-w"
        told = f"{demand.what} {path} can {how} by other users (mode {mode:04o})"
        found.append(Fault(told, f"chmod {wanted} {shlex.quote(path)}"))
    return found


def open_folder(path: str) -> int:
    """Open a folder. A link on the way is followed only if nobody else can have made it: it belongs to root or us, and
    so does the folder in which it lies. OSError (ELOOP) for any other link."""
    folders, links = [os.open("/", FOLDER)], 0
    pending = _parts(os.path.join(os.getcwd(), path))
    try:
        while pending:
            name, here = pending.pop(0), folders[-1]
            if name == "..":
                if len(folders) > 1:
                    os.close(folders.pop())
                continue
            status = os.stat(name, dir_fd=here, follow_symlinks=False)
            if not stat.S_ISLNK(status.st_mode):
                folders.append(os.open(name, FOLDER, dir_fd=here))
            elif links < _MOST_LINKS and status.st_uid in _trusted() and _is_only_ours(os.fstat(here)):
                target, links = os.readlink(name, dir_fd=here), links + 1
                while target.startswith("/") and len(folders) > 1:
                    os.close(folders.pop())
                pending[:0] = _parts(target)
            else:
                raise OSError(errno.ELOOP, "a link that somebody else may have made", os.path.join(path, name))
        return os.dup(folders[-1])
    finally:
        for folder in folders:
            os.close(folder)


def _is_only_ours(folder: os.stat_result) -> bool:
    """Whether nobody else can put a link of ours into the place of another entry of the folder."""
    return folder.st_uid in _trusted() and (not folder.st_mode & WRITABLE or bool(folder.st_mode & stat.S_ISVTX))


def _link(path: str, status: os.stat_result, demand: Demand, *, last: bool) -> list[Fault]:
    target = os.path.realpath(path)
    if last and not demand.link:
        hint = f"Name {target} itself, or replace the link by what it leads to."
        return [Fault(f"{demand.what} {path} is a symbolic link to {target}", hint)]
    if status.st_uid in _trusted():
        return []
    return [Fault(f"{path} is a link of {_user(status)}, on the way to {demand.what}", f"Name {target} itself.")]


def _folder(path: str, status: os.stat_result, demand: Demand, below: os.stat_result | None) -> list[Fault]:
    """Faults of a folder on the way. Everybody who can write to it can replace its content."""
    told = f"on the way to {demand.what}: the folder {path}"
    if status.st_uid not in _trusted():
        return [Fault(f"{told} belongs to {_user(status)}", f"Choose another place, or run: {_chown(path)}")]
    sticky = status.st_mode & stat.S_ISVTX and (demand.sticky or below is None or stat.S_ISDIR(below.st_mode))
    if not status.st_mode & WRITABLE or sticky or _only_admins(status) or _own_group(status):
        return []
    mode = stat.S_IMODE(status.st_mode)
    return [Fault(f"{told} can be changed by other users (mode {mode:04o})", f"chmod go-w {shlex.quote(path)}")]


def _steps(path: str) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Each folder and link on the way, from /, and its state; ends at the first missing one. Third value: whether the
    path as written, or a link at its end, ends there."""
    here, pending, links = "/", _parts(path), 0
    yield here, os.lstat(here), not pending
    while pending:
        item = os.path.normpath(os.path.join(here, pending.pop(0)))
        try:
            status = os.lstat(item)
        except OSError:
            return
        yield item, status, not pending
        here = item
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > _MOST_LINKS:
                return
            target = os.readlink(item)
            here = "/" if target.startswith("/") else os.path.dirname(item)
            pending = _parts(target) + pending


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _trusted() -> tuple[int, int]:
    return (0, os.geteuid())


def _only_admins(status: os.stat_result) -> bool:
    return sys.platform == "darwin" and status.st_gid == _MACS_ADMINS and not status.st_mode & 0o002


def _own_group(status: os.stat_result) -> bool:
    """Whether the group belongs to this user alone. Many systems make one group for each user: with umask 002 its
    members may write to every folder. False for root's group, which is for administrators."""
    if status.st_uid == 0 or status.st_mode & 0o002:
        return False
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(status.st_uid), grp.getgrgid(status.st_gid)
    except KeyError:
        return False
    return (group.gr_gid, group.gr_name) == (user.pw_gid, user.pw_name) and set(group.gr_mem) <= {user.pw_name}


def _user(status: os.stat_result) -> str:
    return f"another user (uid {status.st_uid})"


def _as_owner(owner: int, chown: str) -> str:
    """The remedy where another account owns what should be ours: most often the agent runs as that account, and a
    person has called a verb as root. Then giving it away would stop the agent."""
    import pwd

    try:
        named = shlex.quote(pwd.getpwuid(owner).pw_name)
    except KeyError:
        named = f"'#{owner}'"
    return f"If the agent runs as that user, call the verb so: sudo -u {named} reconciler …; if not, run: {chown}"


def _chown(path: str) -> str:
    sudo = "" if os.geteuid() == 0 else "sudo "
    return f"{sudo}chown {os.geteuid()} {shlex.quote(path)}"
