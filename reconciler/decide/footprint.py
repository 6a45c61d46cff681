"""Memory of a container beside its own limit, and memory of volumes.

`validate`, `plan` and `status` all use these figures. They are proportional shares (PSS), measured with engine 26.1 and
containerd 1.7 on Linux 6.18, amd64, and rounded up; docs/memory.md has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from reconciler.formats.quantities import QuantityError, size
from reconciler.model.desired import Condition, DesiredState, Service, ServiceKey, Volume
from reconciler.model.documents import MIB
from reconciler.model.facts import port
from reconciler.model.observed import Container, Foreign, ObservedState

Json = Mapping[str, Any]
K = TypeVar("K")

CONTAINER = 8 * MIB
"""Bytes for each container: its shim (5.4 MiB among twelve, up to 5.7), and the engine's own data about it."""

PROXY = 5 * MIB // 4
"""Bytes for each `docker-proxy`: 1.10 MiB among 120 of TCP, 1.15 among 60 of UDP, 1.3 among few. A port that is
published on every address has two of them, for IPv4 and IPv6."""

LOG_BUFFER = 3
"""Factor by which the engine's memory exceeds `max-buffer-size` for non-blocking logs: 255 MiB for 100 MiB."""

SHARED_MEMORY = 64 * MIB
"""The engine's own `shm_size`."""

PROCESSES = 3 * SHARED_MEMORY
"""Containers that share processes can fill each other's /dev and /dev/shm: 64 MiB each, without its own /dev/shm. These
files stay in the other container, and count in no limit after the writer's end: when a container of 32 MiB was started
again, 20 MiB more stayed each time."""

INODE = 2048
"""Bytes of the kernel's own memory for one file in memory: inode, name and list entry are some 1.2 KiB."""

ONE_FAMILY = re.compile(r"(?!0\.0\.0\.0:)\S")


def overhead(config: Json) -> int:
    """Bytes of one container of a service beside its limit. `config`: the service in Compose's canonical form, or in
    that of the create-file."""
    ports = {_published(item) for item in config.get("ports") or ()}
    logging = config.get("logging") or {}
    return (
        CONTAINER
        + _proxies(ports)
        + _log_buffer(logging.get("options") or {})
        + _shared(str(config.get("ipc") or ""), config.get("shm_size"))
        + _processes(str(config.get("pid") or ""), config.get("shm_size"))
    )


def of_service(service: Service) -> int:
    """Bytes of one container, its limit included."""
    return service.memory + overhead(service.config)


def of_container(item: Container) -> int:
    """Bytes of one observed container, its limit included."""
    facts = item.facts
    if not facts:
        return item.memory + CONTAINER + PROXY * len(item.ports)
    return (
        item.memory
        + CONTAINER
        + _proxies(facts.get("ports") or ())
        + _log_buffer(facts.get("log options") or {})
        + _shared(str(facts.get("ipc mode") or ""), facts.get("shared memory"))
        + _processes(str(facts.get("pid mode") or ""), facts.get("shared memory"))
    )


def of_foreign(item: Foreign) -> int:
    """Bytes of an unmanaged container, its limit included."""
    return item.memory + beside_limit(item)


def beside_limit(item: Foreign) -> int:
    """Memory of an unmanaged container beside its limit."""
    return CONTAINER + PROXY * len(item.ports)


def ending(waits: Iterable[tuple[K, str]]) -> frozenset[K]:
    """Services that are sure to end. Input: pairs of a service and the condition that another one waits for.

    They use memory only during a rollout. If nobody waits for the end of a service, it may run for ever and is counted
    so, even if exit 0 is its intended end (`Service.completes`).
    """
    return frozenset(service for service, condition in waits if condition == Condition.COMPLETED)


def ending_of(desired: DesiredState) -> frozenset[ServiceKey]:
    """The services of a state that are sure to end."""
    waits = (item for service in desired.services().values() for item in service.depends_on)
    return ending(((item.stack, item.service), item.condition) for item in waits)


def steady(desired: DesiredState) -> int:
    """Bytes of all services except one-shots, with the volumes in memory."""
    services, ends = desired.services().values(), ending_of(desired)
    used = {name for service in services if service.replicas for name in mounted(service.config)}
    return sum(of_service(service) * service.replicas for service in services if service.key not in ends) + sum(
        size for name, size in wanted_volumes(desired).items() if name in used
    )


def committed(observed: ObservedState) -> int:
    """Bytes that our running containers may use, with the volumes in memory that they mount."""
    running = [item for item in observed.containers if item.running]
    used = {name for item in running for name in mounted_by(item)}
    return sum(map(of_container, running)) + sum(
        size for name, size in observed_volumes(observed).items() if name in used
    )


# -- volumes in memory -------------------------------------------------------------------------------------------------


def in_memory(options: Mapping[str, Any]) -> bool:
    """Whether a volume with these `driver_opts` is in memory."""
    return options.get("type") == "tmpfs"


def volume(options: Mapping[str, Any]) -> int | None:
    """Largest size of a volume in memory in bytes; None if its options set no bound that we understand.

    Pages stay with the volume, not with the container that wrote them: a restarted container may fill it again, but
    never beyond its size. So the size counts once, beside all limits.
    """
    found = _mount_options(options)
    pages = kernel_number(found.get("size"))
    files = kernel_number(found["nr_inodes"]) if "nr_inodes" in found else pages and default_inodes(pages)
    return pages + files * INODE if pages and files else None


def kernel_number(text: str | None) -> int | None:
    """A number as the kernel reads it in mount options (`64m`). None for anything else, and for 0: no bound."""
    match = re.fullmatch(r"([0-9]{1,18})([kmgt]?)", text or "", re.IGNORECASE)
    return int(match[1]) << 10 * " kmgt".index(match[2].lower() or " ") or None if match else None


def default_inodes(pages: int) -> int:
    """Number of files of a volume whose options do not limit it: one for each page. The kernel's own default counts the
    pages of the whole machine, and files need memory, too."""
    return max(1024, pages // 4096)


def as_made(asked: Volume) -> Volume:
    """The volume with its final options: a volume in memory without a limit of files gets one."""
    options = asked.definition.get("driver_opts") or {}
    found = _mount_options(options)
    pages = kernel_number(found.get("size"))
    if not in_memory(options) or pages is None or "nr_inodes" in found:
        return asked
    made = {**options, "o": f"{options['o']},nr_inodes={default_inodes(pages)}"}
    return replace(asked, definition={**asked.definition, "driver_opts": made})


def wanted_volumes(desired: DesiredState) -> dict[str, int]:
    """The engine's name → bytes of each volume in memory; volumes of suspended stacks are not changed."""
    return {
        item.name: bytes_of(item.definition)
        for stack in desired.stacks
        if not stack.suspended
        for item in stack.volumes
        if in_memory(item.definition.get("driver_opts") or {})
    }


def observed_volumes(observed: ObservedState) -> dict[str, int]:
    """The engine's name → bytes of each existing volume in memory."""
    return {name: volume(item.options) or 0 for name, item in observed.volumes.items() if in_memory(item.options)}


def bytes_of(definition: Json) -> int:
    """Bytes of a volume in memory by Compose's definition; 0 without a bound."""
    return volume(definition.get("driver_opts") or {}) or 0


def mounted(config: Json) -> set[str]:
    """The volumes that a service mounts: by key in the canonical model, by the engine's name in the create-file."""
    return {
        str(mount["source"])
        for mount in config.get("volumes") or ()
        if mount.get("type") == "volume" and mount.get("source")
    }


def mounted_by(item: Container) -> set[str]:
    """The names of the volumes that an observed container mounts."""
    return {mount.source for mount in item.mounts if mount.kind == "volume"}


# -- parts -------------------------------------------------------------------------------------------------------------


def _mount_options(options: Mapping[str, Any]) -> dict[str, str]:
    """Mount option → value. Of several values the last one counts, as in the kernel."""
    return dict(part.partition("=")[::2] for part in str(options.get("o") or "").split(",") if part)


def _published(item: Json) -> str:
    target = f"{item.get('target')}/{item.get('protocol') or 'tcp'}"
    return port(item.get("host_ip") or "", str(item.get("published") or ""), target)


def _proxies(ports: Iterable[str]) -> int:
    """Bytes of the proxies. `ports`: in the form of `model.facts.port`."""
    return PROXY * sum(1 if ONE_FAMILY.match(item) else 2 for item in ports)


def _log_buffer(options: Mapping[str, Any]) -> int:
    if options.get("mode") != "non-blocking":
        return 0
    return LOG_BUFFER * (_size(options.get("max-buffer-size")) or MIB)


def _shared(ipc: str, shm_size: Any) -> int:
    """Shared memory that others can use outlives the container that wrote it, and then counts in no limit: once for
    files in /dev/shm, once for System V segments, which `kernel.shmall` bounds."""
    return 2 * (_size(shm_size) or SHARED_MEMORY) if ipc == "shareable" else 0


def _processes(pid: str, shm_size: Any) -> int:
    return PROCESSES + (_size(shm_size) or SHARED_MEMORY) if pid.startswith(("service:", "container:")) else 0


def shared_memory(config: Json) -> int:
    """Bytes of a service's `/dev/shm`."""
    return _size(config.get("shm_size")) or SHARED_MEMORY


def _size(value: Any) -> int:
    """The size; 0 if it is none."""
    try:
        return size(value) if isinstance(value, int) else size(str(value))
    except QuantityError:
        return 0
