"""Where git looks for the hooks of a repository, and the few settings of it that are ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reconciler.errors import Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.process import Completed, run

_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY", "GIT_NAMESPACE")
"""They would name another repository than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class HookPlace:
    """A repository on this machine. `common`: its folder without a working tree (.git), the same for all worktrees.
    `hooks`: where git looks for hooks, by core.hooksPath where that is set."""

    common: Path
    hooks: Path
    bare: bool


def find_place(folder: str, environ: Mapping[str, str]) -> HookPlace:
    """The repository that `folder` is or lies in. Usage where there is none."""
    told = ("--path-format=absolute", "--git-common-dir", "--git-path", "hooks", "--is-bare-repository")
    done = _git(folder, environ, "rev-parse", *told)
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if done.returncode != 0 or len(lines) != 3:
        why = done.stderr.decode(errors="replace").strip().removeprefix("fatal: ")
        raise Usage(
            Reason.USAGE_INVALID, f"{folder} is no git repository that can be used: {why}", "name it with --repo"
        )
    return HookPlace(Path(lines[0]), Path(lines[1]), lines[2] == "true")


def require_own(place: HookPlace) -> None:
    """Usage where the repository is another user's: what root writes into it, its owner could not read or run."""
    owner = place.common.stat().st_uid
    if owner != os.geteuid():
        told = f"{place.common} belongs to another user (uid {owner})"
        raise Usage(Reason.USAGE_INVALID, told, f"work as that user: sudo -u '#{owner}' reconciler hooks …")


def make_bare(folder: str, branch: str, environ: Mapping[str, str]) -> None:
    """A new bare repository, without the sample hooks. Transient where git cannot make it."""
    done = _git("/", environ, "init", "--quiet", "--bare", "--template=", f"--initial-branch={branch}", folder)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        raise Transient(Reason.DISK_FAILED, f"git cannot make {folder}: {why}", "choose a folder that you can write to")


def setting(place: HookPlace, name: str, environ: Mapping[str, str]) -> str | None:
    """A setting of this repository alone."""
    done = _git("/", environ, f"--git-dir={place.common}", "config", "--local", "--get", name)
    return done.stdout.decode(errors="replace").removesuffix("\n") if done.returncode == 0 else None


def change_setting(place: HookPlace, name: str, value: str | None, environ: Mapping[str, str]) -> None:
    """Write one, or remove it (None). Transient where the repository's config cannot be written."""
    if setting(place, name, environ) == value:
        return
    how = ("--unset-all", name) if value is None else ("--replace-all", name, value)
    done = _git("/", environ, f"--git-dir={place.common}", "config", "--local", *how)
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip()
        told = f"the config of {place.common} cannot be changed: {why}"
        raise Transient(Reason.DISK_FAILED, told, "work as the user who owns the repository")


def _git(folder: str, environ: Mapping[str, str], *arguments: str) -> Completed:
    """With the user's own configuration: it decides where hooks are looked for. These commands start no program."""
    kept = {name: value for name, value in environ.items() if name not in _OTHERS}
    return run(["git", "-C", os.path.abspath(folder), *arguments], env=kept, timeout=30.0, reason=Reason.DISK_FAILED)
