"""Lets Compose make the canonical model of a stack. It reads only the commit's own bytes, and nothing else of this
machine."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.errors import Transient, Usage
from reconciler.formats.quantities import shown
from reconciler.formats.steering import PROFILES, PROJECT, steers
from reconciler.materialise import materialise
from reconciler.model.documents import StackDocument
from reconciler.model.files import Files
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.model.rendered import NO_HOME, Rendered
from reconciler.observe.binary import compose_version
from reconciler.observe.envfile import env_file
from reconciler.observe.rejections import RULE, rejections
from reconciler.observe.secret_files import NAME
from reconciler.observe.secrets import SecretStore
from reconciler.process import Completed, ProcessTimeout, Running, begin
from reconciler.workspace import Workspace

LARGEST_FILE = 1 << 20
"""Bytes. Larger files of a commit are data, which Compose does not read. The scan has rejected them."""

LARGEST_MODEL = 16 << 20
"""Bytes of the models of all stacks of a host together; one of 57 services has 0.2 MiB."""
TIMEOUT = 10.0
"""Seconds that Compose may take for one stack. If it got less than half of WORK by then, the machine was busy, and the
stack is not at fault."""
AT_ONCE = min(4, os.cpu_count() or 1)
"""Number of stacks that are rendered at the same time. Each takes some 0.1 s, and 50 MB meanwhile. Not more than the
machine has cores: a stack that needs too much work must be able to use it up within TIMEOUT."""
WORK = 5
"""Seconds of processor time after which the stack is at fault; the largest of 39 public stacks needs 0.1."""

NOT_STARTED = (126, 127)
"""Exit codes of programs that could not be started, or could not find their libraries. Compose has no such codes."""

_TROUBLE = ("cannot allocate memory", "out of memory", "no space left on device", "too many open files")


class ComposeRenderer:
    """Renders stacks with one Compose binary. Not for several threads at once."""

    at_once = AT_ONCE

    def __init__(
        self,
        compose: str,
        folder: Path,
        secrets: SecretStore,
        *,
        timeout: float = TIMEOUT,
        work: int = WORK,
        named: Callable[[Iterable[str]], object] = list,
    ) -> None:
        """`folder`: where the files for Compose are written. What dead processes left there is removed. `named` gets
        the names of the services of each stack that Compose accepts."""
        self._timeout, self._work, self._named = timeout, work, named
        self._compose = compose
        self._folder = folder
        self._secrets = secrets
        self._laid_out: tuple[Files, Workspace] | None = None
        self._begun: list[contextlib.ExitStack] = []
        self._room = LARGEST_MODEL
        self._confined = True

    def given(self, stack: str) -> Mapping[str, str]:
        """Variables of this stack in the operator's secrets_dir."""
        return self._secrets.variables(stack)

    def fingerprint(self) -> str:
        """Digest of the host's values that models contain, which are the secrets. '' if there are none."""
        return self._secrets.fingerprint()

    def trouble(self) -> Usage | None:
        """The fault that prevents reading the secrets."""
        return self._secrets.trouble()

    def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
        """Start Compose for a stack; the returned function waits for its canonical model. In it `$` stands for itself
        (Compose doubles it in its output).

        `named`: the files of the commit that Compose reads for this stack. Nothing else is written for it: of build
        contexts, mounts, configs and secrets it needs only the path. A path that ends with `/` is a folder that must
        exist, because Compose replaces a missing project_directory by its parent. What Compose rejects is returned as
        violations. Transient if Compose cannot be run; Usage if a secret cannot be used.
        """
        compose_version(self._compose)
        secrets = self._secrets.variables(stack.name)
        variables, violations = self._variables(files, stack, secrets)
        root = self._lay_out(files, stack, named)
        begun = contextlib.ExitStack()
        self._begun.append(begun)
        path = begun.enter_context(self._env_file(variables, bool(secrets), root, stack.name))
        running = self._started(stack, variables, root, path)
        begun.callback(running.kill)

        def finish() -> Rendered:
            with begun:
                completed = self._finished(running)
                if completed is not None and completed.returncode in NOT_STARTED and self._confined:
                    self._confined = False  # this program needs files of its own to start
                    completed = self._finished(self._started(stack, variables, root, path))
            return self._rendered(completed, files, stack, variables, violations, root)

        return finish

    def _rendered(
        self,
        completed: Completed | None,
        files: Files,
        stack: StackDocument,
        variables: Mapping[str, str],
        violations: tuple[Violation, ...],
        root: Path,
    ) -> Rendered:
        if completed is None:
            return Rendered({}, str(root), (*violations, _too_complex(stack, self._work)))
        self._room -= len(completed.stdout)
        model, rejected = _read(completed, stack.name, str(root), [*stack.files, *files.entries])
        violations = (*violations, *rejected)
        denied = any(item.level is Level.DENY for item in violations)
        self._named(() if denied else model.get("services") or ())
        return Rendered(
            model={} if denied else _without_own(model, variables),
            root=str(root),
            violations=violations,
            variables=variables,
            secrets={name: data for name, data in self._secrets.contents(stack.name).items() if name in variables},
        )

    def close(self) -> None:
        """End what still runs, and remove the files that were written last."""
        for begun in self._begun:
            begun.close()
        self._begun = []
        if self._laid_out:
            self._laid_out[1].remove()
        self._laid_out, self._room = None, LARGEST_MODEL

    def _variables(
        self, files: Files, stack: StackDocument, secrets: Mapping[str, str]
    ) -> tuple[dict[str, str], tuple[Violation, ...]]:
        from reconciler.formats.dotenv import dotenv

        path = posixpath.join(posixpath.dirname(stack.files[0]), ".env")
        given = {**stack.env, **secrets}
        known = {**given, PROJECT: stack.name}
        committed, violations = dotenv(files.read(path), path, known) if _is_text(files, path) else ({}, ())
        refused = tuple(_refused(name, stack) for name in stack.env if not _is_usable(name))
        merged = {**committed, **given}
        usable = {name: value for name, value in merged.items() if _is_usable(name) and "\0" not in value}
        return usable, (*violations, *refused)

    def _lay_out(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Path:
        """All stacks of a commit have one root, so that paths in their models mean the same."""
        if self._laid_out is None or self._laid_out[0] is not files:
            self.close()
        try:
            if self._laid_out is None:
                self._laid_out = (files, Workspace(self._folder))
            root = self._laid_out[1].path / "commit"
            new = [path for path in named if _is_text(files, path) and not (root / path).exists()]
            for folder in (posixpath.dirname(stack.files[0]), *(path for path in named if path.endswith("/"))):
                (root / folder).mkdir(parents=True, exist_ok=True)
            materialise(files, {path: files.entries[path] for path in new}, root)
        except OSError as error:
            self.close()
            raise _disk(error) from error
        return root

    @contextlib.contextmanager
    def _env_file(self, variables: Mapping[str, str], secret: bool, root: Path, stack: str) -> Iterator[Path]:
        """Secret values stay below secrets_dir, even in a file that exists for a tenth of a second."""
        data = env_file(variables)
        if secret:
            with self._secrets.scratch(data) as path:
                yield path
        else:
            path = root.parent / f"{stack}.env"
            try:
                path.write_bytes(data)
            except OSError as error:
                raise _disk(error) from error
            yield path

    def _started(self, stack: StackDocument, variables: Mapping[str, str], root: Path, path: Path) -> Running:
        files = [part for name in stack.files for part in ("-f", str(root / name))]
        profiles = [part for name in stack.profiles for part in ("--profile", name)]
        folder = root / posixpath.dirname(stack.files[0])
        argv = [self._compose, "-p", stack.name, "--project-directory", str(folder), *files, *profiles]
        argv += ["--env-file", str(path), "config", "--format", "json"]
        readable = [str(root), str(path)] if self._confined else None
        return begin(argv, env=_environment(variables), cwd=folder, work=self._work, readable=readable)

    def _finished(self, running: Running) -> Completed | None:
        """None if Compose used more processor time than any valid stack needs."""
        enough = self._work / 2  # on a busy machine the kernel ends it before that time is reported
        try:
            completed = running.finish(self._timeout, limit=self._room, kill_when_cut=True)
        except ProcessTimeout as late:
            if late.seconds < enough:
                raise
            return None
        return None if completed.returncode < 0 and completed.seconds >= enough else completed


def _without_own(model: Mapping[str, Any], variables: Mapping[str, str]) -> Mapping[str, Any]:
    """`environment: [HOME]` and `build.args: [HOME]` name a variable that the stack does not have. Compose took the
    value that we gave it for itself, which is removed again."""
    own = {name: value for name, value in _environment(variables).items() if value and name not in variables}
    for service in (model.get("services") or {}).values():
        for name, value in own.items():
            if (service.get("environment") or {}).get(name) == value:
                service["environment"][name] = None
            args = (service.get("build") or {}).get("args") or {}
            if args.get(name) == value:
                del args[name]
    return model


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Compose prefers its environment to the env file, so the few names in it must have the same values.

    Without PATH it can start nothing. PWD: 2.40 sets it itself if it is missing, 2.26 does not.
    """
    return {
        "HOME": variables.get("HOME", NO_HOME),
        "PWD": variables.get("PWD", ""),
        "DOCKER_CONFIG": NO_HOME,
        "DOCKER_HOST": f"unix://{NO_HOME}/docker.sock",
        "COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false",
        "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false",
    }


def _read(
    completed: Completed, stack: str, root: str, known: list[str]
) -> tuple[Mapping[str, Any], tuple[Violation, ...]]:
    if completed.cut:
        return {}, (_too_large(stack, known[0]),)
    stderr = completed.stderr.decode(errors="replace")
    if completed.returncode < 0 or (completed.returncode and any(words in stderr for words in _TROUBLE)):
        raise Transient(
            Reason.ENGINE_UNAVAILABLE,
            f"Compose ended in the middle of reading {stack} (code {completed.returncode})",
            "Is there memory and disk left on this machine?",
            stderr.splitlines()[-5:],
        )
    if completed.returncode:
        return {}, rejections(stderr or "Compose gave no reason", stack, root, known)
    return json.loads(completed.stdout.replace(b"$$", b"$")), ()


def _is_text(files: Files, path: str) -> bool:
    entry = files.entries.get(path)
    return entry is not None and entry.mode.startswith("100") and entry.size <= LARGEST_FILE


_HINTS = {PROFILES: "Write `profiles: [NAME]` at the stack.", PROJECT: "The stack's `name` is the project's."}


def _is_usable(name: str) -> bool:
    return bool(NAME.fullmatch(name)) and not steers(name)


def _refused(name: str, stack: StackDocument) -> Violation:
    return Violation(
        reason=Reason.SCHEMA_INVALID,
        rule="reserved-variable",
        message=f"{stack.name}: env: {name} cannot be set for Compose",
        hint=_HINTS.get(name, "Choose another name with letters, digits and _."),
        line=stack.line,
        stack=stack.name,
    )


def _too_large(stack: str, path: str) -> Violation:
    return Violation(
        reason=Reason.SCHEMA_INVALID,
        rule=RULE,
        message=f"the host's stacks are larger than {shown(LARGEST_MODEL)} once Compose has expanded them",
        hint="Look for anchors or extends that repeat large parts.",
        path=path,
        stack=stack,
    )


def _too_complex(stack: StackDocument, work: int) -> Violation:
    return Violation(
        reason=Reason.SCHEMA_INVALID,
        rule="too-complex",
        message=f"Compose needs more than {work} s of processor time to read the stack",
        hint="Look for dependencies, ranges or extends that multiply; `docker compose config` should take below 1 s.",
        path=stack.files[0],
        stack=stack.name,
    )


def _disk(error: OSError) -> Transient:
    return Transient(
        Reason.ENGINE_UNAVAILABLE,
        f"the commit's files cannot be written for Compose: {error.strerror} ({error.filename})",
        "The state folder must be writable and have space left.",
    )
