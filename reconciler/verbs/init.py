"""`init`: the files that put Compose projects that run already under our care, proposed from what they use."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from reconciler.decide import proposal
from reconciler.decide.budget import service_memory
from reconciler.decide.proposal import Limit, Origin, Project
from reconciler.decide.sources import inside
from reconciler.errors import Usage
from reconciler.formats.yamls import document
from reconciler.loop.prepare import Prepared, Preparer
from reconciler.materialise import make_folders, write
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.files import Files
from reconciler.model.observed import Container
from reconciler.model.outcome import Reason, Violation
from reconciler.record import summary
from reconciler.verbs import Answer

Json = Mapping[str, Any]

IGNORE = ".gitignore"
MOST_LOOKED_AT = 1000
"""Files of a folder that are looked at to tell what it is."""


@dataclass(frozen=True, slots=True)
class Running:
    """What the engine says: the project of each folder, containers that run, bytes they use, its memory.

    `present`: Compose projects that have a container, a network or a volume which no agent has made.
    `missing` says why nothing is known, where the engine does not answer.
    """

    projects: Mapping[str, str]
    containers: Sequence[Container] = ()
    usage: Mapping[str, int] | None = None
    memory: int | None = None
    missing: str = ""
    present: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the files go. `folder` holds the projects and is `base` in the repository ('' is its root).

    `config`: the agent config to write, None where one is in force. `adopt`: what that one lets commits take over
    already. `source`: what goes into a new one, and `trust`: what it says of those who push. `files`: what a commit
    would hold now, without these folders. `tracked` None: there is no repository yet.
    """

    folder: Path
    base: str
    host: str
    config: Path | None
    trust: str
    source: Mapping[str, str]
    state: str
    files: Callable[[Sequence[str]], Files]
    tracked: frozenset[str] | None
    adopt: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Judged:
    """What the first turn would make of it."""

    violations: Sequence[Violation] = ()
    restarts: Sequence[tuple[str, str, Sequence[str]]] = ()
    skipped: Sequence[str] = ()


class Initialiser:
    """One proposal for one folder. `look` asks the engine about projects; `judge` asks what the first turn would do."""

    def __init__(
        self,
        place: Place,
        preparer: Preparer,
        look: Callable[[Sequence[str]], Running],
        judge: Callable[[Sequence[str]], Judged],
    ) -> None:
        """`preparer`: one without policies: what they refuse is told by `judge`, and keeps no limit from being read.

        `judge` gets the folders that are data, not files of the commit.
        """
        self._place, self._preparer, self._look, self._judge = place, preparer, look, judge

    def run(self, found: Sequence[tuple[str, ...]]) -> Answer:
        """`found`: the Compose files of each project, relative to the folder."""
        place, files = self._place, self._place.files([])
        if not found:
            raise Usage(
                Reason.FILE_MISSING,
                f"there is no Compose file in {place.folder} or in the folders below it",
                "name the folder of a Compose project: reconciler init DIR",
            )
        names = {paths: self._own_name(paths) for paths in found}
        running = self._look(list(names.values()))
        projects = [self._project(paths, names[paths], running) for paths in found]
        prepared = self._prepare(projects, files)
        if prepared.denied:
            return 1, self._document([], projects, [], Judged(prepared.violations), [])
        adopt = [item.name for item in projects if item.name in running.present - place.adopt]
        limits = list(_limits(prepared, running))
        data = self._data(prepared, running)
        texts = self._texts(projects, limits, running, data, adopt)
        self._refuse_to_overwrite(texts)
        for path, text in texts.items():
            self._write(path, text)
        judged = self._judge([posixpath.join(place.base, path) for path in data])
        skipped = [*([running.missing] if running.missing else []), *judged.skipped]
        told = Judged(judged.violations, judged.restarts, skipped)
        unwritten = adopt if place.config is None else []
        return 0, self._document([self._shown(path) for path in texts], projects, limits, told, unwritten)

    # -- reading -----------------------------------------------------------------------------------------------

    def _own_name(self, paths: tuple[str, ...]) -> str:
        """The project's name as Compose finds it: the file's own, else its folder's."""
        folder = self._place.folder
        for path in reversed(paths):
            read = document((folder / path).read_bytes(), path).value
            if isinstance(read, dict) and isinstance(read.get("name"), str) and "$" not in read["name"]:
                return str(read["name"])
        return proposal.project_name((folder / paths[0]).resolve().parent.name)

    def _project(self, paths: tuple[str, ...], name: str, running: Running) -> Project:
        """Under the name that it runs with, where it does."""
        folder = (self._place.folder / paths[0]).resolve().parent
        return Project(running.projects.get(str(folder), name), paths, str(folder))

    def _prepare(self, projects: Sequence[Project], files: Files) -> Prepared:
        base = self._place.base
        stacks = tuple(
            StackDocument(item.name, tuple(posixpath.join(base, path) for path in item.files), line=1)
            for item in projects
        )
        return self._preparer.prepare(files, HostDocument(self._place.host, stacks))

    def _data(self, prepared: Prepared, running: Running) -> list[str]:
        """Folders below ours that containers write to and that no commit holds: they are data, not files to commit."""
        found = set()
        for source in prepared.sources:
            since = _first_start(running, source.document.name)
            for path in _written(source.model, source.root):
                own = posixpath.relpath(path, self._place.base or ".")
                if not own.startswith("..") and self._is_data(path, self._place.folder / own, since):
                    found.add(own)
        return sorted(found)

    def _is_data(self, path: str, folder: Path, since: float) -> bool:
        """Where git holds something, it is what git does not hold; else what somebody else wrote, or nobody before the
        project was started."""
        if self._place.tracked:
            return not any(item.startswith(f"{path}/") for item in self._place.tracked)
        if not folder.is_dir():
            return not folder.exists()
        owner = self._place.folder.stat().st_uid
        try:
            items = [folder.stat(), *(item.lstat() for item in islice(folder.rglob("*"), MOST_LOOKED_AT))]
        except PermissionError:
            return True
        return len(items) == 1 or any(item.st_uid != owner or item.st_mtime > since for item in items)

    # -- writing -----------------------------------------------------------------------------------------------

    def _texts(
        self,
        projects: Sequence[Project],
        limits: Sequence[Limit],
        running: Running,
        data: Sequence[str],
        adopt: Sequence[str],
    ) -> dict[Path, str]:
        place = self._place
        texts: dict[Path, str] = {}
        for project in projects:
            text = proposal.limits_text([item for item in limits if item.stack == project.name])
            if text:
                texts[place.folder / proposal.limits_path(place.host, project.name)] = text
        limited = [p.name for p in projects if place.folder / proposal.limits_path(place.host, p.name) in texts]
        memory = proposal.budget(running.memory)
        host = place.folder / f"desired-state/{place.host}.yaml"
        texts = {host: proposal.host_text(place.host, projects, memory, limited), **texts}
        if place.config is not None:
            texts[place.config] = proposal.agent_text(place.host, place.source, place.state, adopt, place.trust)
        ignored = [f"/{path}/" for path in data]
        if place.config is not None and place.config.parent == place.folder:
            ignored.append(f"/{place.config.name}")
        if ignored and not (place.folder / IGNORE).exists():
            texts[place.folder / IGNORE] = "".join(f"{line}\n" for line in ignored)
        return texts

    def _write(self, path: Path, text: str) -> None:
        """The agent config is its owner's alone; the rest is for a repository, in which modes say little."""
        own = path == self._place.config
        try:
            make_folders(path.parent, 0o700 if own else 0o755)
            write(path, text.encode(), 0o600 if own else 0o644, durable=False)
        except OSError as error:
            hint = "Name another place with --config FILE." if own else "See who owns the folder."
            raise Usage(Reason.DISK_FAILED, f"{path} cannot be written: {error.strerror}", hint) from error

    def _refuse_to_overwrite(self, texts: Iterable[Path]) -> None:
        there = [self._shown(path) for path in texts if path.exists() or path.is_symlink()]
        if there:
            raise Refused(
                Reason.USAGE_INVALID,
                f"refused to overwrite {', '.join(there)}",
                "nothing was written; remove them, or name another host with --host",
                there,
            )

    def _shown(self, path: Path) -> str:
        return path.relative_to(self._place.folder).as_posix() if path.is_relative_to(self._place.folder) else str(path)

    def _document(
        self,
        files: Sequence[str],
        projects: Sequence[Project],
        limits: Sequence[Limit],
        judged: Judged,
        adopt: Sequence[str],
    ) -> Json:
        place = self._place
        return summary.init(
            place.host,
            str(place.folder),
            files,
            projects,
            limits,
            judged.restarts,
            judged.violations,
            judged.skipped,
            adopt,
            place.trust if place.config is not None else None,
        )


class Refused(Usage):
    """What stands there already is somebody's."""

    exit_code = 1


def _limits(prepared: Prepared, running: Running) -> Iterable[Limit]:
    default = HostDocument("", ()).default_memory
    usage = running.usage or {}
    for source in prepared.sources:
        stack = source.document.name
        for name, model in sorted((source.model.get("services") or {}).items()):
            own, is_default = service_memory(model, default)
            there = [c.id for c in running.containers if (c.stack, c.service) == (stack, name)]
            used = max((usage[one] for one in there if one in usage), default=None)
            yield proposal.proposed(stack, name, None if is_default else own, used, default)


def _first_start(running: Running, stack: str) -> float:
    """When the first of a stack's containers was started (seconds of the Unix epoch); never, where none runs."""
    starts = [item.started_at for item in running.containers if item.stack == stack and item.running]
    return min((datetime.fromisoformat(start).timestamp() for start in starts if start), default=float("inf"))


def _written(model: Json, root: str) -> Iterable[str]:
    """Relative folders that services mount to write to them, and that nothing is built from."""
    services = (model.get("services") or {}).values()
    built = [inside(item["build"]["context"], root) for item in services if item.get("build")]
    for path in _mounted(model, root):
        if not any(path == context or path.startswith(f"{context}/") for context in built):
            yield path


def _mounted(model: Json, root: str) -> Iterable[str]:
    for service in (model.get("services") or {}).values():
        for mount in service.get("volumes") or ():
            path = inside(mount.get("source") or "/", root)
            if mount["type"] == "bind" and not mount.get("read_only") and not path.startswith("/") and path != ".":
                yield path


__all__ = ["Initialiser", "Judged", "Origin", "Place", "Refused", "Running"]
