"""`hooks install`, `uninstall`, `status`: our hooks in a clone or a bare repository, beside existing ones."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from reconciler.errors import Transient
from reconciler.formats.packaged import packaged
from reconciler.model.outcome import Reason
from reconciler.observe.hook_place import HookPlace
from reconciler.observe.told import TOLD, told_files
from reconciler.record.summary_hooks import hooks as document
from reconciler.values import dataclass
from reconciler.verbs import Answer

OF_CLONES = ("pre-commit", "pre-push")
OF_BARE = ("pre-receive", "post-receive")
MARK = b"# A hook of reconciler:"
"""Prefix of the second line of each of our hooks, in every version."""

BEFORE = ".before-reconciler"
"""Suffix of the name of an earlier hook, which ours calls first."""

USERS = ".used-by-reconciler"
"""File in a folder of hooks that lies outside of the repository: the repositories that have installed our hooks there,
as a JSON list. The last one that uninstalls removes them."""

PROGRAM, CONFIG, CHANGED = "reconciler.program", "reconciler.config", "reconciler.changed"
"""Our git settings. The last lists those in RECEIVING that `install` has set, each as NAME or NAME=VALUE BEFORE."""

RECEIVING = {"receive.advertisePushOptions": "true", "receive.denyDeleteCurrent": "ignore"}
"""So that push options reach the hooks, and pre-receive decides whether the branch may be deleted."""

_IN_TREE = (
    "this folder lies in the working tree: a checkout, or the tool that made it, can put other hooks there; then "
    "`reconciler hooks status` shows it, and `hooks install` puts ours back"
)

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Settings = Callable[[str], str | None]
Change = Callable[[str, str | None], None]


class State(StrEnum):
    INSTALLED = "installed"
    OUTDATED = "outdated"
    FOREIGN = "foreign"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook in its folder. `before`: whether an earlier hook is kept."""

    name: str
    path: Path
    state: State
    before: bool

    @property
    def ours(self) -> bool:
        return self.state in (State.INSTALLED, State.OUTDATED)

    @property
    def aside(self) -> Path:
        return self.path.with_name(self.path.name + BEFORE)


class RepositoryHooks:
    """Our hooks of one repository. `get` and `put`: its git settings."""

    def __init__(self, place: HookPlace, get: Settings, put: Change) -> None:
        self._place, self._get, self._put = place, get, put

    def status(self) -> Answer:
        hooks = self._hooks()
        ours = [item for item in hooks if item.ours]
        idle = self._idle() if ours else ""
        whole = all(item.state is State.INSTALLED for item in hooks) and not idle
        return (0 if whole else 1), self._document(hooks, ours, *([idle] if idle else []))

    def install(self, program: str, config: str | None) -> Answer:
        """`program`: what the hooks call; `config`: the agent config for the hooks, if it was given. If a hook cannot
        be chained, nothing changes."""
        hooks = self._hooks()
        wrong = self._in_the_way(hooks)
        if wrong:
            return 1, self._document(hooks, [], *wrong, "nothing was changed")
        try:
            self._place.hooks.mkdir(parents=True, exist_ok=True)
            for item in hooks:
                if item.state is State.FOREIGN:
                    item.path.rename(item.aside)
                _write(item.path, shipped(item.name), self._mode())
            self._note_users([*self._others(), str(self._place.common)])
            if self._place.bare:
                _make_told(self._place.common)
        except OSError as error:
            raise _unwritable(error) from error
        self._put(PROGRAM, program)
        if config is not None:
            self._put(CONFIG, config)
        wanted = RECEIVING.items() if self._place.bare else ()
        new = [self._changed(name) for name, value in wanted if self._get(name) != value]
        for name, value in wanted:
            self._put(name, value)
        if new:
            self._put(CHANGED, " ".join(dict.fromkeys([*(self._get(CHANGED) or "").split(), *new])))
        made = self._hooks()
        return 0, self._document(made, made, *([_IN_TREE] if self._place.in_tree else []))

    def uninstall(self) -> Answer:
        """Remove what `install` made, and put back what was there before. Hooks that other repositories use as well
        stay: without our settings they do nothing in this one."""
        others = self._others()
        # Clones and bare repositories may share the folder.
        found = [] if others else self._hooks(OF_CLONES + OF_BARE if self._place.shared else ())
        gone = [item for item in found if item.ours]
        try:
            for hook in filter(_came_back, found):
                hook.aside.unlink()
            for hook in gone:
                hook.path.unlink()
                if hook.before:
                    hook.aside.rename(hook.path)
            self._note_users(others)
            _remove_told(self._place.common / TOLD)
        except OSError as error:
            raise _unwritable(error) from error
        for item in (self._get(CHANGED) or "").split():
            name, _, value = item.partition("=")
            self._put(name, value or None)
        for name in (PROGRAM, CONFIG, CHANGED):
            self._put(name, None)
        used = [f"the hooks stay in {self._place.hooks}, for {', '.join(others)}: here they do nothing any more"]
        return 0, self._document(self._hooks(), gone, *(used if others else []))

    def _others(self) -> list[str]:
        """Other repositories that use our hooks in the same folder, as far as they still exist."""
        if not self._place.shared:
            return []
        try:
            known = json.loads((self._place.hooks / USERS).read_bytes())
        except (OSError, ValueError, RecursionError):
            return []
        paths = [item for item in known if isinstance(item, str)] if isinstance(known, list) else []
        return [item for item in paths if item != str(self._place.common) and os.path.isdir(item)]

    def _note_users(self, users: Sequence[str]) -> None:
        if not self._place.shared:
            return
        if users:
            _write(self._place.hooks / USERS, json.dumps(users).encode(), 0o644)
        else:
            (self._place.hooks / USERS).unlink(missing_ok=True)

    def _changed(self, name: str) -> str:
        before = self._get(name)
        return name if before is None else f"{name}={before}"

    def _hooks(self, names: Sequence[str] = ()) -> list[Hook]:
        """The hooks `names`; without names those of this kind of repository."""
        names = names or (OF_BARE if self._place.bare else OF_CLONES)
        return [_hook(self._place.hooks / name) for name in names]

    def _idle(self) -> str:
        """Why our hooks in the folder check nothing here; '' if they do."""
        program = self._get(PROGRAM)
        if program is None:
            return "the hooks check nothing: this repository has not installed them; run `reconciler hooks install`"
        if shutil.which(program) is None:
            return f"the hooks check nothing: this account cannot run {program}; run `reconciler hooks install` again"
        return ""

    def _in_the_way(self, hooks: Sequence[Hook]) -> list[str]:
        folder = self._place.hooks
        if os.path.lexists(folder) and not folder.is_dir():
            return [f"{folder} is no folder: git looks for hooks there (core.hooksPath), and finds none"]
        told = self._place.common / TOLD
        if self._place.bare and (told.is_symlink() or (told.exists() and not told.is_dir())):
            return [f"{told} is no folder of this repository, and the agent would not write there: remove it"]
        return [
            f"{item.path} is a hook of somebody else, and so is {item.aside.name}: put them together or remove one"
            for item in hooks
            if item.state is State.FOREIGN and (item.path.is_dir() or (item.before and not _came_back(item)))
        ]

    def _mode(self) -> int:
        """The mode of our hooks: everybody who may enter the folder may run them, because git runs them as the
        pusher."""
        return 0o700 | (self._place.hooks.stat().st_mode & 0o055)

    def _document(self, hooks: Sequence[Hook], done: Sequence[Hook], *messages: str) -> dict[str, object]:
        rows = [(item.name, str(item.path), item.state.value, item.before) for item in hooks]
        return document(
            str(self._place.common), str(self._place.hooks), rows, [str(item.path) for item in done], messages
        )


def shipped(name: str) -> bytes:
    """Our hook of this name."""
    return packaged(f"hooks/{name}")


def _hook(path: Path) -> Hook:
    before = os.path.lexists(path.with_name(path.name + BEFORE))
    if not os.path.lexists(path):
        return Hook(path.name, path, State.MISSING, before)
    try:
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
    except OSError:
        data = b""
    if data == shipped(path.name) and os.access(path, os.X_OK):
        return Hook(path.name, path, State.INSTALLED, before)
    ours = data.split(b"\n", 2)[1:2] and data.split(b"\n", 2)[1].startswith(MARK)
    return Hook(path.name, path, State.OUTDATED if ours else State.FOREIGN, before)


def _came_back(item: Hook) -> bool:
    """Whether a tool has written the kept hook again, over ours (husky does at each `npm install`)."""
    try:
        files = [path for path in (item.path, item.aside) if path.is_file() and not path.is_symlink()]
        return len(files) == 2 and files[0].read_bytes() == files[1].read_bytes()
    except OSError:
        return False


def _write(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(data)
        draft.chmod(mode)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _make_told(common: Path) -> None:
    """Make the folder with the permissions of the repository. It is opened without following links, because somebody
    who can write to the repository may put a link to another folder there."""
    with suppress(FileExistsError):
        (common / TOLD).mkdir()
    there = os.open(common / TOLD, _FOLDER)
    try:
        os.fchmod(there, stat.S_IMODE(common.stat().st_mode) | 0o700)
    finally:
        os.close(there)


def _remove_told(folder: Path) -> None:
    """Remove only the files that agents have written."""
    ours = [name for name, _ in told_files(folder)]
    with suppress(OSError):
        there = os.open(folder, _FOLDER)
        try:
            for name in ours:
                os.unlink(name, dir_fd=there)
        finally:
            os.close(there)
        folder.rmdir()


def _unwritable(error: OSError) -> Transient:
    told = f"{error.filename} cannot be written: {error.strerror}"
    return Transient(Reason.DISK_FAILED, told, "work as the user who owns the repository")
