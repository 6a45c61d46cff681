"""`init`: the files that adopt running Compose projects, made from what they use."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.decide.admit.budget import service_memory
from reconciler.decide.drift import proposal
from reconciler.decide.read.parse import host_document
from reconciler.errors import Usage
from reconciler.formats.compose_names import ComposeFolder
from reconciler.loop.prepare import Prepared, Preparer
from reconciler.materialise import make_folders, write
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.files import Files, Proposed
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.model.proposal import Left, Limit, Origin, Project
from reconciler.observe.envfile import env_file
from reconciler.record import summary
from reconciler.verbs import Answer
from reconciler.verbs.init_data import data_folders
from reconciler.verbs.init_ignored import by_folder, ignore_lines
from reconciler.verbs.init_place import Engine, Found, Judged, Place, Running
from reconciler.verbs.init_projects import choose, with_profiles
from reconciler.verbs.init_values import Kept, env_files, is_plain, keep, values_of

Json = Mapping[str, Any]


class Initialiser:
    """The files for one folder. `judge` finds what the first turn would do."""

    def __init__(
        self,
        place: Place,
        preparer: Preparer,
        engine: Engine,
        judge: Callable[[Sequence[str], bool], Judged],
        look_at: Callable[[Path], ComposeFolder],
    ) -> None:
        """`preparer`: judges without policies, because a denial must not prevent reading the limits; `judge` reports
        denials.

        `judge` gets the paths that are no files of the commit, and whether values were written for it. `look_at` reads
        a folder.
        """
        self._place, self._preparer, self._engine = place, preparer, engine
        self._judge, self._look_at = judge, look_at

    def run(self, found: Sequence[ComposeFolder], out: Sequence[Left] = ()) -> Answer:
        """`found`: the folders with Compose files. `out`: projects that are left out already."""
        place, files = self._place, self._place.files([], [])
        choice = choose(place.folder, found, self._engine.started(), self._look_at, files, place.base)
        if not choice.projects and not choice.left and not out:
            raise Usage(
                Reason.FILE_MISSING,
                f"there is no Compose file in {place.folder} or in the folders below it",
                "name the folder of a Compose project: reconciler init DIR",
            )
        running = self._engine.look([item.name for item in choice.projects])
        projects = [with_profiles(item, files, self._paths(item.files), running.containers) for item in choice.projects]
        named = {item.name: self._own(env_files(item, files, self._paths(item.files))) for item in projects}
        more = {path for item in projects for path in (*item.env_files, *named[item.name])}
        prepared, projects, bad, denied = self._readable(projects, place.files([], self._paths(sorted(more))))
        left = [*out, *choice.left, *bad]
        if not projects:
            return 1, self._document([], Found(left=left), Judged(denied))
        kept = keep(place.folder, projects, named, self._committable(files), self._is_tracked, place.secrets)
        projects = [replace(item, env=kept.env.get(item.name, {})) for item in projects]
        adopt = [item.name for item in projects if item.name in running.present - place.adopt]
        proposed = Found(projects, list(_limits(prepared, running)), left, choice.notes, kept, adopt)
        data = data_folders(place.folder, place.base, place.tracked, prepared, running.containers)
        texts = self._texts(proposed, running)
        wrong = self._wrong(files, texts)
        if wrong:
            return 1, self._document([], proposed, Judged(wrong))
        self._refuse_to_overwrite(texts)
        written = self._write_all(texts, kept, ignore_lines(data, kept.ignored, self._committable(files), place.folder))
        judged = self._judge(self._paths([*data, *kept.ignored]), bool(kept.stacks))
        skipped = [*([running.missing] if running.missing else []), *judged.skipped]
        told = replace(judged, skipped=skipped)
        return 0, self._document([self._shown(path) for path in written], proposed, told)

    # -- reading -----------------------------------------------------------------------------------------------

    def _paths(self, own: Iterable[str]) -> list[str]:
        """Paths relative to the repository, from paths relative to our folder."""
        return [posixpath.normpath(posixpath.join(self._place.base, path)) for path in own]

    def _own(self, paths: Iterable[str]) -> list[str]:
        """Paths relative to our folder, from paths relative to the repository."""
        return [posixpath.relpath(path, self._place.base or ".") for path in paths]

    def _committable(self, files: Files) -> Callable[[str], bool]:
        return lambda path: self._paths([path])[0] in files.entries

    def _is_tracked(self, path: str) -> bool:
        return self._paths([path])[0] in (self._place.tracked or ())

    def _readable(
        self, projects: Sequence[Project], files: Files
    ) -> tuple[Prepared, list[Project], list[Left], list[Violation]]:
        """The projects that Compose can read, and why it cannot read the others."""
        taken, left, denied = list(projects), list[Left](), list[Violation]()
        prepared = self._prepare(taken, files)
        while taken and prepared.denied:
            told = [item for item in prepared.violations if item.level is Level.DENY]
            bad = [item for item in taken if item.name in {one.stack for one in told}]
            bad = bad or [item for item in taken if self._prepare([item], files).denied] or taken
            left += [_left(item, told) for item in bad]
            denied += told
            taken = [item for item in taken if item not in bad]
            prepared = self._prepare(taken, files)
        return prepared, taken, left, denied

    def _prepare(self, projects: Sequence[Project], files: Files) -> Prepared:
        stacks = []
        for item in projects:
            others = [path for path in item.env_files if not is_plain(self._place.folder, item, path)]
            env = {name: value for path in others for name, value in values_of(self._place.folder / path).items()}
            stacks.append(StackDocument(item.name, tuple(self._paths(item.files)), item.profiles, env, line=1))
        return self._preparer.prepare(files, HostDocument(self._place.host, tuple(stacks)))

    def _wrong(self, files: Files, texts: Mapping[Path, str]) -> list[Violation]:
        """Why the Host document that would be written is not valid."""
        place = self._place
        inside = {path: text for path, text in texts.items() if path != place.config}
        shown = {self._paths([self._shown(path)])[0]: text for path, text in inside.items()}
        found = host_document(Proposed(files, shown), place.host, place.base)[1]
        return [item for item in found if item.level is Level.DENY]

    # -- writing -----------------------------------------------------------------------------------------------

    def _texts(self, found: Found, running: Running) -> dict[Path, str]:
        place = self._place
        texts: dict[Path, str] = {}
        for project in found.projects:
            text = proposal.limits_text([item for item in found.limits if item.stack == project.name])
            if text:
                texts[place.folder / proposal.limits_path(place.host, project.name)] = text
        limited = [p.name for p in found.projects if place.folder / proposal.limits_path(place.host, p.name) in texts]
        memory = proposal.budget(running.memory)
        host = place.folder / f"desired-state/{place.host}.yaml"
        texts = {host: proposal.host_text(place.host, found.projects, memory, limited), **texts}
        if place.config is not None:
            secrets = place.secrets if found.kept.stacks else None
            texts[place.config] = proposal.agent_text(
                place.host, place.source, place.state, found.adopt, place.trust, secrets
            )
        return texts

    def _write_all(self, texts: Mapping[Path, str], kept: Kept, ignored: Sequence[str]) -> list[Path]:
        """Write all files, first those that may fail because their folder belongs to another user. .gitignore is
        extended, never replaced."""
        place = self._place
        secrets = {
            Path(place.secrets or "", f"{stack}.env"): env_file(values).decode()
            for stack, values in kept.stacks.items()
            if place.secrets
        }
        secrets = {path: text for path, text in secrets.items() if not path.exists()}
        for path, text in {**secrets, **texts}.items():
            self._write(path, text, own=path in secrets or path == place.config)
        if place.config is not None and place.config.parent == place.folder:
            ignored = [*ignored, f"/{place.config.name}"]
        ignoring = by_folder(ignored, place.folder)
        return [*texts, *secrets, *(path for path, lines in ignoring.items() if self._ignore(path, lines))]

    def _ignore(self, path: Path, lines: Iterable[str]) -> bool:
        """Whether lines had to be added to a `.gitignore`."""
        known = path.read_text("utf-8", errors="replace") if path.is_file() else None
        new = [line for line in lines if line not in (known or "").splitlines()]
        text = "".join(f"{line}\n" for line in new)
        if new and known is not None:
            with path.open("a", encoding="utf-8") as file:
                file.write(text if known.endswith("\n") or not known else f"\n{text}")
        elif new:
            self._write(path, text)
        return bool(new)

    def _write(self, path: Path, text: str, own: bool = False) -> None:
        """`own`: readable only by its owner. Other files are for a repository, in which modes hardly matter."""
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

    def _document(self, files: Sequence[str], found: Found, judged: Judged) -> Json:
        place = self._place
        return summary.init(
            place.host,
            str(place.folder),
            files,
            found.projects,
            found.limits,
            judged.restarts,
            judged.violations,
            judged.skipped,
            found.adopt if place.config is None else [],
            place.trust if place.config is not None else None,
            found.left,
            found.kept.told,
            [*found.notes, *judged.notes],
            judged.needs,
        )


class Refused(Usage):
    """A file that `init` would write exists already."""

    exit_code = 1


def _left(project: Project, told: Sequence[Violation]) -> Left:
    first = next((item for item in told if item.stack == project.name), told[0])
    where = f"{first.path}:{first.line}: " if first.path and first.line else ""
    return Left(project.files, f"{where}{first.message}. {first.hint}".rstrip())


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


__all__ = ["Engine", "Initialiser", "Judged", "Origin", "Place", "Refused", "Running"]
