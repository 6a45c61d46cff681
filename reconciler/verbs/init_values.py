"""Env files with secrets: `init` leaves them out of the commit and keeps their values on the host."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from reconciler.decide.admit.lint import looks_secret
from reconciler.decide.read.compose_files import ComposeFiles
from reconciler.decide.read.inputs import Inputs
from reconciler.formats.dotenv import dotenv
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.proposal import Project, Values
from reconciler.values import dataclass

_CREDENTIALS = re.compile(r"://[^/\s:@]+:[^/\s@]+@")
"""A URL with a password in it."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(slots=True)
class Kept:
    """`stacks`: stack → its variables that must not be in git; `env`: → those that may. `ignored`: files that git must
    ignore from now on, relative to the examined folder. `told`: sentences for a person."""

    env: dict[str, dict[str, str]] = field(default_factory=dict)
    stacks: dict[str, dict[str, str]] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)
    told: list[Values] = field(default_factory=list)


def is_plain(root: Path, project: Project, path: str) -> bool:
    """Whether an env file is the `.env` beside the first Compose file, which a commit reads by itself. It reads no
    link."""
    return root / path == (root / project.files[0]).parent / ".env" and not (root / path).is_symlink()


def env_files(project: Project, files: Files, paths: Sequence[str]) -> list[str]:
    """The env files of a project's services, as paths of `files`. `paths`: the project's files there."""
    read = ComposeFiles(files, StackDocument(project.name, tuple(paths)), Inputs())
    read.load({})
    found = (item.resolved for item in read.references if item.kind == "env_file")
    return list(dict.fromkeys(path for path in found if path))


def keep(
    root: Path,
    projects: Iterable[Project],
    named: Mapping[str, Sequence[str]],
    committable: Callable[[str], bool],
    tracked: Callable[[str], bool],
    secrets: str | None,
) -> Kept:
    """`named`: stack → the env files of its services. All paths are relative to `root`.

    `committable`: whether a commit of everything that git does not ignore would contain a path; `tracked`: whether git
    has it already. `secrets`: the operator's folder for values, None if the existing agent config has none.
    """
    kept = Kept()
    for project in projects:
        used = named.get(project.name, ())
        for path in dict.fromkeys((*project.env_files, *used)):
            values = values_of(root / path)
            names = [name for name, value in values.items() if _is_secret(name, value)]
            plain = is_plain(root, project, path)
            at = _target(root, path)
            taken = committable(at)
            if not values or (taken and not names and (plain or path not in project.env_files)):
                continue
            if names and tracked(at):
                hint = f"Change them, `git rm --cached {at}`, and put the new ones into {_place(project, secrets)}."
                kept.told.append(Values(path, project.name, tuple(names), f"They are in git. {hint}"))
                continue
            if taken and names and at not in kept.ignored:
                kept.ignored.append(at)
            # All values of a file that git ignored already are hidden; of other files, only those that look like
            # secrets.
            hidden = {name: values[name] for name in (names if taken else values)}
            open_ones = {name: value for name, value in values.items() if name not in hidden and _NAME.fullmatch(name)}
            kept.stacks[project.name] = hidden | kept.stacks.get(project.name, {})
            kept.env[project.name] = open_ones | kept.env.get(project.name, {})
            told = tuple(values if path in used else names or values)
            kept.told.append(Values(path, project.name, told, _hint(project, at, path in used, secrets)))
    return kept


def _target(root: Path, path: str) -> str:
    """The file that has the values: that of a link may be in git where the link is not, and the other way round."""
    return os.path.relpath(os.path.realpath(root / path), root) if (root / path).is_symlink() else path


def _hint(project: Project, path: str, used: bool, secrets: str | None) -> str:
    place = _place(project, secrets)
    there = f"Their values are in {place}" if secrets else f"Set secrets_dir in the config, write all into {place}"
    if not used:
        return f"{there}, which the Compose files see in place of {path}; git ignores {path}."
    return (
        f"{there}. A commit does not hold {path}: in place of env_file, name them in `environment` (NAME: ${{NAME}}); "
        "or commit the file if nothing in it is secret."
    )


def _place(project: Project, secrets: str | None) -> str:
    return f"{secrets or '<secrets_dir>'}/{project.name}.env"


def _is_secret(name: str, value: str) -> bool:
    return looks_secret(name, value) or _CREDENTIALS.search(value) is not None


def values_of(path: Path) -> dict[str, str]:
    """The values that a file sets for its stack; none if it cannot be read."""
    try:
        return dotenv(path.read_bytes(), path.name)[0]
    except OSError:
        return {}
