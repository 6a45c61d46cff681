"""Chooses the Compose projects for `init`, with the name, files and profiles that they run with."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from reconciler.decide.drift import proposal
from reconciler.decide.read.compose_files import ComposeFiles
from reconciler.decide.read.inputs import Inputs
from reconciler.decide.read.parse import own_name, read_compose
from reconciler.decide.read.paths import file_violation, is_readable
from reconciler.decide.read.variables import profiles_of
from reconciler.formats.compose_names import ComposeFolder, other_files
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.observed import Container, Started
from reconciler.model.proposal import Left, Project
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """The projects of a folder, and those that are left out, each with the reason."""

    projects: tuple[Project, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...] = ()


def choose(
    root: Path,
    found: Sequence[ComposeFolder],
    started: Sequence[Started],
    look: Callable[[Path], ComposeFolder],
    files: Files,
    base: str,
) -> Choice:
    """`root`: absolute; paths of the result are relative to it. `started`: projects that run or ran. `look`: reads a
    folder.

    `files`: the content of a commit, in which `root` is `base`.
    """
    by_folder: dict[Path, list[Started]] = {}
    for item in started:
        if (at := Path(os.path.realpath(item.folder))).is_relative_to(root):
            by_folder.setdefault(at, []).append(item)
    known = {item.path for item in found}
    folders = [*found, *(look(path) for path in sorted(set(by_folder) - known) if path.is_dir())]
    projects: list[Project] = []
    left: list[Left] = []
    for folder in folders:
        ran: Sequence[Started | None] = by_folder.get(folder.path) or [None]
        for one in ran:
            taken = _files(root, folder, one)
            if isinstance(taken, Left):
                left += [taken] if folder.path in known or one is None else []
                continue
            if fault := _unusable(root, folder, taken, files, base, one):
                left.append(Left(taken, fault))
                continue
            name = one.project if one else _own_name(folder, files, [posixpath.join(base, path) for path in taken])
            env = tuple(filter(None, (_below(root, path) for path in one.env_files))) if one else ()
            plain = _below(root, str(folder.path / ".env"))
            env = env or ((plain,) if plain and ".env" in folder.names else ())
            projects.append(Project(name, taken, str(folder.path), folder.steering.profiles, env, one is not None))
    run = {item.files for item in projects if item.runs}
    projects = [item for item in projects if item.runs or item.files not in run]
    distinct = _distinct(root, projects)
    notes = [
        f"{new.files[0]}: the stack is called {new.name}, because more than one project here is called {old.name}"
        for old, new in zip(projects, distinct, strict=True)
        if old.name != new.name and proposal.project_name(old.name) == old.name
    ]
    return Choice(tuple(distinct), tuple(left), tuple(notes))


def with_profiles(project: Project, files: Files, paths: Sequence[str], containers: Iterable[Container]) -> Project:
    """The project with the profiles of its running services. `paths`: the project's files in `files`."""
    runs = {item.service for item in containers if item.stack == project.name and item.running and not item.oneoff}
    read = ComposeFiles(files, StackDocument(project.name, tuple(paths)), Inputs())
    read.load({})
    return replace(project, profiles=_profiles(project.profiles, profiles_of(read.units), runs))


def _profiles(given: Sequence[str], of: Mapping[str, set[str]], runs: set[str]) -> tuple[str, ...]:
    """A profile whose services all run, if a running service has one; else its first."""
    profiles = list(given)
    for service in sorted(runs & set(of)):
        if not of[service] & {*profiles, "*"} and of[service]:
            whole = [name for name in sorted(of[service]) if {other for other in of if name in of[other]} <= runs]
            profiles.append((whole or sorted(of[service]))[0])
    named = sorted(set().union(*of.values())) if "*" in profiles else profiles
    return tuple(dict.fromkeys(named))


def _files(root: Path, folder: ComposeFolder, started: Started | None) -> tuple[str, ...] | Left:
    """The Compose files, relative to `root`: those that the project runs with, else those that Compose finds by name,
    else the only one."""
    here = _below(root, str(folder.path)) or "."
    if started and started.files:
        outside = [path for path in started.files if _below(root, path) is None]
        if outside:
            return Left((here,), f"{started.project} runs with {outside[0]}, which is not below {root}")
        return tuple(_below(root, path) or "" for path in started.files)
    names = folder.files or tuple(other_files(folder.names))
    if not folder.files and len(names) != 1:
        told = f"Compose reads none of {', '.join(names)} by itself" if names else "there is no Compose file"
        return Left((here,), f"{told}; name those that count in .env: COMPOSE_FILE={names[0] if names else 'FILE'}")
    outside = [name for name in names if _below(root, str(folder.path / name)) is None]
    if outside:
        return Left((here,), f"COMPOSE_FILE in .env names {outside[0]}, which is not below {root}")
    return tuple(_below(root, str(folder.path / name)) or "" for name in names)


def _unusable(
    root: Path, folder: ComposeFolder, paths: Sequence[str], files: Files, base: str, started: Started | None
) -> str:
    """Why a stack cannot have these files; '' if it can."""
    for path in paths:
        odd = file_violation(files, posixpath.join(base, path))
        if odd is not None:
            ignored = odd.rule == "file-missing" and (root / path).exists()
            told = f"git ignores {path}. " if ignored else f"{odd.message}. "
            return told + ("Commit it, or start the project without it." if odd.rule == "file-missing" else odd.hint)
    if started and (root / paths[0]).parent != folder.path:
        return (
            f"{started.project} was started with --project-directory {folder.path}, and relative paths of a stack "
            "count from the folder of its first file. Move the file there."
        )
    return ""


def _below(root: Path, path: str) -> str | None:
    """The path relative to `root`, with links of its folder resolved; None if it is outside of `root`."""
    folder, name = os.path.split(os.path.normpath(path))
    real = Path(os.path.realpath(folder)) / name
    return real.relative_to(root).as_posix() if real.is_relative_to(root) else None


def _own_name(folder: ComposeFolder, files: Files, paths: Sequence[str]) -> str:
    """The project's name as Compose finds it: from `.env`, else from the last file, else the folder's."""
    own = (own_name(read_compose(files, path)) for path in reversed(paths) if is_readable(files, path))
    names = [folder.steering.project, *own]
    return next((name for name in names if name and "$" not in name), folder.path.name)


def _distinct(root: Path, projects: Sequence[Project]) -> list[Project]:
    """No two projects with one name, which the engine would treat as one. A running project keeps its name."""
    plain = [item if item.runs else replace(item, name=proposal.project_name(item.name)) for item in projects]
    often = Counter(item.name for item in plain)
    taken = {item.name for item in plain if item.runs or often[item.name] == 1}
    named = []
    for item in plain:
        name = item.name
        if often[name] > 1 and not item.runs:
            folder = Path(item.folder).relative_to(root)
            parts = [proposal.project_name(part) for part in folder.parts]
            long = "-".join([*parts, *([name] if parts[-1:] != [name] else [])])[:60].rstrip("-_")
            name = next(one for one in (long, *(f"{long}-{n}" for n in range(2, 999))) if one not in taken)
            taken.add(name)
        named.append(replace(item, name=name))
    return named
