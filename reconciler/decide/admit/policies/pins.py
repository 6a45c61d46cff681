"""The pin of a service: image, entrypoint, command, and a digest of everything else that decides what it does.

An entry that is equal to root applies only to the service that the operator has read, and not to one that a commit puts
in its place.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.decide.admit.policies.subject import Json, ServiceSubject, Subject
from reconciler.decide.admit.policies.writers import OF_THE_HOST, Name, Writers
from reconciler.decide.mounts.digests import digest
from reconciler.decide.mounts.mount_paths import inside, normal
from reconciler.formats import dockerfile
from reconciler.formats.freeze import SHORTEST
from reconciler.formats.grants import absolute
from reconciler.model.documents import Pin
from reconciler.model.images import familiar

DIGITS = 32
"""Length of the digest in hex digits, as in the operator's config: 128 bits of a sha256."""

MOST_OFFERED, MOST_TEXT = 100, 16 << 20
"""Maximum number of pins that the denials of one commit offer. Maximum number of characters from which one pin is made,
or all these pins together."""

KEPT_TEXT = 1 << 16
"""Maximum length of a service's text that is kept for the next pin."""

SOCKETS = frozenset({"docker.sock", "containerd.sock", "podman.sock", "buildkitd.sock", "crio.sock"})

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
    """The present pin of the service. None if the build of another service makes its image, or the image of a service
    that writes where it reads. None, too, if the pin would be made of more than MOST_TEXT characters."""
    pins = _pins(subject)
    name = (subject.stack, service)
    if name not in pins.made:
        pins.made[name] = _made(subject, service, pins)
    return pins.made[name]


def may_be_offered(subject: Subject, service: str) -> bool:
    """Whether a denial may still offer the pin of the service: nobody pins hundreds of services."""
    pins = _pins(subject)
    return pins.spent <= MOST_TEXT and (len(pins.made) < MOST_OFFERED or (subject.stack, service) in pins.made)


class _Pins:
    """The pins of one commit that were made so far. `spent`: the characters of which they were made."""

    def __init__(self, subject: Subject) -> None:
        self.writers = Writers(subject)
        self.made: dict[Name, Pin | None] = {}
        self.texts: dict[tuple[Name, str], str] = {}
        self.built: dict[Name, bool] = {}
        self.spent = 0


def _pins(subject: Subject) -> _Pins:
    first = (subject.host or (subject,))[0]
    if "pins" not in first.known:
        first.known["pins"] = _Pins(subject)
    found: _Pins = first.known["pins"]
    return found


def _made(subject: Subject, service: str, pins: _Pins) -> Pin | None:
    model = _services(subject).get(service) or {}
    image = str(model.get("image") or "")
    beside = pins.writers.beside(subject, service)
    built = (_is_built_elsewhere(one, pins) for one in (subject.service(service), *beside))
    if model.get("build") or not image or any(built):
        return None
    rest = _rest(subject, service, beside, pins)
    if rest is None:
        return None
    shown = _without_secrets({key: model.get(key) for key in ("entrypoint", "command")}, subject)
    return Pin(image, _words(shown, "entrypoint"), _words(shown, "command"), rest)


def built_names(stack: str, model: Json) -> Iterator[str]:
    """Names of the images that a stack builds, in the form that is compared. Another service that names one gets it,
    too, however it spells the name."""
    for name, service in (model.get("services") or {}).items():
        if (service or {}).get("build"):
            yield familiar(str(service.get("image") or f"{stack}-{name}"))
            yield from (familiar(str(tag)) for tag in service["build"].get("tags") or ())


def _is_built_elsewhere(service: ServiceSubject, pins: _Pins) -> bool:
    """Whether its image, or an image that its own build uses, comes from another build of the commit."""
    name = (service.of.stack, service.name)
    if name not in pins.built:
        pins.built[name] = any(familiar(image) in service.of.built for image in _images(service))
    return pins.built[name]


def _images(service: ServiceSubject) -> Iterator[str]:
    """Its image, or the images that its own build uses."""
    build: Json = service.model.get("build") or {}
    if not build:
        yield str(service.model.get("image") or "")
        return
    text = str(build.get("dockerfile_inline") or "")
    path = inside(_dockerfile(build), service.of.root)
    if not text and path is not None and service.of.commit.is_file(path):
        text = service.of.commit.text(path)
    yield from (item.name for item in dockerfile.read(text, build.get("args") or {}).images)


def _dockerfile(build: Json) -> str:
    return normal(posixpath.join(str(build.get("context") or ""), str(build.get("dockerfile") or "Dockerfile")))


def _services(subject: Subject) -> Mapping[str, Json]:
    return subject.model.get("services") or {}


def _words(model: Json, key: str) -> tuple[str, ...] | None:
    words = model.get(key)
    return None if words is None else tuple(map(str, [words] if isinstance(words, str) else words))


def _rest(subject: Subject, service: str, beside: Sequence[ServiceSubject], pins: _Pins) -> str | None:
    """The digest. None if it would be made of more than MOST_TEXT characters."""
    own = _decisive(subject, service)
    if not own and not beside:
        return ""
    parts = [_written(own, subject)]
    long = len(parts[0])
    for name, other in sorted(((_name(other, subject), other) for other in beside), key=lambda item: item[0]):
        parts.append(f"{json.dumps(name)}: [{_text_of(other, subject, pins)}]")
        long += len(parts[-1])
        if long > MOST_TEXT:
            break
    pins.spent += long
    if long > MOST_TEXT:
        return None
    return digest(f"[{parts[0]}, {{{', '.join(parts[1:])}}}]")[:DIGITS]


def _text_of(other: ServiceSubject, subject: Subject, pins: _Pins) -> str:
    """The text of a service that writes where the pinned service of `subject` reads."""
    key = (other.of.stack, other.name), subject.root
    text = pins.texts.get(key) or _written(_whole(other), subject)
    if len(text) <= KEPT_TEXT:
        pins.texts[key] = text
    return text


def _written(value: object, subject: Subject) -> str:
    """JSON without the folder of the commit's files: it is another one each time they are judged."""
    return json.dumps(value, sort_keys=True).replace(subject.root, ".")


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
