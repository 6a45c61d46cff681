"""Which images the stacks of a commit need: pulled ones by name, built ones by what they are made of."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from typing import Any

from reconciler.decide.digests import digest, tree_digest
from reconciler.decide.sources import Json, Source, inside, services_of
from reconciler.model.files import Files
from reconciler.model.images import ImageWant


def wants(sources: Sequence[Source], files: Files) -> tuple[ImageWant, ...]:
    """Every image that the stacks need, built ones first, each once."""
    built = all_built(sources, files)
    found: dict[str, ImageWant] = {}
    for want in built.values():
        found.setdefault(want.key, want)
    for source in sources:
        for name, model in services_of(source).items():
            if not model.get("build") and model["image"] not in built:
                want = pulled(source, name, model)
                found.setdefault(want.key, want)
    return tuple(found.values())


def unresolved(want: ImageWant) -> str:
    """What stands for the id of an image that the machine does not have yet."""
    return f"unresolved:{want.key}"


def all_built(sources: Sequence[Source], files: Files) -> dict[str, ImageWant]:
    """Images that are built, by the names that users know. Services with the same build have names of their own for
    one image."""
    wanted = [
        _built(source, name, model, files)
        for source in sources
        for name, model in services_of(source).items()
        if model.get("build")
    ]
    return {want.ref: want for want in wanted}


def _built(source: Source, name: str, model: Json, files: Files) -> ImageWant:
    stack = source.document.name
    build = _relative_build(model["build"], source.root)
    folders = [build["context"], *dict(build.get("additional_contexts") or {}).values()]
    digests = [tree_digest(files, folder) for folder in folders if "://" not in folder and ":" not in folder]
    dockerfile = posixpath.normpath(posixpath.join(build["context"], build.get("dockerfile") or "Dockerfile"))
    own = tree_digest(files, dockerfile) if dockerfile in files.entries else None
    key = digest([build, digests, own, model.get("platform")])
    ref = model.get("image") or f"{stack}-{name}"
    tag = f"reconciler/{stack}-{name}:{key[:24]}"
    return ImageWant(stack, name, ref, key, tag, model.get("platform"), model.get("pull_policy"), build)


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
