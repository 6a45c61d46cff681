"""Creates containers through Compose, in one call, without starting, stopping or replacing anything."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from reconciler.act.refusals import MAKE_IT, absent_path
from reconciler.effects import Effects
from reconciler.errors import Away, ReconcilerError, RolloutFailed, Transient
from reconciler.formats.create_file import UNREAD, create_file, written
from reconciler.formats.freeze import check_whole
from reconciler.model.creation import Creation
from reconciler.model.desired import Stack
from reconciler.model.outcome import Failure, Reason
from reconciler.process import run

TIMEOUT = 300.0
"""Seconds for one call; creating 25 containers takes two."""

NOWHERE = "/nonexistent"
PASSED_ON = ("PATH", "HOME", "SSH_AUTH_SOCK", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
"""Variables of the agent's environment that are needed to reach an engine over ssh or TLS."""

_PROGRESS = re.compile(r"^ ?(?:Container|Network|Volume|Image) \S+  \S+$")
_CONTAINER = re.compile(r"Container (\S+)  Error ")
_AWAY = ("cannot connect to the docker daemon", "error during connect", "is the docker daemon running")
_VANISHED = re.compile(r"no such image|could not be found|external (?:volume|network)|network \S+ not found")
_EXTERNAL = re.compile(r'external (volume|network) "([^"]+)" not found')
_MEANWHILE = re.compile(r"container name \S+ is already in use")
"""Somebody made it after our look. That may be the engine itself, at the end of an interrupted call of ours."""


class ComposeCreator:
    """The part of `loop.ports.Applier` that creates containers."""

    def __init__(
        self, compose: str, host: str, effects: Effects, environ: Mapping[str, str],
        is_ours: Callable[[str], bool] = lambda network: False,
    ) -> None:  # fmt: skip
        """`compose`: path of the binary; `host`: the engine's URL; `environ`: the agent's environment.

        `is_ours`: whether the reconciler itself made the network of that name.
        """
        self._compose = compose
        self._is_ours = is_ours
        self._effects = effects
        self._environment = {
            **{name: environ[name] for name in PASSED_ON if name in environ},
            "DOCKER_CONFIG": NOWHERE,
            "DOCKER_HOST": host,
            "COMPOSE_IGNORE_ORPHANS": "true",
        }

    def create(self, stack: Stack, creations: Sequence[Creation], existing: Mapping[str, int]) -> None:
        """Create `count` more containers of each service. `existing`: the number of existing ones, stopped ones
        included.

        With too small a number in `existing`, Compose would remove containers. After an error some of the new
        containers may exist. RolloutFailed if the engine refuses one of them, Transient if a network, volume, image or
        secret is gone, Away if the engine does not answer.
        """
        project = create_file(creations, self._keys(stack))
        check_whole(project)
        document = written(project)
        self._effects.point(f"create {stack.name}: {', '.join(item.service.name for item in creations)}")
        completed = run(
            arguments(self._compose, stack.name, creations, existing),
            env=self._environment,
            stdin=document,
            timeout=TIMEOUT,
        )
        if completed.returncode:
            stderr = completed.stderr.decode(errors="replace")
            raise self._unread(stack.name, document) or _failure(
                stack.name, [item.service.name for item in creations], stderr
            )

    def _unread(self, stack: str, document: bytes) -> Transient | None:
        """Compose cannot read our create-file. It has read the commit's own files, so the fault is ours."""
        checked = run(
            [self._compose, *_project(stack), "config", "--quiet"],
            env=self._environment,
            stdin=document,
            timeout=TIMEOUT,
        )
        lines = checked.stderr.decode(errors="replace").strip().splitlines()
        if not checked.returncode or not lines or any(part in lines[-1].lower() for part in _AWAY):
            return None
        version = run([self._compose, "version", "--short"], env=self._environment, timeout=TIMEOUT)
        message = f"{stack}: reconciler cannot write this so that Compose {version.stdout.decode().strip()} reads it: "
        return Transient(Reason.INTERNAL_ERROR, message + lines[-1], UNREAD)

    def _keys(self, stack: Stack) -> dict[str, str]:
        """Engine's name → Compose's key, of the networks that need not be declared external.

        For an external network, Compose 2.26 writes the id into the container, which can never start again once the
        network is replaced. A network that Compose made must stay external: 2.40 would replace it under running
        containers.
        """
        return {network.name: network.key for network in stack.networks if self._is_ours(network.name)}


def arguments(compose: str, stack: str, creations: Sequence[Creation], existing: Mapping[str, int]) -> list[str]:
    """The arguments of the Compose call. The create-file comes by stdin, because it can contain secrets; nobody can
    answer a prompt."""
    names = [item.service.name for item in creations]
    scales = [f"--scale={item.service.name}={existing.get(item.service.name, 0) + item.count}" for item in creations]
    create_only = ["--no-start", "--no-deps", "--no-recreate", "--no-build", "--pull", "never"]
    return [compose, *_project(stack), "up", *create_only, *scales, "--", *names]


def _project(stack: str) -> list[str]:
    return ["-p", stack, "--project-directory", "/", "--env-file", "/dev/null", "-f", "-"]


def _failure(stack: str, services: Sequence[str], stderr: str) -> ReconcilerError:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not _PROGRESS.match(line)]
    message = lines[-1] if lines else "Compose gave no reason"
    words = message.lower()
    if any(part in words for part in _AWAY):
        return Away(Reason.ENGINE_UNAVAILABLE, f"{stack}: {message}", "Is the container engine running?")
    if missing := _EXTERNAL.search(message):
        told = f"{stack} uses the external {missing[1]} {missing[2]}, which does not exist"
        return Transient(Reason.DEPENDENCY_NOT_READY, told, f"docker {missing[1]} create {missing[2]}")
    if "no space left on device" in words or _VANISHED.search(words) or _MEANWHILE.search(words):
        return Transient(
            Reason.ENGINE_UNAVAILABLE,
            f"{stack}: containers cannot be created: {message}",
            "Something was removed or created meanwhile, or the disk is full; the next turn tries again.",
            lines[-5:],
        )
    if absent := absent_path(message):
        return Transient(Reason.FILE_MISSING, f"{absent} is not there, and {stack} mounts it", MAKE_IT)
    service = _service_in(lines, stack, services)
    what = (
        f"{stack}/{service}: the engine refuses to create it" if service else f"{stack}: the engine refuses a container"
    )
    text = f"{what}: {message.removeprefix('Error response from daemon: ')}"
    failure = Failure(Reason.ENGINE_REFUSED, text, stack, service)
    return RolloutFailed(failure, "Correct the service in its Compose file; nothing that runs was touched.")


def _service_in(lines: Sequence[str], stack: str, services: Sequence[str]) -> str | None:
    """Compose 2.40 names the container in a separate line, 2.26 names none."""
    if len(services) == 1:
        return services[0]
    named = [match[1] for line in lines if (match := _CONTAINER.search(line))]
    return next((name for name in services for item in named if item.startswith(f"{stack}-{name}-")), None)
