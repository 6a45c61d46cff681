"""Networks, volumes and labels, which a stack makes beside its containers."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import replace

from reconciler.decide.admit.policies import shares
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.decide.mounts.mount_paths import inside
from reconciler.formats.cidr import lies_in
from reconciler.formats.yamls import Pointer

RESERVED_LABELS = ("com.docker.compose.", "dev.reconciler.")
NETWORK_DRIVERS = frozenset({"", "bridge", "default"})
NETWORK_OPTIONS = frozenset(
    f"com.docker.network.{name}"
    for name in (
        "bridge.enable_icc",
        "bridge.enable_ip_masquerade",
        "bridge.host_binding_ipv4",
        "container_iface_prefix",
        "driver.mtu",
        "enable_ipv6",
    )
)
"""Options of the bridge driver that affect only the new network; the others name interfaces of the host."""

RESERVED_NETWORKS = frozenset({"bridge", "default", "docker_gwbridge", "host", "ingress", "none"})
"""Names that are not made as networks: `host` would be the host's own network."""

LOGGING_DRIVERS = frozenset({"", "json-file", "local", "journald", "none"})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""Names that the engine allows. Anything else could be a path to it."""

ID = re.compile(r"[0-9a-f]{64}")
"""The engine takes such a name for an object's id first, which would be a foreign object."""

TMPFS_OPTIONS = frozenset({"size", "uid", "gid", "mode", "nr_inodes", "noexec", "nosuid", "nodev"})


def findings(subject: Subject) -> Iterator[Finding]:
    for name, definition in sorted((subject.model.get("networks") or {}).items()):
        yield from _network(subject, definition or {}, ("networks", name))
    for name, definition in sorted((subject.model.get("volumes") or {}).items()):
        yield from _volume(subject, definition or {}, ("volumes", name))


def label_findings(service: ServiceSubject) -> Iterator[Finding]:
    """Labels of the service, of its image and of the volumes that it makes."""
    build: Json = service.model.get("build") or {}
    holders: list[tuple[Pointer, Json]] = [((), service.model), (("build",), build)]
    for index, mount in enumerate(service.model.get("volumes") or ()):
        holders.append((("volumes", index), mount.get("volume") or {}))
    for place, holder in holders:
        for label in _reserved(holder):
            yield service.finding("reserved-label", (*place, "labels", label), f"label {label}")


def logging_findings(service: ServiceSubject) -> Iterator[Finding]:
    driver = (service.model.get("logging") or {}).get("driver") or ""
    if driver not in LOGGING_DRIVERS:
        yield service.finding("logging-driver", ("logging", "driver"), f"logs go to {driver}", value=driver)


def _network(subject: Subject, definition: Json, place: Pointer) -> Iterator[Finding]:
    yield from _name(subject, definition, place, RESERVED_NETWORKS)
    yield from _subnets(subject, definition, place)
    driver = definition.get("driver") or ""
    if driver not in NETWORK_DRIVERS:
        what = f"network {place[1]} uses the driver {driver}"
        rule = "swarm-only" if driver == "overlay" else "network-driver"
        yield subject.finding(rule, (*place, "driver"), what, driver)
    for option in sorted(set(definition.get("driver_opts") or {}) - NETWORK_OPTIONS):
        pointer = (*place, "driver_opts", option)
        what = f"network {place[1]} uses the driver option {option}"
        yield subject.finding("network-driver", pointer, what, f"{option}={definition['driver_opts'][option]}")
    addresses = (definition.get("ipam") or {}).get("driver") or ""
    if addresses not in ("", "default"):
        pointer = (*place, "ipam", "driver")
        what = f"network {place[1]} has addresses from {addresses}"
        yield subject.finding("network-driver", pointer, what, f"ipam={addresses}")
    yield from _labels(subject, definition, place)


def _name(subject: Subject, definition: Json, place: Pointer, reserved: Collection[str] = ()) -> Iterator[Finding]:
    name = str(definition.get("name") or place[1])
    if name in reserved or not NAME.fullmatch(name) or ID.fullmatch(name):
        yield subject.finding("reserved-name", (*place, "name"), f"{place[0]}.{place[1]} is called {name}")


def _subnets(subject: Subject, definition: Json, place: Pointer) -> Iterator[Finding]:
    """Addresses that the commit chooses: the subnet, and addresses outside of it."""
    allowed = subject.permissions.address_pool
    for index, pool in enumerate((definition.get("ipam") or {}).get("config") or ()):
        for key, text in _chosen(pool or {}):
            inside = key != "subnet" and lies_in(text, [str(pool.get("subnet") or "")])
            if not inside and not lies_in(text, allowed):
                pointer = (*place, "ipam", "config", index, key)
                yield subject.finding("network-subnet", pointer, f"network {place[1]} takes {text}", text)


def _chosen(pool: Json) -> Iterator[tuple[str, str]]:
    for key in ("subnet", "gateway", "ip_range"):
        if pool.get(key):
            yield key, str(pool[key])
    for address in (pool.get("aux_addresses") or {}).values():
        yield "aux_addresses", str(address)


def _volume(subject: Subject, definition: Json, place: Pointer) -> Iterator[Finding]:
    yield from _name(subject, definition, place)
    driver = definition.get("driver") or "local"
    options = definition.get("driver_opts") or {}
    if driver != "local":
        what = f"volume {place[1]} uses the driver {driver}"
        yield subject.finding("volume-driver", (*place, "driver"), what, driver)
    elif options and not _tmpfs(options):
        value = shares.source(options)
        found = subject.finding("volume-driver", (*place, "driver_opts"), f"volume {place[1]} is {value}", value)
        path = inside(str(options.get("device") or ""), subject.root)
        if path is not None:
            # Compose has made the path absolute, in a temporary folder, so no grant could name it.
            hint = f"Mount the folder itself: `./{path}:TARGET` below volumes of the service, and drop this volume."
            found = replace(found, message=f"volume {place[1]} is ./{path}", hint=hint, corrected=True)
        yield found
    yield from _labels(subject, definition, place)


def _tmpfs(options: Json) -> bool:
    """Whether the options describe only memory: `o: bind` would mount whatever `device` names."""
    if (options.get("type"), options.get("device")) != ("tmpfs", "tmpfs") or set(options) - {"type", "device", "o"}:
        return False
    names = {part.partition("=")[0] for part in str(options.get("o") or "").split(",") if part}
    return names <= TMPFS_OPTIONS


def _labels(subject: Subject, definition: Json, place: Pointer) -> Iterator[Finding]:
    for label in _reserved(definition):
        what = f"{place[0]}.{place[1]} has the label {label}"
        yield subject.finding("reserved-label", (*place, "labels", label), what)


def _reserved(holder: Json) -> list[str]:
    return sorted(label for label in holder.get("labels") or {} if label.startswith(RESERVED_LABELS))
