"""What is built, from what, and with which rights."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator

from reconciler.decide.policies.mounts import link_findings, missing_level
from reconciler.decide.policies.paths import inside, normal, written
from reconciler.decide.policies.subject import Finding, Json, ServiceSubject
from reconciler.formats.yamls import Pointer

SAFE_NETWORKS = frozenset({"", "default", "bridge", "none"})
_FRONTEND = re.compile(r"^\s*(#|//)\s*syntax\s*=", re.MULTILINE | re.IGNORECASE)


def findings(service: ServiceSubject) -> Iterator[Finding]:
    build: Json = service.model.get("build") or {}
    if not build:
        return
    yield from _context(service, str(build.get("context") or ""), ("build", "context"))
    for name, context in sorted((build.get("additional_contexts") or {}).items()):
        yield from _additional(service, str(context), ("build", "additional_contexts", name))
    yield from _dockerfile(service, build)
    yield from _network_and_cache(service, build)


def _additional(service: ServiceSubject, context: str, place: Pointer) -> Iterator[Finding]:
    if context.startswith("service:"):
        yield service.finding("build-service", place, f"the build uses the image of the {context.replace(':', ' ', 1)}")
    else:
        yield from _context(service, context, place)


def _context(service: ServiceSubject, context: str, place: Pointer) -> Iterator[Finding]:
    # Compose makes every local context absolute; what is not is a URL in one of git's or the builder's spellings
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
        yield from link_findings(service.of, path, ("services", service.name, *place), service.name)


def _dockerfile(service: ServiceSubject, build: Json) -> Iterator[Finding]:
    place: Pointer = ("build", "dockerfile")
    context = str(build.get("context") or "")
    if build.get("dockerfile_inline"):
        if _FRONTEND.search(str(build["dockerfile_inline"])):
            yield service.finding("build-frontend", ("build", "dockerfile_inline"), "# syntax= in dockerfile_inline")
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
        yield from link_findings(service.of, path, ("services", service.name, *place), service.name)


def _missing(service: ServiceSubject, what: str, place: Pointer) -> Finding:
    message = f"{what} is not in the commit"
    return service.finding("file-missing", place, message, missing_level(service.of))


def _network_and_cache(service: ServiceSubject, build: Json) -> Iterator[Finding]:
    network = str(build.get("network") or "")
    if network not in SAFE_NETWORKS:
        what = f"the build uses the network {network}"
        yield service.finding("build-network", ("build", "network"), what, value=network)
    for index, cache in enumerate(build.get("cache_from") or ()):
        # a plain image name is a registry's; the other kinds read paths of the host
        if "type=" in str(cache) and "type=registry" not in str(cache):
            place: Pointer = ("build", "cache_from", index)
            yield service.finding("build-cache", place, f"the build reads {cache}", value=str(cache))
