"""References of a Compose file: files to read, folders to build from, paths to mount."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from reconciler.decide.read.keys import find, items, pairs, words
from reconciler.decide.read.paths import resolve
from reconciler.formats.nodes import Mapping, Node, Scalar
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    """A path in a Compose file.

    `kind` is its key: env_file, label_file, extends, include, include.env_file, include.project_directory,
    build.context, build.dockerfile, additional_context, bind, config.file, secret.file. `value` is its text with
    variables replaced; `resolved` the path from the repository's root ('' is the root), None if it leads out of the
    commit. `required`: the service cannot work without it. `unset`: variables in it that are not set.
    """

    kind: str
    value: str
    resolved: str | None
    path: str
    line: int
    column: int
    stack: str
    service: str | None = None
    pointer: tuple[str | int, ...] = ()
    required: bool = True
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """A path as written in a file, before it is resolved. `base` None: the file's own working folder.

    `raw`: an env_file whose values Compose takes unchanged.
    """

    kind: str
    node: Scalar
    pointer: tuple[str | int, ...]
    service: str | None = None
    required: bool = True
    base: str | None = None
    raw: bool = False


Expand = Callable[[Scalar], str | None]


def service_paths(name: str, node: Node, base: str, expand: Expand) -> Iterator[Named]:
    """Every path in one service, without the service that it extends. `expand` replaces the variables of a text."""
    top = ("services", name)
    service = pairs(node)
    yield from _env_files(name, service["env_file"][1] if "env_file" in service else None)
    for word in words(service["label_file"][1] if "label_file" in service else None):
        yield Named("label_file", word, (*top, "label_file"), name)
    if "build" in service:
        yield from _build(name, service["build"][1], base, expand)
    if "volumes" in service:
        yield from _binds(name, service["volumes"][1], expand)


def top_paths(root: Node) -> Iterator[Named]:
    """The files of top-level configs and secrets."""
    for section, kind in (("configs", "config.file"), ("secrets", "secret.file")):
        held = find(root, section)
        for name, (_, node) in pairs(held[1] if held else None).items():
            file = pairs(node).get("file")
            if file and isinstance(file[1], Scalar):
                yield Named(kind, file[1], (section, name, "file"))


def _env_files(name: str, node: Node | None) -> Iterator[Named]:
    top = ("services", name, "env_file")
    for word in words(node):
        yield Named("env_file", word, top, name)
    for index, item in enumerate(items(node)):
        entry = pairs(item)
        path, required, form = entry.get("path"), entry.get("required"), entry.get("format")
        if path and isinstance(path[1], Scalar):
            optional = required is not None and isinstance(required[1], Scalar) and _is_false(required[1])
            raw = form is not None and isinstance(form[1], Scalar) and form[1].text == "raw"
            yield Named("env_file", path[1], (*top, index, "path"), name, required=not optional, raw=raw)


def _is_false(node: Scalar) -> bool:
    return node.text.lower() in ("false", "no", "off", "n")


def _build(name: str, node: Node, base: str, expand: Expand) -> Iterator[Named]:
    top = ("services", name, "build")
    if isinstance(node, Scalar):
        yield Named("build.context", node, top, name)
        return
    build = pairs(node)
    context = build["context"][1] if "context" in build else None
    folder: str | None = base
    if isinstance(context, Scalar):
        yield Named("build.context", context, (*top, "context"), name)
        folder = resolve(base, expand(context) or "")
    dockerfile = build["dockerfile"][1] if "dockerfile" in build else None
    if isinstance(dockerfile, Scalar) and folder is not None:
        yield Named("build.dockerfile", dockerfile, (*top, "dockerfile"), name, base=folder)
    if "additional_contexts" in build:
        yield from _contexts(name, build["additional_contexts"][1])


def _contexts(name: str, node: Node) -> Iterator[Named]:
    top = ("services", name, "build", "additional_contexts")
    for key, (_, value) in pairs(node).items():
        if isinstance(value, Scalar):
            yield Named("additional_context", value, (*top, key), name)
    for index, word in enumerate(words(node) if not isinstance(node, Mapping) else ()):
        _, _, text = word.text.partition("=")
        where = Scalar(text, word.plain, word.tag, word.line, word.column)
        yield Named("additional_context", where, (*top, index), name)


def _binds(name: str, node: Node, expand: Expand) -> Iterator[Named]:
    top = ("services", name, "volumes")
    for index, item in enumerate(items(node)):
        if isinstance(item, Scalar):
            source, colon, _ = (expand(item) or "").partition(":")
            if colon and source.startswith((".", "/", "~")):
                where = Scalar(source.replace("$", "$$"), item.plain, item.tag, item.line, item.column)
                yield Named("bind", where, (*top, index), name)
            continue
        volume = pairs(item)
        kind, held = volume.get("type"), volume.get("source")
        bound = kind is not None and isinstance(kind[1], Scalar) and kind[1].text == "bind"
        if bound and held and isinstance(held[1], Scalar):
            yield Named("bind", held[1], (*top, index, "source"), name)


@dataclass(frozen=True, slots=True)
class Include:
    """One entry of `include`. `folder` is its project_directory, `env_files` its env_file entries."""

    paths: tuple[Scalar, ...]
    folder: Scalar | None
    env_files: tuple[Scalar, ...]
    pointer: tuple[str | int, ...]


def includes(root: Node) -> Iterator[Include]:
    """The includes of a Compose file, in its order."""
    held = find(root, "include")
    for index, item in enumerate(items(held[1] if held else None)):
        pointer: tuple[str | int, ...] = ("include", index)
        if isinstance(item, Scalar):
            yield Include((item,), None, (), pointer)
            continue
        entry = pairs(item)
        folder = entry["project_directory"][1] if "project_directory" in entry else None
        yield Include(
            tuple(words(entry["path"][1] if "path" in entry else None)),
            folder if isinstance(folder, Scalar) else None,
            tuple(words(entry["env_file"][1] if "env_file" in entry else None)),
            pointer,
        )


def extended(service: Node) -> tuple[Scalar, Scalar | None] | None:
    """(service's name, file) of `extends`; None if there is none."""
    held = pairs(service).get("extends")
    if held is None:
        return None
    if isinstance(held[1], Scalar):
        return held[1], None
    entry = pairs(held[1])
    name, file = entry.get("service"), entry.get("file")
    if name is None or not isinstance(name[1], Scalar):
        return None
    return name[1], file[1] if file and isinstance(file[1], Scalar) else None
