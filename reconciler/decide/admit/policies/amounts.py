"""Limits for the files of a commit that are written to the host's disk: files that containers mount, and build
contexts."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from itertools import takewhile

from reconciler.decide.admit.policies.subject import Finding, Json, Subject
from reconciler.decide.mounts.canonical import file_target
from reconciler.decide.mounts.mount_paths import inside, normal
from reconciler.formats.nodes import shorten
from reconciler.formats.quantities import shown
from reconciler.formats.yamls import Pointer
from reconciler.values import dataclass

MOST_BYTES = 1 << 30
"""Bytes of all files of one commit that containers of a host mount or builds use. Larger data does not belong into git.
Each mounted path counts with all its files; a file in several build contexts counts once."""

MOST_FILES = 100_000
"""Number of these files and folders, counted in the same way. Writing so many takes 17 s."""

LONGEST_TARGET = 500
"""Longest path in a container, in bytes. A place inside a mounted folder is made on the host."""

NAMED = 3
"""Number of the largest files that the message lists."""


@dataclass(frozen=True, slots=True)
class Use:
    """One place of a model that needs files of the commit on the disk.

    `places`: where the service mounts something else inside of it. The written folder contains these places, so it
    differs from one without them.
    """

    subject: Subject
    service: str | None
    pointer: Pointer
    path: str
    built: bool = False
    places: frozenset[str] = frozenset()


def _long_targets(subject: Subject) -> Iterator[Finding]:
    for service in subject.services():
        longest = max(_targets(service.model), key=len, default="")
        size = len(longest.encode())
        if size > LONGEST_TARGET:
            what = f"it mounts at a path of {size} bytes ({shorten(longest)}), more than {LONGEST_TARGET}"
            yield service.finding("too-large", ("volumes",), what)


@dataclass(frozen=True, slots=True)
class _Cost:
    use: Use
    size: int
    files: int


def findings(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """At most one finding for the whole host, at the largest place; and one for each target path that no file system
    can hold."""
    if not subjects:
        return
    yield from (finding for subject in subjects for finding in _long_targets(subject))
    costs = _costs(subjects)
    size, files = sum(cost.size for cost in costs), sum(cost.files for cost in costs)
    if size > MOST_BYTES:
        largest = max(costs, key=lambda cost: cost.size).use
    elif files > MOST_FILES:
        largest = max(costs, key=lambda cost: cost.files).use
    else:
        return
    what = f"what this host would mount and build of the commit has {shown(size)} or more in {files} files and folders"
    what += f" ({largest.path} has most: {_largest(largest)})"
    yield Finding(largest.subject.stack, "too-large", largest.pointer, what, largest.service)


def _costs(subjects: Sequence[Subject]) -> list[_Cost]:
    """What each place adds, up to the one that exceeds the limit."""
    commit, costs = subjects[0].commit, list[_Cost]()
    built, mounted = set[str](), set[tuple[str, frozenset[str]]]()
    size = files = 0
    for use in (use for subject in subjects for use in uses(subject)):
        names: Sequence[str] = ()
        if use.built:
            names = [name for name in commit.names(use.path) if name not in built]
            built.update(names)
        elif (use.path, use.places) not in mounted:
            names = commit.names(use.path)
            mounted.add((use.path, use.places))
        costs.append(_Cost(use, sum(map(commit.size, names)), len(names) + _folders(names)))
        size, files = size + costs[-1].size, files + costs[-1].files
        if size > MOST_BYTES or files > MOST_FILES:
            break
    return costs


def _folders(names: Sequence[str]) -> int:
    """Number of folders that contain these files. The files are sorted, so each adds the folders that its predecessor
    does not have."""
    count, before = 0, list[str]()
    for name in names:
        folders = name.split("/")[:-1]
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, folders, strict=False)))
        count, before = count + len(folders) - shared, folders
    return count


def _largest(use: Use) -> str:
    commit = use.subject.commit
    names = sorted(commit.names(use.path), key=lambda name: -commit.size(name))[:NAMED]
    return ", ".join(f"{shorten(name)} {shown(commit.size(name))}" for name in names)


def uses(subject: Subject) -> Iterator[Use]:
    """Every place of a model that needs files of the commit on the disk."""
    for kind in ("configs", "secrets"):
        for name, definition in sorted((subject.model.get(kind) or {}).items()):
            yield from _use(subject, None, (kind, name, "file"), str((definition or {}).get("file") or ""))
    for service in subject.services():
        top: Pointer = ("services", service.name)
        targets = _targets(service.model)
        for index, mount in enumerate(service.model.get("volumes") or ()):
            if mount.get("type") == "bind":
                folder = normal(str(mount.get("target") or "")).rstrip("/") + "/"
                places = frozenset(item.removeprefix(folder) for item in targets if item.startswith(folder))
                source = str(mount.get("source") or "")
                yield from _use(subject, service.name, (*top, "volumes", index), source, places=places)
        for key, path in _contexts(service.model.get("build") or {}):
            yield from _use(subject, service.name, (*top, "build", *key), path, built=True)


def _targets(model: Json) -> list[str]:
    """All mount targets of a service."""
    found = [str(item).partition(":")[0] for item in model.get("tmpfs") or ()]
    found += [str(mount.get("target") or "") for mount in model.get("volumes") or ()]
    found += [file_target(kind, use) for kind in ("configs", "secrets") for use in model.get(kind) or ()]
    return [normal(item) for item in found]


def _contexts(build: Json) -> Iterator[tuple[Pointer, str]]:
    if not build:
        return
    context = str(build.get("context") or "")
    dockerfile = posixpath.join(context, str(build.get("dockerfile") or "Dockerfile"))
    yield ("context",), context
    yield ("dockerfile",), dockerfile
    yield ("dockerfile",), f"{dockerfile}.dockerignore"
    for name, value in sorted((build.get("additional_contexts") or {}).items()):
        yield ("additional_contexts", name), str(value)


def _use(
    subject: Subject,
    service: str | None,
    pointer: Pointer,
    path: str,
    built: bool = False,
    places: frozenset[str] = frozenset(),
) -> Iterator[Use]:
    found = inside(posixpath.normpath(path), subject.root) if path.startswith("/") else None
    if found is not None and subject.commit.has(found):
        yield Use(subject, service, pointer, found, built, places)
