"""Images that the stacks of a commit need: pulled ones by name, built ones by their sources."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from reconciler.decide.lower.pull_policy import stricter
from reconciler.decide.mounts.digests import digest, tree_digest
from reconciler.decide.mounts.sources import Json, Source, inside, services_of
from reconciler.decide.read.paths import content
from reconciler.formats import dockerfile
from reconciler.formats.dockerfile import SYNTAX
from reconciler.model.files import Files
from reconciler.model.images import OURS, UNRESOLVED, ImageWant, Sources, familiar
from reconciler.values import dataclass


def wants(sources: Sequence[Source], files: Files) -> tuple[ImageWant, ...]:
    """Every image that the stacks need, each once: built ones first, and each after its base images."""
    built = Built(sources, files)
    found: dict[str, ImageWant] = {}
    for want in built.in_order():
        found.setdefault(want.key, want)
    for source in sources:
        for name, model in services_of(source).items():
            want = built.of(source, name, model)
            first = found.setdefault(want.key, want)
            found[want.key] = replace(first, pull_policy=stricter(first, want))
    return tuple(found.values())


def unresolved(want: ImageWant) -> str:
    """Placeholder for the id of a missing image."""
    return f"{UNRESOLVED}{want.key}"


@dataclass(frozen=True, slots=True)
class _Build:
    """One service's build: the names of its image, and what its Dockerfile reads."""

    source: Source
    service: str
    model: Json
    text: str
    names: frozenset[str]

    @property
    def place(self) -> tuple[str, str]:
        return self.source.document.name, self.service


class Built:
    """The builds of a commit. A service gets its own; other services that name the image get the first one of their
    stack."""

    def __init__(self, sources: Sequence[Source], files: Files) -> None:
        self._files = files
        self._builds: dict[tuple[str, str], _Build] = {}
        self._wants: dict[tuple[str, str], ImageWant | None] = {}
        for source in sources:
            for name, model in services_of(source).items():
                if model.get("build"):
                    text = _dockerfile(model["build"], source.root, files)
                    build = _Build(source, name, model, text, _names(source, name, model))
                    self._builds[build.place] = build
        self._run = frozenset(
            familiar(str(model["image"]))
            for source in sources
            for model in services_of(source).values()
            if model.get("image") and not model.get("build")
        )

    def in_order(self) -> Iterator[ImageWant]:
        """The builds, each after its base images."""
        for place in self._builds:
            self._want(place)
        yield from (want for want in self._wants.values() if want is not None)

    def of(self, source: Source, name: str, model: Json) -> ImageWant:
        """The image that a service runs."""
        stack = source.document.name
        place = (stack, name) if model.get("build") else self._named(stack, model["image"])
        want = self._want(place) if place else None
        return want or pulled(source, name, model)

    def _named(self, stack: str, name: str) -> tuple[str, str] | None:
        wanted = familiar(name)
        found = [place for place, build in self._builds.items() if wanted in build.names]
        return next((place for place in found if place[0] == stack), next(iter(reversed(found)), None))

    def _want(self, place: tuple[str, str]) -> ImageWant | None:
        """None if the image would be its own base."""
        if place not in self._wants:
            self._wants[place] = None
            want = self._made(self._builds[place])
            del self._wants[place]  # base images come first
            self._wants[place] = want
        return self._wants[place]

    def _made(self, item: _Build) -> ImageWant:
        stack, service = item.place
        model, files = item.model, self._files
        build = _relative_build(model["build"], item.source.root)
        contexts = dict(build.get("additional_contexts") or {})
        folders = [build["context"], *contexts.values()]
        digests = [tree_digest(files, folder) for folder in folders if "://" not in folder and ":" not in folder]
        path = _path(build)
        own = tree_digest(files, path) if path in files.entries else None
        read = dockerfile.read(item.text, build.get("args") or {})
        asked = (read.frontend.name if read.frontend else "", str((build.get("args") or {}).get(SYNTAX) or ""))
        images = [image for image in read.images if image.name not in contexts]
        found = {image.name: self._named(stack, image.name) for image in images}
        bases = {name: self._want(other) for name, other in found.items() if other not in (None, item.place)}
        upon = {name: want for name, want in bases.items() if want is not None}
        plain = [build, digests, own, model.get("platform")]
        key = digest([*plain, {name: want.key for name, want in upon.items()}] if upon else plain)
        return ImageWant(
            stack,
            service,
            model.get("image") or f"{stack}-{service}",
            key,
            f"{OURS}{stack}-{service}:{key[:24]}",
            model.get("platform"),
            model.get("pull_policy"),
            build,
            Sources(
                {name: want.tag for name, want in upon.items()},
                tuple(dict.fromkeys(image.name for image in images if not image.base and image.name not in upon)),
                self._run | {familiar(image.name) for image in images if image.base},
                _secrets(item.source.model, build),
                # admitted, so the operator allows them
                tuple(remote.name for remote in read.remotes),
                any(not dockerfile.is_builtin(name) for name in asked if name),
            ),
        )


def _secrets(model: Json, build: Json) -> dict[str, str]:
    defined = model.get("secrets") or {}
    return {
        str(use.get("target") or use["source"]): str((defined.get(use["source"]) or {}).get("environment"))
        for use in build.get("secrets") or ()
    }


def _names(source: Source, name: str, model: Json) -> frozenset[str]:
    """Names by which other services and Dockerfiles of the commit may call the image."""
    ref = model.get("image") or f"{source.document.name}-{name}"
    return frozenset(familiar(str(item)) for item in (ref, *(model["build"].get("tags") or ())))


def _dockerfile(build: Json, root: str, files: Files) -> str:
    if build.get("dockerfile_inline"):
        return str(build["dockerfile_inline"])
    path = _path(_relative_build(build, root))
    return content(files, path).decode(errors="surrogateescape") if path in files.entries else ""


def _path(build: Json) -> str:
    return posixpath.normpath(posixpath.join(build["context"], build.get("dockerfile") or "Dockerfile"))


def pulled(source: Source, name: str, model: Json) -> ImageWant:
    ref = model["image"]
    key = digest([ref, model.get("platform")])
    return ImageWant(source.document.name, name, ref, key, ref, model.get("platform"), model.get("pull_policy"))


def _relative_build(build: Json, root: str) -> dict[str, Any]:
    relative = {**build, "context": inside(build["context"], root)}
    if build.get("additional_contexts"):
        relative["additional_contexts"] = {
            key: inside(value, root) for key, value in sorted(build["additional_contexts"].items())
        }
    return relative
