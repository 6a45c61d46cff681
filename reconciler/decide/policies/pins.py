"""What a service is, word by word: image, entrypoint and command, and a digest of what else decides what it does.

What is equal to root is given to a service that the operator has read, and to no other that a commit puts in its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.decide.digests import digest
from reconciler.decide.policies.paths import inside, normal
from reconciler.decide.policies.sharing import mounts_of_others
from reconciler.decide.policies.subject import Json, ServiceSubject, Subject
from reconciler.formats.freeze import SHORTEST
from reconciler.formats.grants import absolute
from reconciler.model.documents import Pin

DIGITS = 32
"""Of a sha256, as the operator's config holds them: 128 bits."""

SOCKETS = frozenset({"docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock", "crio.sock"})

_OF_THE_HOST = frozenset(
    {"/", "/dev", "/etc", "/proc", "/run", "/run/docker.sock", "/run/podman/podman.sock", "/sys"}
)
"""What a pinned service may mount without a word of it in `rest`: it is what is granted, and no container writes
programs there. What lies deeper is another matter: volumes of other services are below /, too."""

_SHOWN = frozenset({"image", "entrypoint", "command"})
_JUDGED = frozenset(
    {
        "cap_add", "cgroup", "cgroup_parent", "device_cgroup_rules", "devices", "gpus", "group_add", "ipc",
        "network_mode", "pid", "privileged", "runtime", "security_opt", "sysctls", "userns_mode", "uts",
    }
)  # fmt: skip
"""What has rules of its own."""

_HARMLESS = frozenset(
    {
        "attach", "blkio_config", "cap_drop", "container_name", "cpu_count", "cpu_percent", "cpu_period", "cpu_quota",
        "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpus", "cpuset", "depends_on", "deploy", "expose", "hostname",
        "init", "logging", "mem_limit", "mem_reservation", "mem_swappiness", "memswap_limit", "networks",
        "oom_kill_disable", "oom_score_adj", "pids_limit", "ports", "profiles", "pull_policy", "read_only", "restart",
        "scale", "shm_size", "stdin_open", "stop_grace_period", "stop_signal", "tmpfs", "tty", "ulimits",
    }
)  # fmt: skip
"""What says how much a service gets and whom it reaches, not what it does."""

_UNSET: tuple[object, ...] = (None, False, "", [], {})

_HIDDEN = "(secret)"
"""In place of values from the host's secrets_dir: a digest of them would let others guess them."""


def pin_of(subject: Subject, service: str) -> Pin | None:
    """What the service is now; None where the commit itself makes its image."""
    model = _services(subject).get(service) or {}
    image = str(model.get("image") or "")
    if model.get("build") or not image or image in subject.built:
        return None
    shown = _without_secrets({key: model.get(key) for key in ("entrypoint", "command")}, subject)
    return Pin(image, _words(shown, "entrypoint"), _words(shown, "command"), _rest(subject, service))


def built_names(stack: str, model: Json) -> Iterator[str]:
    """What images that a stack builds are called: another service that names one gets it, too."""
    for name, service in (model.get("services") or {}).items():
        if (service or {}).get("build"):
            yield str(service.get("image") or f"{stack}-{name}")
            yield from map(str, service["build"].get("tags") or ())


def _services(subject: Subject) -> Mapping[str, Json]:
    return subject.model.get("services") or {}


def _words(model: Json, key: str) -> tuple[str, ...] | None:
    words = model.get(key)
    return None if words is None else tuple(map(str, [words] if isinstance(words, str) else words))


def _rest(subject: Subject, service: str) -> str:
    own = _decisive(subject, service)
    others = {name: [_whole(subject, name)] for name in sorted(_beside(subject, service))}
    # Where the commit's files lay while they were judged is another place each time.
    text = json.dumps([own, others], sort_keys=True).replace(subject.root, ".")
    return digest(text)[:DIGITS] if own or others else ""


def _whole(subject: Subject, service: str) -> dict[str, Any]:
    """A service that can write what the pinned one reads."""
    model = _services(subject)[service]
    shown: dict[str, Any] = {key: model[key] for key in sorted(_SHOWN) if model.get(key)}
    if model.get("build"):
        shown["build"] = [model["build"], _content(subject, str(model["build"].get("context") or ""))]
    return {**shown, **_decisive(subject, service)}


def _decisive(subject: Subject, service: str) -> dict[str, Any]:
    """What decides what the service does, beside image, entrypoint and command. Empty: nothing."""
    found: dict[str, Any] = {}
    for key, value in sorted(_services(subject)[service].items()):
        if key in _SHOWN | _JUDGED | _HARMLESS:
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
    """Without what holds nothing that containers could have written."""
    source = str(mount.get("source") or "")
    if mount.get("type") != "bind":
        yield [mount, None]
    elif (path := inside(source, subject.root)) is not None:
        yield [{**mount, "source": path}, _content(subject, source)]
    elif absolute(source) not in _OF_THE_HOST:
        yield [{**mount, "source": normal(source)}, None]


def _file(subject: Subject, kind: str, use: Any) -> Any:
    """A config or secret as the commit has it."""
    definition = (subject.model.get(kind) or {}).get(use.get("source")) or {}
    path = definition.get("file")
    return [_content(subject, path)] if path else {key: value for key, value in definition.items() if key != "name"}


def _content(subject: Subject, path: str) -> list[list[str]] | None:
    """Names and contents of what the commit has at a path below its root; None where that is data."""
    relative = inside(path, subject.root)
    return None if relative is None else subject.commit.content(relative)


def _beside(subject: Subject, service: str) -> set[str]:
    """Services of the stack that write where this one reads, and those that write where they read, and so on."""
    places = {service.name: _places(service) for service in subject.services()}
    found, ahead = {service}, [service]
    while ahead:
        mine = places[ahead.pop()]
        for name, theirs in places.items():
            if name not in found and any(_overlap(one, other) for one in mine for other in theirs):
                found.add(name)
                ahead.append(name)
    return found - {service}


def _places(service: ServiceSubject) -> list[str]:
    """Volumes and folders of data that a service reaches; volumes begin with ':' and have their name on the engine."""
    subject, found = service.of, []
    volumes: Json = subject.model.get("volumes") or {}
    mounts = [*(service.model.get("volumes") or ()), *(mount for _, _, mount in mounts_of_others(service))]
    for mount in mounts:
        source = str(mount.get("source") or "")
        path = inside(source, subject.root)
        if mount.get("type") == "volume" and source:
            found.append(f":{(volumes.get(source) or {}).get('name') or source}")
        elif mount.get("type") == "bind" and path is not None and subject.commit.content(path) is None:
            found.append(path)
    return found


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def _pruned(value: Any) -> Any:
    """Without what Compose writes down in one version and leaves out in another."""
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
