"""What is built, from which sources, and with which rights."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterator, Sequence

from reconciler.decide.admit.policies.mounts import IGNORED, link_findings, missing_level
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject
from reconciler.decide.mounts.mount_paths import inside, normal, written
from reconciler.formats import dockerfile
from reconciler.formats.freeze import SHORTEST
from reconciler.formats.yamls import Pointer

SAFE_NETWORKS = frozenset({"", "default", "bridge", "none"})
BUILDER_ARGS = frozenset(
    {"BUILDKIT_INLINE_CACHE", "BUILDKIT_MULTI_PLATFORM", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_SANDBOX_HOSTNAME"}
)
"""Arguments that change the builder's behaviour, but only inside the build."""

IN_HISTORY = ("args", "dockerfile_inline", "labels")
"""Keys whose text can be read by everybody who has the image or its cache."""


def findings(service: ServiceSubject, concealed: Collection[str] = ()) -> Iterator[Finding]:
    """`concealed`: values that came from the host's secrets_dir."""
    build: Json = service.model.get("build") or {}
    if not build:
        return
    yield from _context(service, str(build.get("context") or ""), ("build", "context"))
    for name, context in sorted((build.get("additional_contexts") or {}).items()):
        yield from _additional(service, str(context), ("build", "additional_contexts", name))
    yield from _dockerfile(service, build)
    yield from _network_and_cache(service, build)
    yield from _arguments(service, build.get("args") or {})
    yield from _secrets(service, build.get("secrets") or ())
    for key in IN_HISTORY:
        for place, value in _texts(build.get(key), ("build", key)):
            if any(len(secret) >= SHORTEST and secret in value for secret in concealed):
                what = f"{'.'.join(map(str, place))} holds a value of secrets_dir"
                yield service.finding("build-secret-arg", place, what)


def _additional(service: ServiceSubject, context: str, place: Pointer) -> Iterator[Finding]:
    if context.startswith("service:"):
        yield service.finding("build-service", place, f"the build uses the image of the {context.replace(':', ' ', 1)}")
    else:
        yield from _context(service, context, place)


def _context(service: ServiceSubject, context: str, place: Pointer) -> Iterator[Finding]:
    # Compose makes every local context absolute; anything else is a URL in one of the spellings of git or the builder
    if not context.startswith("/"):
        yield service.finding("build-remote", place, f"{context} is not of the commit")
        return
    path = inside(context, service.of.root)
    if path is None:
        shown = written(context, service.of.root)
        yield service.finding("build-outside", place, f"the build context {shown} is not in the repository")
    elif not service.of.commit.has(path):
        yield _missing(service, f"the build context {path}", place)
    else:
        yield from link_findings(service.of, path, ("services", service.name, *place), service.name, built=True)


def _dockerfile(service: ServiceSubject, build: Json) -> Iterator[Finding]:
    place: Pointer = ("build", "dockerfile")
    context = str(build.get("context") or "")
    if build.get("dockerfile_inline"):
        text = str(build["dockerfile_inline"])
        yield from _content(service, text, build, "dockerfile_inline", ("build", "dockerfile_inline"))
        return
    folder = inside(context, service.of.root)
    if folder is None or not service.of.commit.has(folder):
        return
    dockerfile = normal(posixpath.join(context, str(build.get("dockerfile") or "Dockerfile")))
    path = inside(dockerfile, service.of.root)
    if path is None:
        yield service.finding("build-outside", place, "the Dockerfile is not in the repository")
    elif not service.of.commit.is_file(path):
        yield _missing(service, path, place)
    else:
        pointer = ("services", service.name, *place)
        read = (path, f"{path}{IGNORED}")
        links = tuple(item for name in read for item in link_findings(service.of, name, pointer, service.name))
        yield from links or _content(service, service.of.commit.text(path), build, path, place)


def _content(service: ServiceSubject, text: str, build: Json, name: str, place: Pointer) -> Iterator[Finding]:
    found = dockerfile.read(text, build.get("args") or {})
    if found.frontend and not dockerfile.is_builtin(found.frontend.name):
        what = f"{name}:{found.frontend.line} asks for the frontend {found.frontend.name}"
        yield service.finding(dockerfile.FRONTEND, place, what, value=found.frontend.name)
    for source in found.remotes:
        what = f"{name}:{source.line} adds {source.name}"
        yield service.finding(dockerfile.REMOTE_ADD, place, what, value=source.name)


def _missing(service: ServiceSubject, what: str, place: Pointer) -> Finding:
    message = f"{what} is not in the commit"
    return service.finding("file-missing", place, message, missing_level(service.of))


def _network_and_cache(service: ServiceSubject, build: Json) -> Iterator[Finding]:
    network = str(build.get("network") or "")
    if network not in SAFE_NETWORKS:
        what = f"the build uses the network {network}"
        yield service.finding("build-network", ("build", "network"), what, value=network)
    for index, cache in enumerate(build.get("cache_from") or ()):
        # A plain image name is in a registry; the other types read paths of the host. If several types are given, the
        # last counts.
        kinds = [part for part in re.split(r"[,\s\"]+", str(cache).lower()) if part.startswith("type")]
        if kinds and set(kinds) != {"type=registry"}:
            place: Pointer = ("build", "cache_from", index)
            yield service.finding("build-cache", place, f"the build reads {cache}", value=str(cache))


def _arguments(service: ServiceSubject, args: Json) -> Iterator[Finding]:
    """Some names belong to the builder."""
    for name, value in sorted(args.items()):
        place: Pointer = ("build", "args", name)
        if name == dockerfile.SYNTAX:
            if value and not dockerfile.is_builtin(str(value)):
                what = f"{name} asks for the frontend {value}"
                yield service.finding(dockerfile.FRONTEND, place, what, value=str(value))
        elif name.startswith("BUILDKIT_") and name not in BUILDER_ARGS:
            what = f"the argument {name} controls the builder"
            yield service.finding(dockerfile.FRONTEND, place, what, value=name)


def _secrets(service: ServiceSubject, uses: Sequence[Json]) -> Iterator[Finding]:
    """A build secret comes from secrets_dir, by the name of a variable."""
    defined: Json = service.of.model.get("secrets") or {}
    for index, use in enumerate(uses):
        source = use.get("source")
        variable = (defined.get(str(source)) or {}).get("environment")
        if source and variable not in service.of.secrets:
            what = f"the build secret {source} is no variable of secrets_dir"
            yield service.finding("build-secrets", ("build", "secrets", index, "source"), what)


def _texts(value: object, pointer: Pointer) -> Iterator[tuple[Pointer, str]]:
    """Every text below, with its place; a key that contains a secret is reported at its value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(name, (*pointer, name))
            yield from _texts(item, (*pointer, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*pointer, index))
    elif value is not None:
        yield pointer, str(value)
