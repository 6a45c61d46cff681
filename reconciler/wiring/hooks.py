"""The adapters of the hooks' verbs."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.agent_config import searched
from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import ReconcilerError, Usage
from reconciler.log import logger
from reconciler.observe import hook_place
from reconciler.observe.pushed import PushedRepository, push_options, pushed_updates, updates
from reconciler.observe.secrets import SecretStore
from reconciler.record.text.gate import broken
from reconciler.record.text.layout import middle
from reconciler.settings import Settings, load_settings
from reconciler.verbs import Answer
from reconciler.verbs.gate import Gate, Tell, Watched
from reconciler.wiring.program import program
from reconciler.wiring.reading import Reading

if TYPE_CHECKING:
    from reconciler.verbs.hooks import RepositoryHooks

LONGEST = 1000
"""Longest line in the output of a push, in characters."""

NOWHERE = "/nonexistent/reconciler"
"""Stands for the agent's state folder, which no hook reads."""


def hooks_of(repository: str, environ: Mapping[str, str], *, change: bool = False) -> RepositoryHooks:
    """The hooks of a repository. Usage if there is no such repository, or with `change` if this user may not change
    it."""
    from reconciler.verbs.hooks import RepositoryHooks

    place = hook_place.find_place(repository, environ)
    if change:
        hook_place.require_own(place)
    return RepositoryHooks(
        place,
        lambda name: hook_place.setting(place, name, environ),
        lambda name, value: hook_place.change_setting(place, name, value, environ),
    )


def install(repository: str, config: str | None, environ: Mapping[str, str]) -> Answer:
    """Install the hooks. `config`: as typed."""
    named = config or environ.get("RECONCILER_CONFIG")
    return hooks_of(repository, environ, change=True).install(program(), os.path.abspath(named) if named else None)


def make_repository(
    path: str, host: str | None, settings: Settings | None, config: str | None, environ: Mapping[str, str]
) -> Answer:
    """A bare repository with our hooks, for the branch of the agent config if there is one."""
    from reconciler.decide.drift.proposal import host_name
    from reconciler.verbs import bare

    name = settings.host if settings else host or host_name(socket.gethostname())
    branch = settings.source.branch if settings else "main"
    made = partial(hook_place.make_bare, environ=environ)
    return bare.make(path, name, branch, made, lambda folder: install(folder, config, environ))


def run(
    name: str, arguments: Sequence[str], config: str | None, environ: Mapping[str, str], redactor: Redactor, tell: Tell
) -> int:
    """Do the work of a hook that git has started; returns the exit code. `arguments`: git's; `config`: as typed.

    A hook refuses only what it found to be wrong. If it fails itself, it reports this and accepts the push.
    """

    def say(line: str) -> None:
        tell(middle(line, LONGEST))

    try:
        return _run(name, arguments, config, environ, redactor, say)
    except Exception as error:
        logger.opt(exception=error).debug("unexpected error")
        for line in broken(name, error.message if isinstance(error, ReconcilerError) else repr(error)):
            say(line)
        return 0


def _run(
    name: str, arguments: Sequence[str], config: str | None, environ: Mapping[str, str], redactor: Redactor, say: Tell
) -> int:
    repository = PushedRepository(environ)
    settings, trouble = _settings(repository.folder, config, environ)
    if name == "post-receive":
        from reconciler.verbs.follow import follow

        branch = _watched(repository, settings, "", "", secrets=False).branch
        follow(repository, updates(_stdin()), push_options(environ), branch, say)
        return 0
    remote = arguments[0] if arguments and name == "pre-push" else ""
    with tempfile.TemporaryDirectory(prefix="reconciler-") as scratch:
        settings, secrets = _usable(settings, signed=name != "pre-commit")
        parts = Reading(settings, redactor, environ, Effects(None))
        watched = _watched(repository, settings, remote, trouble, secrets)
        gate = Gate(
            repository,
            watched,
            lambda sha: repository.files(sha, parts.signers),
            partial(parts.preparer, Path(scratch)),
            parts.known("hooks", watched),
            say,
        )
        if name == "pre-commit":
            return gate.pre_commit(arguments[0] if arguments else "")
        if name == "pre-push":
            return gate.pre_push(pushed_updates(_stdin()))
        return gate.pre_receive(updates(_stdin()), push_options(environ))


def _stdin() -> str:
    """Git's input. The name of a ref may be any bytes."""
    return sys.stdin.buffer.read().decode(errors="surrogateescape")


def _settings(folder: Path, config: str | None, environ: Mapping[str, str]) -> tuple[Settings | None, str]:
    """The agent config, if it can be read and is about this repository; else why not, if one exists."""
    named = config or environ.get("RECONCILER_CONFIG")
    try:
        found = load_settings(config, environ)
    except Usage as error:
        if named or any(map(os.path.exists, searched(environ))):
            return None, error.message
        hidden = next(filter(_is_hidden, searched(environ)), None)
        return None, f"this account may not see whether {hidden} exists" if hidden else ""
    if not named and found.path and _is_another(found.source.url, folder):
        return None, ""
    return found, ""


def _is_hidden(path: str) -> bool:
    """Whether the file lies in a folder that this account may not enter."""
    try:
        os.stat(path)
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _is_another(url: str, folder: Path) -> bool:
    """Whether the source is another folder of this machine."""
    with suppress(OSError):
        places = (url, os.path.join(url, ".git"))
        return os.path.isabs(url) and not any(os.path.exists(p) and os.path.samefile(p, folder) for p in places)
    return False


def _usable(settings: Settings | None, *, signed: bool) -> tuple[Settings | None, bool]:
    """The parts of the agent config that this account can judge by, and whether the secrets are among them. The agent's
    state never is. `signed`: the commit may be signed already."""
    if settings is None:
        return None, False
    source = settings.source if signed else replace(settings.source, allowed_signers=None, gpg_home=None)
    settings = replace(settings, state=NOWHERE, source=source)
    try:
        SecretStore(Path(settings.secrets_dir) if settings.secrets_dir else None).values()
    except (ReconcilerError, OSError):
        return replace(settings, secrets_dir=None), False
    return settings, True


def _watched(
    repository: PushedRepository, settings: Settings | None, remote: str, trouble: str, secrets: bool
) -> Watched:
    if settings is not None:
        source = settings.source
        return Watched(source.branch, settings.host, source.path, source.require_fast_forward, trouble, secrets)
    known = repository.remote_branch(remote) if remote else None
    branch = repository.setting("reconciler.branch") or known or (None if remote else repository.default_branch)
    return Watched(branch or "main", trouble=trouble)
