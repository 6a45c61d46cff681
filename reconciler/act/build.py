"""Builds images from a commit's own files, with Compose's builder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import docker

from reconciler.act.build_input import build_file, source_policy, write_dockerfile
from reconciler.act.build_memory import held_to
from reconciler.effects import Effects
from reconciler.engine import UNIX, disk_full, engine_calls, is_disk_full
from reconciler.errors import Away, ImageFailed, ReconcilerError, Transient
from reconciler.formats.create_file import written
from reconciler.formats.quantities import shown
from reconciler.materialise import make_folders, materialise
from reconciler.model.files import SYMLINK, Entry, Files, below
from reconciler.model.images import Image, ImageWant, image_of
from reconciler.model.outcome import Reason
from reconciler.model.stock import stored_image
from reconciler.process import ProcessTimeout, run
from reconciler.settings import BuildSettings
from reconciler.workspace import Workspace, check_room

LINES = 20
"""Lines of a failed build's output that are kept."""

PASSED_ON = (
    "PATH", "HOME", "DOCKER_CONFIG", "SSH_AUTH_SOCK", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "SSL_CERT_FILE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
)  # fmt: skip
"""Variables of the agent's environment that are needed to find the engine and to ask registries as the agent's user."""

POLICY = "EXPERIMENTAL_BUILDKIT_SOURCE_POLICY"
"""The variable that names the file with the source policy to Compose (2.14 and later)."""

_REFUSED = re.compile(r'source "([a-z-]+)://([^"]*)" denied by policy')
_KILLED = "exit code: 137"
_AWAY = ("cannot connect to the docker daemon", "error during connect")
_RUN_FAILED = "did not complete successfully"
_REGISTRY = ("failed to resolve source metadata", "failed to do request", "failed to authorize", "failed to copy")
_NOT_THERE = re.compile(
    r"not found|denied|does not exist|invalid reference format|no match for platform|not supported", re.IGNORECASE
)
_NAMES = re.compile(r"\S*[/\"]\S*")
"""Images and addresses, whose names may contain any words."""

_NETWORK = re.compile(
    r"temporary failure (?:in name resolution|resolving)|could not resolve host|network is unreachable"
    r"|connection timed out|connection refused|i/o timeout|TLS handshake timeout|no such host",
    re.IGNORECASE,
)


_UNBOUND = BuildSettings()

LONGEST_LINK = 4096
"""Bytes of a link's text, with the byte that ends it (Linux, PATH_MAX)."""


class ImageBuilder:
    """The part of `loop.ports.Applier` that builds."""

    def __init__(
        self, compose: str, address: str, client: docker.APIClient, folder: Path, effects: Effects,
        environ: Mapping[str, str], heard: Callable[[], None] = lambda: None, *,
        host: str, secret: Callable[[str, str], AbstractContextManager[Path]], bounds: BuildSettings = _UNBOUND,
    ) -> None:  # fmt: skip
        """`compose`: path of the binary; `address`: the engine's URL; `folder`: contains the contexts during a build.

        `heard` is called at each output of the builder. `host`: our own name. `secret`: gives a file with the bytes of
        a stack's variable while it is needed.
        """
        self._compose, self._heard = compose, heard
        self._client, self._address = client, address
        self._folder = folder
        self._effects = effects
        self._host, self._secret, self._bounds = host, secret, bounds
        self._environment = {
            **{name: environ[name] for name in PASSED_ON if name in environ},
            "DOCKER_HOST": address,
            # Compose calls git in the context. There a commit's files could be a repository whose config runs programs.
            "GIT_DIR": os.devnull,
            # Otherwise 2.40 calls a separate buildx of at least 0.17, which many machines do not have.
            "COMPOSE_BAKE": "false",
        }

    def build(self, want: ImageWant, files: Files) -> Image:
        """Build it and tag it only as `want.tag`. Only bytes of the commit go in.

        ImageFailed (BuildFailed) with the last lines of the output in `details` if the build fails; Transient if a
        registry, the network or the disk makes it fail; Away if the engine does not answer.
        """
        self._effects.point(f"build {want.ref}")
        with engine_calls("look at images and the engine"):
            policy = source_policy(want, map(stored_image, self._client.images()))
            local = self._address.startswith(UNIX)
            driver = str(self._client.info().get("CgroupDriver")) if local and self._bounds.memory else ""
        try:
            workspace = Workspace(self._folder)
        except OSError as error:
            raise _disk(want, error) from error
        try:
            with held_to(self._bounds.memory, driver):
                self._build(want, files, workspace.path, policy)
        finally:
            workspace.remove()
        with engine_calls(f"look at the image {want.tag}"):
            inspected = self._client.inspect_image(want.tag)  # type: ignore[no-untyped-call]  # the stubs lack it
        return image_of(inspected, want.ref)

    def _build(self, want: ImageWant, files: Files, private: Path, policy: str) -> None:
        root, copies = private / "commit", private / "dockerfile"
        entries = context_entries(want, files)
        needed = sum(entry.size for entry in entries.values())
        check_room(private, needed, f"the build context of {want.stack}/{want.service}")
        try:
            make_folders(root, 0o755)
            make_folders(copies, 0o755)
            (private / "policy.json").write_text(policy, "utf-8")
            materialise(files, entries, root)
            _link(files, entries, root)
            dockerfile = write_dockerfile(want, files, copies)
        except OSError as error:
            raise _disk(want, error) from error
        argv = [self._compose, "-p", want.stack, "--project-directory", str(root), "--env-file", "/dev/null"]
        own = {"BUILDX_CONFIG": str(private / "buildx"), POLICY: str(private / "policy.json")}
        with ExitStack() as stack:
            names = sorted(set(want.sources.secrets.values()))
            secrets = {name: stack.enter_context(self._secret(want.stack, name)) for name in names}
            project = build_file(want, root, dockerfile, self._bounds, self._host, secrets)
            try:
                completed = run(
                    [*argv, "-f", "-", "build", "--", want.service],
                    env={**self._environment, **own},
                    stdin=written(project),
                    timeout=self._bounds.time,
                    reason=Reason.BUILD_FAILED,
                    heard=self._heard,
                )
            except ProcessTimeout as error:
                raise _too_slow(want, self._bounds.time, error.details) from error
        if completed.returncode:
            output = (completed.stdout + b"\n" + completed.stderr).decode(errors="replace")
            raise build_error(want, output.replace(f"{root}/", "").replace(str(root), "."), self._bounds.memory)


def _link(files: Files, entries: Mapping[str, Entry], root: Path) -> None:
    """Links come last, so that nothing is written through one. Only the builder follows them, and it stays within the
    context. Links that no file system can hold are left out."""
    for path, entry in entries.items():
        if entry.mode == SYMLINK and 0 < entry.size < LONGEST_LINK and "\0" not in (to := files.link(entry.path)):
            os.symlink(to, root / path)


def context_entries(want: ImageWant, files: Files) -> dict[str, Entry]:
    """Everything that the builder may see beside the Dockerfile: context and further local contexts; path → entry."""
    build = want.build or {}
    folders = [build["context"], *(build.get("additional_contexts") or {}).values()]
    entries = [below(files, path).values() for path in folders]
    return {entry.path: entry for group in entries for entry in group}


def build_error(want: ImageWant, output: str, memory: int | None = None) -> ReconcilerError:
    """The meaning of a failed build, from the words of Compose and BuildKit. `memory`: its limit."""
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
        _remedy(want, cause, memory),
        tail,
    )


def _remedy(want: ImageWant, cause: str, memory: int | None) -> str:
    if found := _REFUSED.search(cause):
        if found[1] == "docker-image":
            return (
                f"{found[2]} was made on this machine, and nothing of the commit runs or builds it: "
                f"name a registry's image, or build it in the commit."
            )
        return "Commit the file, or fetch it in a RUN instruction, which has a network of its own."
    if memory is not None and _KILLED in cause:
        return f"Builds have {shown(memory)} here (`build.memory` in the agent config); it may have taken more."
    return f"`docker compose build {want.service}` in a clone of the commit should show the same."


def _is_environment(cause: str, tail: Iterable[str]) -> bool:
    """A step that ran and failed is the Dockerfile's fault, unless its own output blames the network."""
    if _RUN_FAILED in cause:
        return any(_NETWORK.search(line) for line in tail)
    if any(part in cause for part in _REGISTRY):
        return _NOT_THERE.search(_NAMES.sub("", cause)) is None
    return False


def _too_slow(want: ImageWant, time: float, details: tuple[str, ...]) -> ImageFailed:
    return ImageFailed(
        Reason.BUILD_FAILED,
        f"the build of {want.stack}/{want.service} did not end within {time / 60:g} min",
        "Make it smaller, build the image elsewhere and name it with `image`, or raise `build.time` in the agent"
        " config.",
        details,
    )


def _disk(want: ImageWant, error: OSError) -> Transient:
    return Transient(
        Reason.BUILD_FAILED,
        f"the build context of {want.stack}/{want.service} cannot be written: {error.strerror}",
        "The state folder must be writable and have space left.",
    )
