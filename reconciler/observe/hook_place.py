"""Finds the folder in which git looks for hooks, and reads and writes our few settings of a repository."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.process import Completed, run
from reconciler.values import dataclass

_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
"""These variables would name another repository than the given one."""


@dataclass(frozen=True, slots=True)
class HookPlace:
    """A repository on this machine. `common`: its folder without a working tree (.git), the same for all worktrees.
    `hooks`: folder in which git looks for hooks (core.hooksPath if it is set)."""

    common: Path
    hooks: Path
    bare: bool

    @property
    def shared(self) -> bool:
        """Whether the hooks lie outside of the repository, where other repositories may use them as well."""
        whole = self.common.parent if self.common.name == ".git" else self.common
        return not self.hooks.is_relative_to(whole)

    @property
    def in_tree(self) -> bool:
        """Whether the hooks lie in the working tree, where git may track them."""
        return not (self.bare or self.shared or self.hooks.is_relative_to(self.common))


def find_place(folder: str, environ: Mapping[str, str]) -> HookPlace:
    """The repository at or around `folder`. Usage if there is none."""
    asked = (("--git-common-dir",), ("--git-path", "hooks"), ("--is-bare-repository",))
    told = _told(folder, environ, *(word for words in asked for word in words)).split("\n")
    if len(told) != len(asked):  # a path may contain a line end
        told = [_told(folder, environ, *words) for words in asked]
    return HookPlace(Path(told[0]), Path(told[1]), told[2] == "true")


def _told(folder: str, environ: Mapping[str, str], *asked: str) -> str:
    done = _git(folder, environ, "rev-parse", "--path-format=absolute", *asked)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise Usage(
            Reason.USAGE_INVALID, f"{folder} is no git repository that can be used: {why}", "name it with --repo"
        )
    if done.stdout.startswith(b"--"):  # an older git repeats options that it does not know
        raise Usage(
            Reason.USAGE_INVALID, "this git is too old to find the folder of hooks", "Install git 2.31 or later."
        )
    return os.fsdecode(done.stdout).removesuffix("\n")


def require_own(place: HookPlace) -> None:
    """Raise Usage if the repository belongs to another user, who could not read or run files that root writes into
    it."""
    owner = place.common.stat().st_uid
    if owner != os.geteuid():
        told = f"{place.common} belongs to another user (uid {owner})"
        raise Usage(Reason.USAGE_INVALID, told, f"work as that user: sudo -u '#{owner}' reconciler hooks …")


def make_bare(folder: str, branch: str, environ: Mapping[str, str]) -> None:
    """A new bare repository, without the sample hooks. Transient if git cannot make it."""
    done = _git("/", environ, "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", folder)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        raise Transient(Reason.DISK_FAILED, f"git cannot make {folder}: {why}", "choose a folder that you can write to")


def setting(place: HookPlace, name: str, environ: Mapping[str, str]) -> str | None:
    """A setting of this repository, without those of the user and the system."""
    done = _git("/", environ, f"--git-dir={place.common}", "config", "--local", "--get", name)
    return done.stdout.decode(errors="replace").removesuffix("\n") if done.returncode == 0 else None


def change_setting(place: HookPlace, name: str, value: str | None, environ: Mapping[str, str]) -> None:
    """Write a setting, or remove it (None). Transient if the repository's config cannot be written."""
    if setting(place, name, environ) == value:
        return
    how = ("--unset-all", name) if value is None else ("--replace-all", name, value)
    done = _git("/", environ, f"--git-dir={place.common}", "config", "--local", *how)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        told = f"the config of {place.common} cannot be changed: {why}"
        raise Transient(Reason.DISK_FAILED, told, "work as the user who owns the repository")


def _git(folder: str, environ: Mapping[str, str], *arguments: str) -> Completed:
    """Git with the user's own configuration, which decides where hooks are looked for. These commands start no
    program."""
    kept = {name: value for name, value in environ.items() if name not in _OTHERS}
    return run(["git", "-C", os.path.abspath(folder), *arguments], env=kept, timeout=30.0, reason=Reason.DISK_FAILED)
