"""Allowed sources of mounts, configs and secrets."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import replace

from reconciler.decide.admit.policies.leave import holds
from reconciler.decide.admit.policies.pins import SOCKETS
from reconciler.decide.admit.policies.sharing import mounts_of_others
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import bind_grant, host_path, inside, normal, written
from reconciler.decide.read.paths import SUBMODULE
from reconciler.formats.engine_read import folder_of
from reconciler.formats.grants import CLOCKS, meets, root_path
from reconciler.formats.yamls import Pointer
from reconciler.model.files import Entry
from reconciler.model.outcome import Level
from reconciler.model.rendered import NO_HOME

MOUNT_TYPES = frozenset({"bind", "volume", "tmpfs"})
PRIVATE_PROPAGATION = frozenset({"", "private", "rprivate"})

IGNORED = ".dockerignore"


def findings(service: ServiceSubject) -> Iterator[Finding]:
    for index, mount in enumerate(service.model.get("volumes") or ()):
        place: Pointer = ("volumes", index)
        kind = mount.get("type")
        if kind not in MOUNT_TYPES:
            yield service.finding("mount-type", place, f"a mount of type {kind}")
        elif kind == "bind":
            yield from _bind(service, mount, place)
    for place, lender, mount in mounts_of_others(service):
        if mount.get("type") == "bind" and inside(str(mount.get("source") or ""), service.of.root) is None:
            yield from _outside(service, mount, place, lender)


def file_findings(subject: Subject) -> Iterator[Finding]:
    """The files behind `configs` and `secrets`."""
    for kind in ("configs", "secrets"):
        for name, definition in sorted((subject.model.get(kind) or {}).items()):
            if definition.get("file"):
                yield from _file(subject, definition["file"], (kind, name, "file"))


def link_findings(
    subject: Subject, path: str, pointer: Pointer, service: str | None, *, built: bool = False
) -> Iterator[Finding]:
    """Symlinks and submodules of the commit at, below or on the way to `path`; one finding for each kind.

    `built`: the path is a build context. The builder sees links there as links, and follows none out of the context.
    """
    links = [item for item in subject.commit.links(path) if not (built and _is_sent(item, path))]
    for rule, chosen in (
        ("symlink", [link for link in links if link.mode != SUBMODULE]),
        ("submodule", [link for link in links if link.mode == SUBMODULE]),
    ):
        if chosen:
            more = f" and {len(chosen) - 1} more" if len(chosen) > 1 else ""
            what = f"{path} is used, and {chosen[0].path}{more} is a {rule}"
            yield Finding(subject.stack, rule, pointer, what, service)


def _is_sent(link: Entry, context: str) -> bool:
    """Whether the builder gets it as a link. Compose reads some files of the context itself, on the host."""
    inside = "" if context == "." else f"{context}/"
    return link.mode != SUBMODULE and link.path.startswith(inside) and link.path != inside + IGNORED


def missing_level(subject: Subject) -> Level | None:
    """A working folder does not tell empty folders from missing ones, so a missing file there is only a warning."""
    return None if subject.commit.is_commit else Level.WARN


def _bind(service: ServiceSubject, mount: Json, place: Pointer) -> Iterator[Finding]:
    source = str(mount.get("source") or "")
    propagation = (mount.get("bind") or {}).get("propagation") or ""
    if propagation not in PRIVATE_PROPAGATION:
        what = f"{source} with propagation {propagation}"
        yield service.finding("bind-propagation", place, what, value=str(propagation))
    path = inside(source, service.of.root)
    if path is not None:
        yield from link_findings(service.of, path, ("services", service.name, *place), service.name)
    else:
        yield from _outside(service, mount, place, service.name)


def _outside(service: ServiceSubject, mount: Json, place: Pointer, lender: str) -> Iterator[Finding]:
    """A path of the host that `lender`, the service itself or another one, mounts."""
    source = str(mount.get("source") or "")
    via = "" if lender == service.name else f" through the service {lender}"
    reads = folder_of(source)
    if reads is not None and not _only_read(mount):
        yield service.finding("engine-read-write", place, f"{source} is mounted for writing{via}")
    elif reads is not None:
        yield service.finding(reads, place, f"{source} is mounted{via}")
    elif posixpath.basename(normal(source)).lower() in SOCKETS:
        yield service.finding("docker-socket", place, f"the engine's socket {source} is mounted{via}")
    else:
        yield from _of_the_host(service, mount, place, lender, via)


def _of_the_host(service: ServiceSubject, mount: Json, place: Pointer, lender: str, via: str) -> Iterator[Finding]:
    """A mount of a path of the host, and whether an entry of binds allows it."""
    permissions, read_only = service.of.permissions, _only_read(mount)
    source = str(mount.get("source") or "")
    path = normal(source)
    if path in CLOCKS and read_only and ".." not in source.split("/"):
        return
    grant = bind_grant(source, permissions.binds, service.of.stack, service.name)
    real = host_path(source, permissions.binds, service.of.stack, lender)
    root = root_path(real, read_only=read_only, own=permissions.own)
    shown = written(source, service.of.root)
    if grant is not None and (read_only or not grant.read_only):
        # If an entry for the whole machine allows the path, its pin is needed, whichever path it is.
        whole = root_path(grant.host, read_only=grant.read_only, own=permissions.own)
        if holds(grant.pin, root or whole, service.of, service.name):
            yield replace(service.finding("absolute-bind", place, _mounted(shown) + via, value=path), by=grant)
            return
    if grant is None or (root and grant.pin is None):
        what = _mounted(shown)
    elif grant.read_only and not read_only:
        what = f"{shown} of the host is mounted for writing, and the operator granted it read-only"
    else:
        what = f"{shown} of the host is mounted, and the operator's grant names another image, command or setting"
    host = {} if grant is None or grant.host == grant.path else {"host": real}
    finding = service.finding("absolute-bind", place, what + via, value=path)
    own = any(meets(real, mine) for mine in permissions.own)
    yield replace(finding, root=root, stays=own and not read_only, bind={"path": path, **host, "read_only": read_only})


def _only_read(mount: Json) -> bool:
    """Whether the mount cannot change the host: a disk below may be mounted writable, and `selinux` sets labels."""
    options: Json = mount.get("bind") or {}
    return bool(mount.get("read_only")) and options.get("recursive") != "writable" and not options.get("selinux")


def _mounted(source: str) -> str:
    if source.startswith(f"{NO_HOME}/"):
        home = "no home folder is known here (give the stack HOME in its env)"
        return f"~{source.removeprefix(NO_HOME)} of the host is mounted, and {home}"
    if source in CLOCKS:
        return f"{source} of the host is mounted for writing (with :ro it needs no grant)"
    return f"{source} of the host is mounted"


def _file(subject: Subject, file: str, pointer: Pointer) -> Iterator[Finding]:
    what = f"{pointer[0]}.{pointer[1]}"
    path = inside(file, subject.root)
    if path is None:
        message = f"{what}: {written(file, subject.root)} is not in the commit"
        yield subject.finding("outside-file", pointer, message)
    elif not subject.commit.is_file(path):
        message = f"{what}: {path} is no file of the commit"
        # A secret must not be committed, so the rule's own remedy does not fit.
        instead = "Put it into <secrets_dir>/<stack>/NAME, and write environment: NAME in place of file:."
        hint = instead if pointer[0] == "secrets" else ""
        yield Finding(subject.stack, "file-missing", pointer, message, None, missing_level(subject), hint=hint)
    else:
        yield from link_findings(subject, path, pointer, None)
