"""Values that Compose accepts and the engine refuses, when a container is created or started.

They are found with their place before anything is touched. So are values that Compose or the engine silently
understands as something else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from reconciler.decide.admit.budget import ENGINE_MINIMUM, service_memory
from reconciler.decide.admit.policies import addresses
from reconciler.decide.admit.policies.addresses import RULE
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.canonical import file_target
from reconciler.decide.mounts.mount_paths import normal
from reconciler.formats import forms
from reconciler.formats.forms import Fits, address, between, one_of, whole
from reconciler.formats.nodes import shorten
from reconciler.formats.quantities import shown
from reconciler.formats.yamls import Pointer

_MOST = 2**63 - 1
_MODE = "permissions from 0 to 07777"
_MEMORY = f"0 or at least {shown(ENGINE_MINIMUM)}"
_SPAN = "0 or at least 1ms"
_PORT = "a port from 1 to 65535"
_CPU = "0 or at least 0.01 processors"
_RATE = "a number from 0 on"
_WEIGHT = "0, or 10 to 1000"
_TARGET = "an absolute path below /"
_DEVICE = "a device below /dev"
_THROTTLED = ("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")
_LIMIT = "a number from 0 on, or -1 for no limit"

_memory = between(ENGINE_MINIMUM, _MOST, 0)
_count = between(0, _MOST)
_weight = between(10, 1000, 0)
_mode = between(0, 0o7777)
_limit = between(-1, _MOST)

FORMS: Mapping[str, tuple[str, Fits]] = {
    "networks.*.driver_opts.com!docker!network!driver!mtu": ("a number of bytes", between(0, 65535)),
    "networks.*.ipam.config[].gateway": ("an address", address()),
    "networks.*.ipam.config[].ip_range": ("a range of addresses (10.1.0.0/25)", forms.subnet),
    "networks.*.ipam.config[].subnet": ("a network's address (10.1.0.0/24)", forms.subnet),
    "networks.*.ipam.config[].aux_addresses.*": ("an address", address()),
    "services.*.blkio_config.weight": (_WEIGHT, _weight),
    "services.*.blkio_config.weight_device[].weight": (_WEIGHT, _weight),
    "services.*.blkio_config.weight_device[].path": (_DEVICE, forms.device),
    **{f"services.*.blkio_config.{key}[].rate": (_RATE, _count) for key in _THROTTLED},
    **{f"services.*.blkio_config.{key}[].path": (_DEVICE, forms.device) for key in _THROTTLED},
    "services.*.build.extra_hosts[]": ("NAME=ADDRESS", forms.extra_host),
    "services.*.build.shm_size": (_RATE, _count),
    "services.*.build.tags[]": ("an image's name", forms.image),
    "services.*.cap_add[]": ("a capability's name", forms.capability),
    "services.*.cap_drop[]": ("a capability's name", forms.capability),
    "services.*.configs[].mode": (_MODE, lambda value: _mode(_octal(value))),
    "services.*.configs[].target": ("a file's path", lambda value: bool(str(value).strip("/."))),
    "services.*.cpu_period": ("0, or 1000 to 1000000 µs", between(1000, 1_000_000, 0)),
    "services.*.cpu_quota": ("-1, 0, or at least 1000 µs", between(1000, _MOST, 0, -1)),
    "services.*.cpu_shares": ("0, or 2 to 262144", between(2, 262_144, 0)),
    "services.*.cpus": (_CPU, forms.cpus),
    "services.*.cpuset": ("numbers of processors (0-3,5)", forms.cpu_list),
    "services.*.deploy.replicas": (_RATE, _count),
    "services.*.deploy.resources.limits.cpus": (_CPU, forms.cpus),
    "services.*.deploy.resources.limits.memory": (_MEMORY, _memory),
    "services.*.deploy.resources.reservations.memory": (_MEMORY, _memory),
    "services.*.deploy.restart_policy.condition": (
        "none, on-failure or any", one_of("none", "on-failure", "any", "always", "unless-stopped"),
    ),
    "services.*.dns[]": ("an address", address()),
    "services.*.expose[]": (_PORT, lambda value: forms.ports(str(value).partition("/")[0])),
    "services.*.extra_hosts[]": ("NAME=ADDRESS", forms.extra_host),
    "services.*.group_add[]": ("a group's name, or a number up to 2147483647", forms.identity),
    "services.*.healthcheck.interval": (_SPAN, forms.duration),
    "services.*.healthcheck.start_interval": (_SPAN, forms.duration),
    "services.*.healthcheck.start_period": (_SPAN, forms.duration),
    "services.*.healthcheck.test": ("CMD or CMD-SHELL with a command, or NONE", forms.test),
    "services.*.healthcheck.timeout": (_SPAN, forms.duration),
    "services.*.hostname": ("a name of at most 64 bytes", lambda value: len(str(value).encode()) <= 64),
    "services.*.image": ("an image's name (lower case, NAME:TAG or NAME@sha256:…)", forms.image),
    "services.*.ipc": ("none, private, shareable, host or service:NAME", lambda value: _namespace(
        value, "none", "private", "shareable")),
    "services.*.isolation": ("default, as on Linux", one_of("default")),
    "services.*.logging.options.mode": ("blocking or non-blocking", one_of("blocking", "non-blocking")),
    "services.*.logging.options.compress": ("true or false", forms.boolean),
    "services.*.logging.options.env-regex": ("a regular expression", forms.regex),
    "services.*.logging.options.labels-regex": ("a regular expression", forms.regex),
    "services.*.logging.options.max-file": ("a number of files, at least 1", between(1, 2**31)),
    "services.*.logging.options.max-size": ("a size (10m)", forms.log_size),
    "services.*.logging.options.tag": ("a template in which each {{ has its }}", forms.template),
    "services.*.mac_address": ("six bytes of one station (02:42:…)", forms.mac),
    "services.*.mem_limit": (_MEMORY, _memory),
    "services.*.mem_reservation": (_MEMORY, _memory),
    "services.*.mem_swappiness": ("a number from -1 to 100", between(-1, 100)),
    "services.*.networks.*.ipv4_address": ("an IPv4 address", address(4)),
    "services.*.networks.*.ipv6_address": ("an IPv6 address", address(6)),
    "services.*.networks.*.link_local_ips[]": ("a link-local address (169.254.…)", forms.link_local),
    "services.*.networks.*.mac_address": ("six bytes of one station (02:42:…)", forms.mac),
    "services.*.pid": ("host or service:NAME", lambda value: _namespace(value)),
    "services.*.platform": ("OS/ARCHITECTURE, perhaps with /VARIANT", forms.platform),
    "services.*.ports[].host_ip": ("an address", forms.host_address),
    "services.*.ports[].mode": ("ingress or host", one_of("ingress", "host")),
    "services.*.ports[].protocol": ("tcp, udp or sctp", one_of("tcp", "udp", "sctp", "TCP", "UDP", "SCTP")),
    "services.*.ports[].published": ("a port or a range from 0 to 65535", forms.ports),
    "services.*.ports[].target": (_PORT, between(1, 65535)),
    "services.*.restart": ("no, always, unless-stopped or on-failure[:TIMES]", forms.restart),
    "services.*.scale": (_RATE, _count),
    "services.*.secrets[].mode": (_MODE, lambda value: _mode(_octal(value))),
    "services.*.secrets[].target": ("a file's name or path", lambda value: bool(str(value).strip("/."))),
    "services.*.shm_size": (_RATE, _count),
    "services.*.stop_signal": ("a signal's name or number (SIGTERM, 15)", forms.signal),
    "services.*.tmpfs[]": ("an absolute path below /, with options of tmpfs behind a colon", forms.tmpfs),
    "services.*.ulimits.*": (_LIMIT, lambda value: isinstance(value, Mapping) or _limit(value)),
    "services.*.ulimits.*.hard": (_LIMIT, _limit),
    "services.*.ulimits.*.soft": (_LIMIT, _limit),
    "services.*.user": ("a name, or a number up to 2147483647", forms.identity),
    "services.*.uts": ("host", one_of("host")),
    "services.*.volumes[].target": (_TARGET, forms.target),
    "services.*.volumes[].tmpfs.mode": (_MODE, lambda value: _mode(_octal(value))),
    "services.*.volumes[].tmpfs.size": (_RATE, _count),
    "services.*.volumes[].volume.subpath": ("a relative path within the volume", forms.subpath),
    "services.*.working_dir": ("an absolute path", lambda value: str(value).startswith("/")),
}  # fmt: skip
"""Path of a key in the canonical model, as in data/compose-keys.json (`!`: a dot within a name) → the required form."""

_OF_DRIVER = {
    "json-file": ("max-size", "max-file", "labels", "labels-regex", "env", "env-regex", "tag", "compress"),
    "local": ("max-size", "max-file", "compress"),
    "journald": ("labels", "labels-regex", "env", "env-regex", "tag"),
}
"""Options of the engine's log drivers, beside those that all of them have."""

_SIZES = ("mem_limit", "mem_reservation", "memswap_limit", "shm_size")
_DRIVE = re.compile(r"[A-Za-z]:/")
_FRACTION = re.compile(r"[+-]?[0-9][0-9_]*(\.[0-9]*)?([eE][+-]?[0-9]+)?|\.[0-9]+")

_OF_ALL = ("mode", "max-buffer-size")

_OWNERS = ("ports", "hostname", "dns", "extra_hosts", "expose", "links")
"""Settings that the engine refuses together with another container's network."""


def findings(subject: Subject, memory: int) -> Iterator[Finding]:
    """`memory`: bytes for a service without a limit."""
    for path, (form, fits) in FORMS.items():
        for pointer, value in _values(subject.model, path.replace("[]", ".[]").split("."), ()):
            if value is not None and value != "" and not fits(value):
                yield _finding(subject, pointer, value, form)
    for service in subject.services():
        yield from _memory_of(service, memory)
        yield from _processors(service)
        yield from _ulimits(service)
        yield from _targets(service)
        yield from _shared_network(service)
        yield from _log_options(service)
        yield from addresses.of_service(service)
        if "" in (service.model.get("environment") or {}):
            yield service.finding(RULE, ("environment",), "a variable of environment has no name")
        if "" in (service.model.get("labels") or {}):
            yield service.finding(RULE, ("labels",), "a label has no name")
        if service.model.get("entrypoint") == [""] and not service.model.get("command"):
            yield service.finding(RULE, ("entrypoint",), "entrypoint is empty, and there is no command")
    yield from addresses.of_networks(subject)


def dropped(service: ServiceSubject, written: Callable[..., str | None]) -> Iterator[Finding]:
    """Sizes that are in a file and not in the model: Compose drops fractions without a message."""
    for key in _SIZES:
        text = written("services", service.name, key) if service.model.get(key) is None else None
        if text and _FRACTION.fullmatch(text) and float(text):
            what = f"{key} {text} is no size that Compose reads, and is left out"
            yield service.finding("dropped-value", (key,), what)


def _values(node: Any, parts: list[str], pointer: Pointer) -> Iterator[tuple[Pointer, Any]]:
    """All values at such a path; Compose writes some keys (blkio_config) with a capital."""
    if not parts:
        yield pointer, node
        return
    part = parts[0].replace("!", ".")
    found: Iterable[tuple[str | int, Any]]
    if part == "[]":
        found = list(enumerate(node)) if isinstance(node, list) else []
    elif not isinstance(node, Mapping):
        return
    elif part == "*":
        found = list(node.items())
    else:
        found = [(name, node[name]) for name in (part, part.capitalize()) if name in node][:1]
    for name, item in found:
        yield from _values(item, parts[1:], (*pointer, name))


def _finding(subject: Subject, pointer: Pointer, value: Any, form: str) -> Finding:
    service = str(pointer[1]) if pointer[0] == "services" else None
    names = pointer[2:] if service else pointer
    name = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in names).removeprefix(".")
    text = f"{name} is {shorten(_text(value))}, not {form}"
    if _DRIVE.match(str(value)):
        text += " (Compose takes one letter before a colon for a drive; give the volume a longer name)"
    return Finding(subject.stack, RULE, pointer, f"service {service}: {text}" if service else text, service)


def _text(value: Any) -> str:
    return "[" + ", ".join(map(str, value)) + "]" if isinstance(value, list) else str(value)


def _octal(value: object) -> object:
    """Compose 2.40 prints modes in octal, 2.26 in decimal."""
    text = str(value)
    return int(text, 8) if text.startswith("0") and set(text) <= set("01234567") else value


def _namespace(value: object, *words: str) -> bool:
    kind, colon, name = str(value).partition(":")
    return value in ("host", *words) or (kind in ("service", "container") and bool(colon and name))


def _memory_of(service: ServiceSubject, default: int) -> Iterator[Finding]:
    resources: Json = (service.model.get("deploy") or {}).get("resources") or {}
    limit, _ = service_memory(service.model, default)
    for pointer, value in (
        (("mem_reservation",), service.model.get("mem_reservation")),
        (("deploy", "resources", "reservations", "memory"), (resources.get("reservations") or {}).get("memory")),
    ):
        if (whole(value) or 0) > limit:
            what = f"{shown(whole(value) or 0)} of memory are reserved, and its limit is {shown(limit)}"
            yield service.finding(RULE, pointer, what)


def _processors(service: ServiceSubject) -> Iterator[Finding]:
    limits: Json = ((service.model.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    for key in ("cpu_quota", "cpu_period"):
        if service.model.get(key) and (service.model.get("cpus") or limits.get("cpus")):
            yield service.finding(RULE, (key,), f"{key} beside a number of processors; the engine takes one of them")


def _ulimits(service: ServiceSubject) -> Iterator[Finding]:
    for name, value in (service.model.get("ulimits") or {}).items():
        soft, hard = (value.get("soft", 0), value.get("hard", 0)) if isinstance(value, Mapping) else (value, value)
        low, high = (float("inf") if whole(item) == -1 else whole(item) or 0 for item in (soft, hard))
        if not forms.rlimit(name):
            what = f"ulimits.{name} is no limit that Linux has"
        elif low > high:
            what = f"ulimits.{name} is {soft}, above its hard limit {hard}"
        elif name.lower() == "nofile" and high == float("inf"):
            what = "ulimits.nofile is -1, and open files always have a limit"
        else:
            continue
        yield service.finding(RULE, ("ulimits", name), what)


def _targets(service: ServiceSubject) -> Iterator[Finding]:
    """Two mounts at one target. Compose accepts some of them (`/d` and `/d/`), and the engine none."""
    taken: set[str] = set()
    for place, path in _mounted(service.model):
        target = normal(path)
        if target in taken:
            yield service.finding(RULE, place, f"something else is mounted at {target}, too")
        taken.add(target)


def _mounted(model: Json) -> Iterator[tuple[Pointer, str]]:
    """The place and the target of each mount."""
    for index, mount in enumerate(model.get("volumes") or ()):
        yield ("volumes", index), str(mount.get("target") or "")
    for index, line in enumerate(model.get("tmpfs") or ()):
        yield ("tmpfs", index), str(line).partition(":")[0]
    for kind in ("configs", "secrets"):
        for index, use in enumerate(model.get(kind) or ()):
            yield (kind, index), file_target(kind, use)


def _shared_network(service: ServiceSubject) -> Iterator[Finding]:
    mode = str(service.model.get("network_mode") or "")
    if mode.startswith(("service:", "container:")):
        for key in _OWNERS:
            if service.model.get(key):
                what = f"{key} beside network_mode {mode}; it belongs to the service whose network it is"
                yield service.finding(RULE, (key,), what)
    if service.model.get("uts") == "host" and service.model.get("hostname"):
        yield service.finding(RULE, ("hostname",), "hostname beside uts: host")


def _log_options(service: ServiceSubject) -> Iterator[Finding]:
    logging: Json = service.model.get("logging") or {}
    driver = str(logging.get("driver") or "")
    for name in sorted(logging.get("options") or {}) if driver in _OF_DRIVER else ():
        if name not in (*_OF_DRIVER[driver], *_OF_ALL):
            yield service.finding(RULE, ("logging", "options", name), f"the log driver {driver} has no option {name}")
