"""The create-files of a commit that is only judged: without its images, and without reading mounted files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reconciler.decide.defaults import with_defaults
from reconciler.decide.lower.lower import lower
from reconciler.decide.mounts.sources import Places, Source, services_of
from reconciler.formats.create_file import create_file
from reconciler.model.creation import Creation
from reconciler.model.documents import HostDocument
from reconciler.model.files import Entry, Files
from reconciler.values import dataclass


def create_files(
    document: HostDocument, sources: Sequence[Source], files: Files, places: Places
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Stack and its create-file, for a commit that all policies have admitted."""
    plain = [_by_name(source) for source in sources]
    for stack in lower(document, plain, _Unread(files), {}, replace(places, seal=str), "").stacks:
        creations = [Creation(with_defaults(service, "json-file"), 1, {}, {}) for service in stack.services]
        if creations:
            yield stack.name, create_file(creations, {network.name: network.key for network in stack.networks})


def _by_name(source: Source) -> Source:
    """A create-file names images and files, whoever made them. In a working folder some are still missing."""
    stack, model = source.document.name, dict(source.model)
    model["services"] = {
        name: {"image": f"{stack}-{name}", **{key: value for key, value in body.items() if key != "build"}}
        for name, body in services_of(source).items()
    }
    for kind in ("configs", "secrets"):
        model[kind] = {name: {"content": name} for name in model.get(kind) or {}}
    return replace(source, model=model)


class _Unread:
    """Files whose content is identified by their path, because a working folder would have to read them for a
    digest."""

    def __init__(self, files: Files) -> None:
        self._files, self.entries = files, _Named(files.entries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


@dataclass(frozen=True)
class _Named(Mapping[str, Entry]):
    known: Mapping[str, Entry]

    def __getitem__(self, path: str) -> Entry:
        entry = self.known[path]
        return Entry(path, entry.mode, path, entry.size)

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)
