"""The composition root of `init`, which works before there is an agent config, a state folder or a repository."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from reconciler.agent_config import usual_place
from reconciler.decide.admit.needs import needs
from reconciler.decide.drift.proposal import host_name
from reconciler.engine import connect
from reconciler.errors import Transient, Usage
from reconciler.loop.prepare import Preparer
from reconciler.model.checks import UNMEASURED
from reconciler.model.files import Files
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, ObservedState, Started
from reconciler.model.outcome import Level, Reason
from reconciler.observe.endpoint import engine_host
from reconciler.observe.engine import EngineObserver
from reconciler.observe.folder import FolderFiles
from reconciler.observe.host_files import HostFiles
from reconciler.observe.images import LocalImages
from reconciler.observe.project import CommittableFiles, Repository, compose_folder, find_folders, find_repository
from reconciler.settings import OWNER, STRANGERS, Settings
from reconciler.verbs import Answer
from reconciler.verbs.init import Engine, Initialiser, Judged, Place, Running
from reconciler.verbs.init_gather import Gathered, gather, hand_over
from reconciler.wiring.asking import terminal
from reconciler.wiring.first_turn import judged

STATE_OF_ROOT = "/var/lib/reconciler"
STATE_OF_USER = "~/.local/state/reconciler"

MakePreparer = Callable[[str, bool, str, bool, str | None], Preparer]
"""Arguments: host, whether policies count, base, whether pushers are trusted, secrets_dir instead of the configured
one. Result: the preparer."""


def initialise(
    folder: str,
    host: str | None,
    url: str | None,
    config: str | None,
    settings: Settings | None,
    state: str | None,
    environ: Mapping[str, str],
    make: MakePreparer,
    ask: Callable[[str], str] | None = None,
    gathered: Gathered | None = None,
) -> Answer:
    """`config`, `state`: as typed. `settings`: of an existing agent config, which then is not changed.

    `ask`: asks a person a question and returns the answer; by default on the terminal, if there is one. `gathered`: the
    projects to take, whose files were copied into `folder`; by default those found there.
    """
    root = Path(folder).resolve()
    if not os.path.isdir(root):  # also where it may not be looked at
        raise Usage(Reason.FILE_MISSING, f"there is no folder {folder}", "name the folder of a Compose project")
    repository = find_repository(root, environ)
    named = config or environ.get("RECONCILER_CONFIG")
    written = os.path.abspath(os.path.expanduser(named)) if named else usual_place(environ, os.geteuid())
    place = _place(root, repository, host, url, written, settings, state)
    if settings is None:
        place = replace(place, trust=chosen_trust(place.source["url"], ask or terminal()))
    engine = _Engine(settings.engine if settings else None, place.host, environ)
    started = engine.started if gathered is None else partial(_instead, engine, gathered)
    preparer = make(place.host, False, place.base, False, None)
    work = Initialiser(
        place, preparer, Engine(started, engine.look), partial(_judge, place, make, engine), compose_folder
    )
    if gathered is None:
        return work.run(find_folders(root))
    code, document = work.run([], gathered.left)
    denied = any(item["level"] == Level.DENY for item in document["violations"])
    return (1 if denied or document["restarts"] else code), document


def gather_running(folder: str, account: str | None, settings: Settings | None, environ: Mapping[str, str]) -> Gathered:
    """Copy the files of all running projects of this machine into `folder`, which then belongs to `account`; from then
    on this process is that account. Usage if the folder is not empty, or nothing runs."""
    owner = _account(account) if account is not None else None
    root = Path(folder).resolve()
    try:
        filled = root.is_dir() and [item.name for item in root.iterdir() if item.name != ".git"]
    except OSError as error:
        raise Usage(Reason.DISK_FAILED, f"{root} cannot be read: {error.strerror}", "name another folder") from error
    if filled:
        told = f"{root} is not empty, and --running fills a new folder"
        raise Usage(Reason.USAGE_INVALID, told, "name a folder that does not exist yet")
    client = connect(engine_host(settings.engine if settings else None, environ))
    observer = EngineObserver(client, settings.host if settings else "")
    there = observer.inspect([item.project for item in observer.started()])
    runs = {item.stack for item in there.containers if item.running and item.host is None}
    started = [item for item in observer.started() if item.project in runs]
    if not started:
        hint = "start it by `docker compose up -d` first, or write desired-state/ yourself (docs/desired-state.md)"
        raise Usage(Reason.FILE_MISSING, "no Compose project runs here without an agent", hint)
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Usage(Reason.DISK_FAILED, f"{root} cannot be made: {error.strerror}", "name another folder") from error
    found = gather(started, there.containers, compose_folder, root)
    if owner is not None:
        hand_over(root, owner.pw_uid, owner.pw_gid)
        os.initgroups(owner.pw_name, owner.pw_gid)
        os.setgid(owner.pw_gid)
        os.setuid(owner.pw_uid)
        os.environ["HOME"] = owner.pw_dir
    return found


def _account(name: str) -> pwd.struct_passwd:
    try:
        found = pwd.getpwnam(name)
    except KeyError as error:
        told = f"there is no account {name} on this machine"
        raise Usage(Reason.USAGE_INVALID, told, "name the account of the agent") from error
    if os.geteuid() != 0:
        raise Usage(
            Reason.USAGE_INVALID, "only root can act as another account", "call it with sudo, or leave --user out"
        )
    return found


def _instead(engine: _Engine, gathered: Gathered) -> Sequence[Started]:
    engine.started()  # it connects
    return gathered.started


def chosen_trust(url: str, ask: Callable[[str], str] | None) -> str:
    """`trust` of the new agent config: a person's answer, else what the repository shows."""
    found = OWNER if _mine_alone(Path(url)) else STRANGERS
    if ask is None:
        return found
    answer = ask(f"Who can push to {url}? owner (only you), strangers (others, too) [{found}]: ").strip().lower()
    return {"o": OWNER, OWNER: OWNER, "": found}.get(answer, STRANGERS)


def _mine_alone(folder: Path) -> bool:
    """Whether this is a bare repository on this machine that only this user can write to."""
    bare = folder.is_absolute() and (folder / "HEAD").is_file() and (folder / "objects").is_dir()
    if not bare:
        return False
    found = [item.stat() for item in (folder, folder / "refs", folder / "objects", folder / "HEAD")]
    return all(item.st_uid == os.geteuid() and not item.st_mode & (stat.S_IWGRP | stat.S_IWOTH) for item in found)


def _place(
    root: Path,
    repository: Repository | None,
    host: str | None,
    url: str | None,
    config: str,
    settings: Settings | None,
    state: str | None,
) -> Place:
    base = root.relative_to(repository.root).as_posix() if repository and repository.root != root else ""
    source = {"url": url or (repository.origin if repository else None) or str(repository.root if repository else root)}
    if repository and repository.branch != "main":
        source["branch"] = repository.branch
    if base:
        source["path"] = base
    usual = STATE_OF_ROOT if os.getuid() == 0 else os.path.expanduser(STATE_OF_USER)
    return Place(
        folder=root,
        base=base,
        host=host or (settings.host if settings else host_name(socket.gethostname())),
        config=None if settings else Path(config).absolute(),
        trust=settings.trust if settings else STRANGERS,
        source=source,
        state=os.path.abspath(state) if state else usual,
        files=partial(_files, root, repository),
        tracked=repository.tracked if repository else None,
        secrets=settings.secrets_dir if settings else str(Path(config).absolute().parent / "secrets"),
        adopt=frozenset(settings.adopt if settings else ()),
    )


def _files(root: Path, repository: Repository | None, without: Sequence[str], more: Sequence[str]) -> Files:
    """The files of a commit of the folder: the repository's own files, or all existing ones."""
    top = repository.root if repository else root
    if repository is not None and (top / ".git").exists():
        fresh = find_repository(top, os.environ)
        paths = fresh.paths if fresh else repository.paths
    else:
        paths = frozenset(FolderFiles(root).entries)
    inside = tuple(f"{path}/" for path in without)
    left = (path for path in paths if path not in without and not path.startswith(inside))
    return CommittableFiles(top, {*left, *more})


class _Engine:
    """The engine's answers, each asked for once. Without an engine `init` continues."""

    def __init__(self, setting: str | None, host: str, environ: Mapping[str, str]) -> None:
        self._setting, self._host, self._environ = setting, host, environ
        self._missing = ""
        self.observer: EngineObserver | None = None

    def started(self) -> Sequence[Started]:
        try:
            self.client = connect(engine_host(self._setting, self._environ))
            observer = EngineObserver(self.client, self._host)
            found = observer.started()
        except (Transient, Usage) as error:
            self._missing = error.message
            return []
        self.observer = observer
        return found

    def look(self, names: Sequence[str]) -> Running:
        if self.observer is None:
            return Running(missing=f"how much memory services use: {self._missing}")
        try:
            observed = self.observer.inspect(names)
            usage = self.observer.usage([item.id for item in observed.containers if item.running])
        except (Transient, Usage) as error:
            self.observer = None
            return Running(missing=f"how much memory services use: {error.message}")
        silent = not usage and any(item.running for item in observed.containers)
        missing = f"how much memory services use: {UNMEASURED}; limits are the default" if silent else ""
        return Running(observed.containers, usage, observed.memory_total, missing, _present(observed, names))


def _present(observed: ObservedState, names: Iterable[str]) -> frozenset[str]:
    """Projects with an object that no agent has made. A volume or network without labels belongs to the one of `names`
    that its name starts with."""
    found = {item.stack for item in observed.containers if item.host is None}
    for name, labels in _labels(observed):
        if COMPOSE_PROJECT in labels and LABEL_HOST not in labels:
            found.add(labels[COMPOSE_PROJECT])
        elif COMPOSE_PROJECT not in labels:
            found.update(stack for stack in names if name.startswith(f"{stack}_"))
    return frozenset(found)


def _labels(observed: ObservedState) -> Iterable[tuple[str, Mapping[str, str]]]:
    yield from ((name, item.labels) for name, item in observed.networks.items())
    yield from ((name, item.labels) for name, item in observed.volumes.items())


def _judge(place: Place, make: MakePreparer, engine: _Engine, without: Sequence[str], values: bool) -> Judged:
    """The outcome of the first turn. `values`: secrets were written into the folder for secrets."""
    secrets = place.secrets if values else None
    preparer = make(place.host, True, place.base, place.trust == OWNER, secrets)
    prepared = preparer.prepare(place.files(without, []))
    exported = {stack.name: stack.exports for stack in prepared.document.stacks} if prepared.document else {}
    known = Judged(prepared.violations, needs=needs(prepared.violations, preparer.permissions, exported))
    if prepared.denied or engine.observer is None:
        return known
    images, observer = LocalImages(engine.client), engine.observer
    return judged(known, preparer, prepared, images, observer, HostFiles(), place.host)
