"""The pin of a service: image, entrypoint, command, and a digest of everything else that decides what it does.

An entry that is equal to root applies only to the service that the operator has read, and not to one that a commit puts
in its place.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.decide.admit.nesting import is_writable
from reconciler.decide.admit.policies.sharing import mounts_of_others
from reconciler.decide.admit.policies.subject import Json, ServiceSubject, Subject
from reconciler.decide.mounts.digests import digest
from reconciler.decide.mounts.mount_paths import host_path, inside, normal
from reconciler.formats import dockerfile
from reconciler.formats.devices import bound_device
from reconciler.formats.freeze import SHORTEST
from reconciler.formats.grants import absolute
from reconciler.model.documents import Pin
from reconciler.model.images import familiar

DIGITS = 32
"""Length of the digest in hex digits, as in the operator's config: 128 bits of a sha256."""

SOCKETS = frozenset({"docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock", "crio.sock"})

OF_THE_HOST = frozenset({"/", "/dev", "/etc", "/proc", "/run", "/run/docker.sock", "/run/podman/podman.sock", "/sys"})
"""Targets that a pinned service may mount and `rest` leaves out: they are what is granted, and no container writes
programs there. Deeper targets count, because volumes of other services are below /, too."""

_SHOWN = frozenset({"image", "entrypoint", "command"})
JUDGED = frozenset(
    {
        "cap_add", "cgroup", "cgroup_parent", "device_cgroup_rules", "devices", "gpus", "group_add", "ipc",
        "network_mode", "pid", "privileged", "runtime", "security_opt", "sysctls", "userns_mode", "uts",
    }
)  # fmt: skip
"""Keys with rules of their own."""

_HARMLESS = frozenset(
    {
        "attach", "blkio_config", "cap_drop", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota",
        "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "expose", "hostname",
        "init", "logging", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "networks",
        "oom_kill_disable", "oom_score_adj", "pids_limit", "ports", "profiles", "pull_policy", "read_only", "restart",
        "scale", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty", "ulimits",
    }
)  # fmt: skip
"""Keys that say how much a service gets and whom it reaches, not what it does."""

_UNSET: tuple[object, ...] = (None, False, "", [], {})

_HIDDEN = "(secret)"
"""Replaces values from the host's secrets_dir: a digest of them would let others guess them."""


def pin_of(subject: Subject, service: str) -> Pin | None:
    """The present pin of the service. None if another service's build of the commit makes its image, or the image of a
    service that writes where it reads."""
    model = _services(subject).get(service) or {}
    image = str(model.get("image") or "")
    beside = _beside(subject, service)
    if model.get("build") or not image or any(_is_built_elsewhere(one) for one in (subject.service(service), *beside)):
        return None
    shown = _without_secrets({key: model.get(key) for key in ("entrypoint", "command")}, subject)
    return Pin(image, _words(shown, "entrypoint"), _words(shown, "command"), _rest(subject, service, beside))


def built_names(stack: str, model: Json) -> Iterator[str]:
    """Names of the images that a stack builds, in the form that is compared. Another service that names one gets it,
    too, however it spells the name."""
    for name, service in (model.get("services") or {}).items():
        if (service or {}).get("build"):
            yield familiar(str(service.get("image") or f"{stack}-{name}"))
            yield from (familiar(str(tag)) for tag in service["build"].get("tags") or ())


def _is_built_elsewhere(service: ServiceSubject) -> bool:
    """Whether its image, or an image that its own build uses, comes from another build of the commit."""
    build: Json = service.model.get("build") or {}
    if not build:
        return familiar(str(service.model.get("image") or "")) in service.of.built
    text = str(build.get("dockerfile_inline") or "")
    path = inside(_dockerfile(build), service.of.root)
    if not text and path is not None and service.of.commit.is_file(path):
        text = service.of.commit.text(path)
    read = dockerfile.read(text, build.get("args") or {})
    return any(familiar(item.name) in service.of.built for item in read.images)


def _dockerfile(build: Json) -> str:
    return normal(posixpath.join(str(build.get("context") or ""), str(build.get("dockerfile") or "Dockerfile")))


def _services(subject: Subject) -> Mapping[str, Json]:
    return subject.model.get("services") or {}


def _words(model: Json, key: str) -> tuple[str, ...] | None:
    words = model.get(key)
    return None if words is None else tuple(map(str, [words] if isinstance(words, str) else words))


def _rest(subject: Subject, service: str, beside: Sequence[ServiceSubject]) -> str:
    own = _decisive(subject, service)
    others = {_name(other, subject): [_whole(other)] for other in beside}
    # The commit's files lay in another folder each time they were judged.
    text = json.dumps([own, others], sort_keys=True).replace(subject.root, ".")
    return digest(text)[:DIGITS] if own or others else ""


def _name(other: ServiceSubject, subject: Subject) -> str:
    return other.name if other.of.stack == subject.stack else f"{other.of.stack}/{other.name}"


def _whole(service: ServiceSubject) -> dict[str, Any]:
    """Everything of a service that can write where the pinned one reads."""
    model, subject = service.model, service.of
    shown: dict[str, Any] = {key: model[key] for key in sorted(_SHOWN) if model.get(key)}
    if build := model.get("build"):
        read = [build.get("context"), _dockerfile(build), *(build.get("additional_contexts") or {}).values()]
        shown["build"] = [build, *(_content(subject, str(path or "")) for path in read)]
    return {**_decisive(subject, service.name), **shown}


def _decisive(subject: Subject, service: str) -> dict[str, Any]:
    """Everything that decides what the service does, beside image, entrypoint and command. Empty: nothing."""
    found: dict[str, Any] = {}
    for key, value in sorted(_services(subject)[service].items()):
        if key in _SHOWN | JUDGED | _HARMLESS:
            continue
        if key == "volumes":
            value = [shown for mount in value for shown in _mount(subject, mount)]
        elif key in ("configs", "secrets"):
            value = [[use, _file(subject, key, use)] for use in value]
        value = _pruned(value)
        if value not in _UNSET:
            found[key] = _without_secrets(value, subject)
    return found


def _mount(subject: Subject, mount: Json) -> Iterator[list[Any]]:
    """The mount; None if containers cannot have written anything into it."""
    source = str(mount.get("source") or "")
    if mount.get("type") != "bind":
        yield [mount, None]
    elif (path := inside(source, subject.root)) is not None:
        yield [{**mount, "source": path}, _content(subject, source)]
    elif absolute(source) not in OF_THE_HOST:
        yield [{**mount, "source": normal(source)}, None]


def _file(subject: Subject, kind: str, use: Any) -> Any:
    """A config or secret as the commit has it."""
    definition = (subject.model.get(kind) or {}).get(use.get("source")) or {}
    path = definition.get("file")
    return [_content(subject, path)] if path else {key: value for key, value in definition.items() if key != "name"}


def _content(subject: Subject, path: str) -> list[list[str]] | None:
    """Names and contents of the commit's files at a path below its root; None if the path is data."""
    relative = inside(path, subject.root)
    return None if relative is None else subject.commit.content(relative)


def _beside(subject: Subject, service: str) -> list[ServiceSubject]:
    """Services of the host that write where this one reads, and services that write where those read, and so on."""
    found, ahead = [(subject.stack, service)], [subject.service(service)]
    others = [one for each in (subject.host or (subject,)) for one in each.services()]
    written = [(other, list(_places(other, written=True))) for other in others]
    while ahead:
        read = list(_places(ahead.pop(), written=False))
        for other, theirs in written:
            place = (other.of.stack, other.name)
            if place not in found and any(_overlap(one, their) for one in read for their in theirs):
                found.append(place)
                ahead.append(other)
    return sorted(
        (other for other in others if (other.of.stack, other.name) in found[1:]),
        key=lambda other: (other.of.stack, other.name),
    )


def _places(service: ServiceSubject, *, written: bool) -> Iterator[str]:
    """Volumes, data folders and paths of the host that a service reaches. Volumes begin with ':' and have their name on
    the engine, data folders begin with the stack's name.

    Many services may read a path of the host. So of these paths only those that it writes if `written`, else those that
    it reads.
    """
    subject = service.of
    volumes: Json = subject.model.get("volumes") or {}
    lent = [(lender, mount) for _, lender, mount in mounts_of_others(service)]
    for lender, mount in [*((service.name, mount) for mount in service.model.get("volumes") or ()), *lent]:
        source = str(mount.get("source") or "")
        path = inside(source, subject.root)
        of_host = None
        if mount.get("type") == "volume" and source:
            yield f":{(volumes.get(source) or {}).get('name') or source}"
            of_host = bound_device((volumes.get(source) or {}).get("driver_opts") or {})
        elif mount.get("type") == "bind" and path is None:
            of_host = host_path(source, subject.permissions.binds, subject.stack, lender)
        elif mount.get("type") == "bind" and path is not None and subject.commit.content(path) is None:
            yield f"{subject.stack}/{path}"
        if of_host is not None and (is_writable(mount) if written else absolute(of_host) not in OF_THE_HOST):
            yield absolute(of_host)


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other.rstrip('/')}/") or other.startswith(f"{one.rstrip('/')}/")


def _pruned(value: Any) -> Any:
    """The value without entries that one version of Compose writes and another leaves out."""
    if isinstance(value, Mapping):
        pruned = {key: _pruned(item) for key, item in value.items() if key != "create_host_path"}
        return {key: item for key, item in pruned.items() if item not in _UNSET}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _without_secrets(value: Any, subject: Subject) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_secrets(item, subject) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_secrets(item, subject) for item in value]
    if isinstance(value, str):
        for secret in sorted(subject.concealed, key=len, reverse=True):
            value = value.replace(secret, _HIDDEN) if len(secret) >= SHORTEST else value
    return value
