"""Walks paths of the host so that no link made by a container is followed.

Containers write below `<state>/data` and below granted paths, and the engine follows symbolic links when it mounts. So
each step is made from the open folder before it (openat with O_NOFOLLOW), and folders are identified by device and
inode, not by name. Links of the operator are followed: those on the way to a granted path, if no container can write to
the folder that contains them. Links below are not followed, except those that adoption made, exactly at their place and
with the target in the journal.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shlex
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from reconciler.model.ways import Identity, Obstacle, Way
from reconciler.ownership import FOLDER

MODE = 0o755
"""Mode of new folders, whatever the umask: programs in containers have other users."""

LIST_IT = "Run the agent as a user who may enter the folder, or list the path itself under binds."

MOST_LINKS = 40
"""Number of the operator's links on one path; the kernel's own bound."""


class HostPaths:
    """The paths that one agent mounts. `data`: its data folder; `own`: its own folders that no container writes to;
    `writable`: granted paths that containers may write to; `readable`: the other granted ones; `private`: paths that no
    granted path may lead into."""

    def __init__(
        self,
        data: str,
        own: Sequence[str] = (),
        writable: Sequence[str] = (),
        readable: Sequence[str] = (),
        private: Sequence[str] = (),
    ) -> None:
        self._data, self._own, self._private = data, own, private
        self._writable = [normal(path) for path in writable]
        self._granted = [*self._writable, *(normal(path) for path in readable)]

    def ways(self, paths: Iterable[str], links: Mapping[str, str]) -> dict[str, Way]:
        """Each path (in its normal form), walked. `links`: those that adoption made, place → target. Makes nothing."""
        guarded = self._guarded(links)
        found = {}
        for path in paths:
            with self.walk(path, links, guarded=guarded) as walk:
                found[path] = walk.way
        return found

    def filled(self, paths: Iterable[str], links: Mapping[str, str]) -> frozenset[str]:
        """The paths that are files, or folders with content. Makes nothing."""
        found = set()
        for path in paths:
            with self.walk(path, links) as walk:
                if walk.way.end is not None and (not walk.is_folder or not _is_empty(walk.folder)):
                    found.add(path)
        return frozenset(found)

    @contextmanager
    def walk(
        self,
        path: str,
        links: Mapping[str, str],
        *,
        make: bool = False,
        guarded: frozenset[Identity] | None = None,
    ) -> Iterator[Walk]:
        """Walk along one path; within this context its last folder is open. `make`: make the missing folders below the
        data folder. OSError if that fails."""
        walk = Walk(links, self._guarded(links) if guarded is None else guarded)
        try:
            base = self._base(path)
            walk.along(_parts(base))
            if base in self._granted and base != path:
                walk.refuse_unseen(base)
            walk.below(base, path[len(base) :], make=make and base == self._data)
            if base in self._granted:
                walk.keep_out(path, self._identities(self._private))
            yield walk
        finally:
            walk.close()

    def _base(self, path: str) -> str:
        """The longest beginning of the path that the operator has chosen; the whole path if no such beginning
        exists."""
        bases = (self._data, *self._own, *self._granted)
        above = (base for base in bases if f"{path}/".startswith(f"{base.rstrip('/')}/"))
        return max(above, key=len, default=path)

    def _guarded(self, links: Mapping[str, str]) -> frozenset[Identity]:
        """The folders in which containers may have made links. First those whose path has no link. Then those behind
        links of the operator; a link inside one of the first folders is not followed."""
        paths = {self._data, *self._writable, *links.values()}
        certain = {path: end for path in paths if (end := _end(path)) is not None}
        guarded = frozenset(certain.values())
        led = (_end(path, guarded) for path in paths - certain.keys())
        return guarded | {end for end in led if end is not None}

    def _identities(self, paths: Iterable[str]) -> frozenset[Identity]:
        found = set()
        for path in paths:
            try:
                found.add(_identity(os.stat(path)))
            except OSError:
                continue
        return frozenset(found)


class Walk:
    """One path, as far as it was walked. `folder`: descriptor of the last reached folder."""

    def __init__(self, links: Mapping[str, str], guarded: frozenset[Identity]) -> None:
        self._links, self._guarded = links, guarded
        self._open: list[tuple[int, str, bool]] = []
        self._passed: set[Identity] = set()
        self._end: Identity | None = None
        self._obstacle: Obstacle | None = None
        self._ended = False
        self._followed = 0
        self._make = self._unseen = False
        self.adopted = False
        self._from_root()

    @property
    def way(self) -> Way:
        return Way(frozenset(self._passed), self._end, self._obstacle)

    @property
    def folder(self) -> int:
        return self._open[-1][0]

    @property
    def is_folder(self) -> bool:
        """Whether the path names the last reached folder, and not a file in it."""
        return self._end == _identity(os.fstat(self.folder))

    def close(self) -> None:
        while self._open:
            os.close(self._open.pop()[0])

    def along(self, parts: Sequence[str]) -> None:
        """Walk along these names, and follow the operator's links."""
        todo = list(parts)
        while todo and not self._ended:
            self._step(todo, None)

    def below(self, base: str, rest: str, *, make: bool) -> None:
        """Walk from `base` along `rest`, and follow no link except those of adoption."""
        self._make = make
        todo, place = _parts(rest), base.rstrip("/")
        while todo and not self._ended:
            place = f"{place}/{todo[0]}"
            self._step(todo, place)

    def refuse_unseen(self, base: str) -> None:
        """Refuse a path below a folder that only the engine can see, because anything could be there. On the engine's
        own machine, a folder that does not exist has nothing below."""
        absent = self._end is None and self._obstacle is None
        if absent and (self._unseen or sys.platform != "linux"):
            self._stop(Obstacle(f"{base} cannot be looked at, and containers could have put a link below it", LIST_IT))

    def keep_out(self, path: str, private: frozenset[Identity]) -> None:
        if self._obstacle is None and private & (self._passed | ({self._end} if self._end else set())):
            message = f"{path} leads into the agent's own state or secrets"
            self._stop(Obstacle(message, "Mount another path: no commit may use this one."))

    def _step(self, todo: list[str], place: str | None) -> None:
        """Take the first of the remaining names. `place`: the name of this place if no link counts."""
        name = todo.pop(0)
        if name == "..":
            self._up()
            return
        folder, here, guarded = self._open[-1]
        self._passed.add(_identity(os.fstat(folder)))
        self._end = None
        try:
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISLNK(found.st_mode):
                self._link(name, todo, place)
            elif stat.S_ISDIR(found.st_mode):
                self._enter(os.open(name, FOLDER, dir_fd=folder), f"{here}/{name}", guarded or place is not None)
            elif todo:
                self._stop(Obstacle(f"{place or f'{here}/{name}'} is no folder", "Remove it, or mount another path."))
            else:
                self._end, self._ended = _identity(found), True
        except FileNotFoundError:
            if self._make:
                self._enter(_made(name, folder), f"{here}/{name}", True)
            else:
                self._ended = True
        except ValueError:
            self._stop(Obstacle(f"{here} can have no name with a null character in it", "Mount another path."))
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                self._stop(_swapped(place or f"{here}/{name}"))
            elif guarded or place is not None:
                self._stop(_hidden(place or f"{here}/{name}", error))
            self._unseen = self._ended = True

    def _link(self, name: str, todo: list[str], place: str | None) -> None:
        folder, here, guarded = self._open[-1]
        target = os.readlink(name, dir_fd=folder)
        if place is not None and self._links.get(place) == target and not self.adopted:
            self.adopted, made = True, self._make
            self._make = False
            self._from_root()
            self.along(_parts(target))
            self._make = made
        elif guarded or place is not None or self._followed >= MOST_LINKS:
            self._stop(_planted(place or f"{here}/{name}"))
        else:
            self._followed += 1
            if target.startswith("/"):
                self._from_root()
            todo[:0] = _parts(target)

    def _from_root(self) -> None:
        self.close()
        self._enter(os.open("/", FOLDER), "", False)

    def _enter(self, folder: int, here: str, guarded: bool) -> None:
        self._end = _identity(os.fstat(folder))
        self._open.append((folder, here, guarded or self._end in self._guarded))

    def _up(self) -> None:
        if len(self._open) > 1:
            os.close(self._open.pop()[0])
        self._end = _identity(os.fstat(self.folder))

    def _stop(self, obstacle: Obstacle) -> None:
        self._obstacle, self._end, self._ended = obstacle, None, True


def _is_empty(folder: int) -> bool:
    """Whether the folder is empty. `folder` may be a descriptor that cannot list it (O_PATH)."""
    opened = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        with os.scandir(opened) as entries:
            return next(entries, None) is None
    finally:
        os.close(opened)


def _end(path: str, guarded: frozenset[Identity] | None = None) -> Identity | None:
    """Identity of the path's target, if it may be reached. Without `guarded`, no link at all is followed."""
    walk = Walk({}, guarded or frozenset())
    if guarded is None:
        walk.below("", path, make=False)
    else:
        walk.along(_parts(path))
    walk.close()
    return walk.way.end


def _made(name: str, folder: int) -> int:
    """A new folder, opened. OSError if somebody else puts something in its place meanwhile."""
    try:
        os.mkdir(name, MODE, dir_fd=folder)
    except FileExistsError:
        return os.open(name, FOLDER, dir_fd=folder)
    made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    os.fchmod(made, MODE)
    return made


def _planted(path: str) -> Obstacle:
    return Obstacle(
        f"{path} is a symbolic link, and containers can make links there: nothing is mounted from behind it",
        f"Look where it leads (`ls -l {shlex.quote(path)}`), then remove it (`rm {shlex.quote(path)}`). If you made it "
        "yourself, mount the folder that it stands for.",
    )


def _swapped(path: str) -> Obstacle:
    return Obstacle(f"{path} was replaced while it was looked at", "It is tried again by itself.")


def _hidden(path: str, error: OSError) -> Obstacle:
    return Obstacle(
        f"{path} cannot be looked at ({error.strerror}), and containers could have put a link there",
        LIST_IT,
    )


def normal(path: str) -> str:
    """An absolute path in the form in which paths are compared."""
    return posixpath.normpath("/" + path.lstrip("/"))


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino
