"""Resources that a service may use beside memory and processors. Each is capped, or counted, or both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reconciler.decide import footprint
from reconciler.decide.admit.budget import replicas, service_memory
from reconciler.decide.admit.policies.sharing import processes_with
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject, Subject
from reconciler.formats.quantities import QuantityError, seconds, shown, size
from reconciler.model.documents import GIB, MIB

MOST_PORTS, MOST_PORTS_OF_HOST = 100, 400
"""Published ports, over all replicas. The engine needs one or two processes and a firewall rule for each."""

MOST_PIDS = 16_384
"""Half of the 32,768 processes that many kernels allow on the whole machine."""

LARGEST_LOG_BUFFER = 4 * MIB
"""The buffer is memory of the engine, not of the container."""

LARGEST_LOG = GIB
"""Bytes of all log files of one container."""

MOST_LOG_FILES = 1000

PROBE_INTERVAL = "probe-interval"
SHORTEST_PROBE = 0.1
"""Seconds. A probe takes 30 to 50 ms of a processor, and the engine accepts intervals down to a millisecond."""

WHOLE = re.compile(r"-?[0-9]{1,19}")


def findings(service: ServiceSubject) -> Iterator[Finding]:
    yield from _swap(service)
    yield from _processes(service)
    yield from _realtime(service)
    yield from _logs(service)
    yield from _probes(service)
    yield from _reached_memory(service)
    number = _ports(service)
    if number > MOST_PORTS:
        what = f"publishes {number} ports, and the maximum is {MOST_PORTS}"
        yield service.finding("too-many-ports", ("ports",), what)


def ports_of_host(subjects: Sequence[Subject]) -> Iterator[Finding]:
    """Reported at the service with the most ports, unless that service alone exceeds the cap."""
    services = [service for subject in subjects for service in subject.services()]
    number = sum(map(_ports, services))
    if number > MOST_PORTS_OF_HOST and max(map(_ports, services)) <= MOST_PORTS:
        what = f"the host's services publish {number} ports together, and the maximum is {MOST_PORTS_OF_HOST}"
        yield max(services, key=_ports).finding("too-many-ports", ("ports",), what)


def volume_findings(subject: Subject) -> Iterator[Finding]:
    """Volumes in memory without a size: the kernel would allow each half of the machine's memory."""
    for name, definition in sorted((subject.model.get("volumes") or {}).items()):
        options: Json = (definition or {}).get("driver_opts") or {}
        if footprint.in_memory(options) and footprint.volume(options) is None:
            what = f"volume {name} lies in memory, and its options ({options.get('o') or 'none'}) set no size"
            yield subject.finding("tmpfs-size", ("volumes", name, "driver_opts"), what)


def _reached_memory(service: ServiceSubject) -> Iterator[Finding]:
    """Files in memory of a service that shares its processes: the others can write to them by /proc/<pid>/root, and
    these files stay when the writer has ended. The memory of /dev and /dev/shm, which each container has, is counted
    (`footprint.PROCESSES`)."""
    others = ", ".join(sorted(processes_with(service)))
    if not others:
        return
    what = f"it shares its processes with {others}, which could fill its"
    mounts = service.model.get("volumes") or ()
    for index, mount in enumerate(mounts):
        if mount.get("type") == "tmpfs":
            yield service.finding("tmpfs-size", ("volumes", index), f"{what} tmpfs at {mount.get('target')}")
    for index, target in enumerate(service.model.get("tmpfs") or ()):
        yield service.finding("tmpfs-size", ("tmpfs", index), f"{what} tmpfs at {str(target).partition(':')[0]}")
    if footprint.shared_memory(service.model) > footprint.SHARED_MEMORY:
        yield service.finding("tmpfs-size", ("shm_size",), f"{what} /dev/shm of {service.model['shm_size']}")


def _ports(service: ServiceSubject) -> int:
    published = {(item.get("host_ip"), str(item.get("published")), item.get("target"), item.get("protocol"))
                 for item in service.model.get("ports") or ()}  # fmt: skip
    return len(published) * replicas(service.model)


def _swap(service: ServiceSubject) -> Iterator[Finding]:
    asked = _whole(service.model.get("memswap_limit"))
    memory, is_default = service_memory(service.model, 0)
    if asked == 0:
        return
    if asked is None or asked < 0:
        what = f"memswap_limit {service.model['memswap_limit']} is no limit"
    elif is_default:
        what = "memswap_limit without mem_limit"
    elif asked > memory:
        what = f"memswap_limit is {shown(asked - memory)} above the memory's limit"
    elif asked < memory:
        what = "memswap_limit is below the memory's limit, which the engine refuses"
    else:
        return
    yield service.finding("swap", ("memswap_limit",), what)


def _processes(service: ServiceSubject) -> Iterator[Finding]:
    limits = ((service.model.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    for place, value in ((("pids_limit",), service.model.get("pids_limit")),
                         (("deploy", "resources", "limits", "pids"), limits.get("pids"))):  # fmt: skip
        number = _whole(value)
        if number is None or number < 0 or number > MOST_PIDS:
            what = f"{value} processes, and 1 to {MOST_PIDS} are allowed"
            yield service.finding("pids-limit", place, what)


def _realtime(service: ServiceSubject) -> Iterator[Finding]:
    for key in ("cpu_rt_runtime", "cpu_rt_period"):
        if str(service.model.get(key) or "0") not in ("0", "0s"):
            yield service.finding("realtime", (key,), f"{key} is set")
    if _limit((service.model.get("ulimits") or {}).get("rtprio")) != 0:
        yield service.finding("realtime", ("ulimits", "rtprio"), "ulimits.rtprio is set")


def _limit(value: object) -> int | None:
    values = (value.get("soft"), value.get("hard")) if isinstance(value, dict) else (value,)
    return next((number for number in map(_whole, values) if number != 0), 0)


def _logs(service: ServiceSubject) -> Iterator[Finding]:
    options: Json = (service.model.get("logging") or {}).get("options") or {}
    buffer = options.get("max-buffer-size")
    if buffer not in (None, "") and not 0 < _bytes(buffer) <= LARGEST_LOG_BUFFER:
        what = f"a log buffer of {buffer}, and the maximum is {LARGEST_LOG_BUFFER // MIB}m"
        yield service.finding("log-buffer", ("logging", "options", "max-buffer-size"), what)
    for prefix in ("", "cache-"):  # the engine keeps local copies for log drivers that cannot read logs
        largest, number = options.get(f"{prefix}max-size"), options.get(f"{prefix}max-file")
        files = 1 if number in (None, "") else _whole(number)
        if files is None or not 1 <= files <= MOST_LOG_FILES:
            yield service.finding("log-size", ("logging", "options", f"{prefix}max-file"), f"{number} log files")
        elif largest not in (None, "") and not 0 < _bytes(largest) * files <= LARGEST_LOG:
            what = f"logs of {files} × {largest}, and the maximum together is {LARGEST_LOG // GIB}g"
            yield service.finding("log-size", ("logging", "options", f"{prefix}max-size"), what)


def _probes(service: ServiceSubject) -> Iterator[Finding]:
    check: Json = service.model.get("healthcheck") or {}
    for key in ("interval", "start_interval"):
        value = str(check.get(key) or "")
        if 0 < _seconds(value) < SHORTEST_PROBE:
            yield service.finding(PROBE_INTERVAL, ("healthcheck", key), too_often(value))


def too_often(interval: str) -> str:
    return f"a probe each {interval}, and the minimum is {SHORTEST_PROBE * 1000:g} ms"


def _whole(value: object) -> int | None:
    """The whole number; 0 if nothing is set, None if it is no whole number."""
    text = str(value if value is not None else 0).strip()
    return int(text) if WHOLE.fullmatch(text) else None


def _bytes(value: object) -> int:
    """The size in bytes; -1 if it is no size."""
    try:
        return size(str(value))
    except QuantityError:
        return -1


def _seconds(text: str) -> float:
    """The seconds; -1 if it is no duration, which Compose or the engine rejects."""
    try:
        return seconds(text)
    except QuantityError:
        return -1.0
