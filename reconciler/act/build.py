"""Builds images from a commit's own files, with Compose's builder."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import docker

from reconciler.act.compose import escaped
from reconciler.effects import Effects
from reconciler.engine import disk_full, engine_calls, is_disk_full
from reconciler.errors import Away, ImageFailed, ReconcilerError, Transient
from reconciler.materialise import make_folders, materialise
from reconciler.model.files import Entry, Files, below
from reconciler.model.images import Image, ImageWant, image_of
from reconciler.model.outcome import Reason
from reconciler.process import ProcessTimeout, run
from reconciler.workspace import Workspace, check_room

TIMEOUT = 1800.0
"""Seconds that one build may take."""

LINES = 20
"""Lines of a failed build's output that are kept."""

PASSED_ON = (
    "PATH", "HOME", "DOCKER_CONFIG", "SSH_AUTH_SOCK", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""What finding the engine and asking registries as the agent's user needs of the agent's environment."""

_AWAY = ("cannot connect to the docker daemon", "error during connect")
_RUN_FAILED = "did not complete successfully"
_REGISTRY = ("failed to resolve source metadata", "failed to do request", "failed to authorize", "failed to copy")
_NOT_THERE = re.compile(
    r"not found|denied|does not exist|invalid reference format|no match for platform|not supported", re.IGNORECASE
)
_NAMES = re.compile(r"\S*[/\"]\S*")
"""Images and addresses, which may have any words in them."""

_NETWORK = re.compile(
    r"temporary failure (?:in name resolution|resolving)|could not resolve host|network is unreachable"
    r"|connection timed out|connection refused|i/o timeout|TLS handshake timeout|no such host",
    re.IGNORECASE,
)


class ImageBuilder:
    """The building half of `loop.ports.Applier`."""

    def __init__(
        self, compose: str, host: str, client: docker.APIClient, folder: Path, effects: Effects,
        environ: Mapping[str, str], heard: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        """`compose`: path of the binary; `host`: the engine's URL; `folder`: where contexts lie for a build.

        `heard` is called whenever the builder says something.
        """
        self._compose, self._heard = compose, heard
        self._client = client
        self._folder = folder
        self._effects = effects
        self._environment = {
            **{name: environ[name] for name in PASSED_ON if name in environ},
            "DOCKER_HOST": host,
            # Else 2.40 hands over to a separate buildx of at least 0.17, which many machines do not have.
            "COMPOSE_BAKE": "false",
        }

    def build(self, want: ImageWant, files: Files) -> Image:
        """Build it and tag it `want.tag` and `want.ref`. Only bytes of the commit go in.

        ImageFailed (BuildFailed) with the last lines of the output in `details` where the build fails, Transient
        where a registry, the network or the disk fails it, Away where the engine does not answer.
        """
        self._effects.point(f"build {want.ref}")
        try:
            workspace = Workspace(self._folder)
        except OSError as error:
            raise _disk(want, error) from error
        try:
            self._build(want, files, workspace.path)
        finally:
            workspace.remove()
        with engine_calls(f"look at the image {want.tag}"):
            inspected = self._client.inspect_image(want.tag)  # type: ignore[no-untyped-call]  # the stubs lack it
        return image_of(inspected, want.ref)

    def _build(self, want: ImageWant, files: Files, private: Path) -> None:
        root = private / "commit"
        entries = context_entries(want, files)
        needed = sum(entry.size for entry in entries.values())
        check_room(private, needed, f"the build context of {want.stack}/{want.service}")
        try:
            make_folders(root, 0o755)
            materialise(files, entries, root)
        except OSError as error:
            raise _disk(want, error) from error
        argv = [self._compose, "-p", want.stack, "--project-directory", str(root), "--env-file", "/dev/null"]
        try:
            completed = run(
                [*argv, "-f", "-", "build", "--", want.service],
                env={**self._environment, "BUILDX_CONFIG": str(private / "buildx")},
                stdin=json.dumps(escaped(build_file(want, root))).encode(),
                timeout=TIMEOUT,
                reason=Reason.BUILD_FAILED,
                heard=self._heard,
            )
        except ProcessTimeout as error:
            raise _too_slow(want, error.details) from error
        if completed.returncode:
            output = (completed.stdout + b"\n" + completed.stderr).decode(errors="replace")
            raise build_error(want, output.replace(f"{root}/", "").replace(str(root), "."))


def context_entries(want: ImageWant, files: Files) -> dict[str, Entry]:
    """What the builder may see: context, further local contexts, Dockerfile; path in the commit → entry."""
    build = want.build or {}
    folders = [build["context"], *_local_contexts(build)]
    dockerfile = posixpath.normpath(posixpath.join(build["context"], build.get("dockerfile") or "Dockerfile"))
    paths = [*folders, dockerfile, f"{dockerfile}.dockerignore"]
    entries = [below(files, path).values() for path in paths]
    return {entry.path: entry for group in entries for entry in group}


def build_file(want: ImageWant, root: Path) -> dict[str, Any]:
    """The project for one build. Arguments without a value are left out: Compose would ask the environment."""
    build = dict(want.build or {})
    build["context"] = _absolute(root, build["context"])
    for key in ("additional_contexts", "args"):
        if build.get(key):
            build[key] = {name: value for name, value in build[key].items() if value is not None}
    for name in _local_contexts_named(build):
        build["additional_contexts"][name] = _absolute(root, build["additional_contexts"][name])
    build["tags"] = [want.ref, *(tag for tag in build.get("tags") or () if tag != want.ref)]
    service = {"image": want.tag, "build": build}
    if want.platform:
        service["platform"] = want.platform
    return {"services": {want.service: service}}


def build_error(want: ImageWant, output: str) -> ReconcilerError:
    """What a failed build means, from the words of Compose and BuildKit."""
    lines = tuple(line.rstrip() for line in output.splitlines() if line.strip() and "COMPOSE_BAKE" not in line)
    cause = next((line for line in reversed(lines) if "failed to solve" in line), lines[-1] if lines else "")
    tail, name = lines[-LINES:], f"{want.stack}/{want.service}"
    words = output.lower()
    if any(part in words for part in _AWAY):
        return Away(Reason.ENGINE_UNAVAILABLE, f"{name}: {cause}", "Is the container engine running?", tail)
    if is_disk_full(output):
        return disk_full(f"build {name}", cause)
    if _is_environment(cause, tail):
        return Transient(
            Reason.BUILD_FAILED,
            f"the image of {name} cannot be built now: {cause}",
            "A registry or the network does not answer; it is tried again.",
            tail,
        )
    return ImageFailed(
        Reason.BUILD_FAILED,
        f"the image of {name} cannot be built: {cause}",
        f"`docker compose build {want.service}` in a clone of the commit should show the same.",
        tail,
    )


def _is_environment(cause: str, tail: Iterable[str]) -> bool:
    """A step that ran and failed is the Dockerfile's fault, unless its own words blame the network."""
    if _RUN_FAILED in cause:
        return any(_NETWORK.search(line) for line in tail)
    if any(part in cause for part in _REGISTRY):
        return _NOT_THERE.search(_NAMES.sub("", cause)) is None
    return False


def _local_contexts_named(build: Mapping[str, Any]) -> list[str]:
    contexts = build.get("additional_contexts") or {}
    return [name for name, value in contexts.items() if ":" not in value]


def _local_contexts(build: Mapping[str, Any]) -> list[str]:
    return [build["additional_contexts"][name] for name in _local_contexts_named(build)]


def _absolute(root: Path, path: str) -> str:
    return str(root) if path in ("", ".") else f"{root}/{path}"


def _too_slow(want: ImageWant, details: tuple[str, ...]) -> ImageFailed:
    return ImageFailed(
        Reason.BUILD_FAILED,
        f"the build of {want.stack}/{want.service} did not end within {TIMEOUT / 60:g} min",
        "Make it smaller, or build the image elsewhere and name it with `image`.",
        details,
    )


def _disk(want: ImageWant, error: OSError) -> Transient:
    return Transient(
        Reason.BUILD_FAILED,
        f"the build context of {want.stack}/{want.service} cannot be written: {error.strerror}",
        "The state folder must be writable and have space left.",
    )
