"""Keys that are judged by value: namespaces, capabilities, confinement, kernel settings, groups."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import replace

from reconciler.decide.admit.policies.sharing import namespace
from reconciler.decide.admit.policies.subject import Finding, ServiceSubject
from reconciler.formats.compose_names import NAMESPACES
from reconciler.formats.grants import normal

SAFE_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
"""Capabilities that the engine gives every container (moby, oci/caps/defaults.go)."""

SAFE_SECURITY = frozenset({"no-new-privileges", "apparmor=docker-default", "seccomp=builtin"})
"""Options that do not weaken the engine's own confinement; no-new-privileges with any value."""

SAFE_SYSCTLS = (
    "net.core.somaxconn",
    "net.ipv4.conf.*",
    "net.ipv4.fwmark_reflect",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_*",
    "net.ipv6.conf.*",
    "net.ipv6.ip_nonlocal_bind",
)
"""Settings that the kernel keeps apart for each network namespace and that open nothing on the host: the container
forwards what reaches its own namespace. In the host's namespace they would change the host."""

_SYSCTL = re.compile(r"[a-z0-9_-]+(\.[a-zA-Z0-9_-]+)+")

SAFE_RUNTIMES = re.compile(r"runc|io\.containerd\.[a-z0-9-]+\.v[0-9]+")
"""runc, and the shims that containerd finds by this name among the host's programs (Wasm, Kata, gVisor). Anything else
may be a path, which the engine would execute, or a runtime that gives access to devices."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,20}")
REFUSED_GROUPS = frozenset({"0", "root", "docker"})
FOR_PEOPLE = "org.opencontainers.image."
"""Prefixes of annotations that no runtime obeys. Runtimes obey others: org.systemd.property., run.oci.,
io.katacontainers., dev.gvisor., cdi.k8s.io/ and more in the future."""

_NETWORK_MODES = frozenset({"", "bridge", "default", "none"})
_OWN_NAMESPACES = frozenset({"", "none", "private", "shareable"})
"""With these a container has a namespace of its own. Engines know more words for other namespaces: podman's
`ns:/proc/1/…`."""


def findings(service: ServiceSubject) -> Iterator[Finding]:
    yield from _namespaces(service)
    yield from _foreign_volumes(service)
    yield from _capabilities(service)
    yield from _security(service)
    yield from _sysctls(service)
    yield from _process(service)
    yield from _annotations(service)


def _namespaces(service: ServiceSubject) -> Iterator[Finding]:
    for key in (*NAMESPACES, "uts", "cgroup", "userns_mode"):
        value = namespace(service, key)
        kind, _, name = value.partition(":")
        if value == "host":
            via = "" if service.model[key] == "host" else f" by {service.model[key]}"
            yield service.finding("host-namespace", (key,), f"{key}: host{via}", value=key)
        elif kind == "container":
            found = service.finding("foreign-container", (key,), f"{key} of the container {name}", value=name)
            yield _by_service(service, found, f"{key}: service:")
        elif key == "network_mode" and kind != "service" and value not in _NETWORK_MODES:
            what = f"network_mode names the network {value}"
            yield service.finding("external-network", (key,), what, value=value)
        elif key != "network_mode" and kind != "service" and value not in _OWN_NAMESPACES:
            yield service.finding("host-namespace", (key,), f"{key}: {value} is no namespace of its own", value=key)


def _foreign_volumes(service: ServiceSubject) -> Iterator[Finding]:
    for index, source in enumerate(service.model.get("volumes_from") or ()):
        if str(source).startswith("container:"):
            # container:NAME, and :ro or :rw behind it
            name = str(source).split(":")[1]
            what = f"volumes of the container {name}"
            found = service.finding("foreign-container", ("volumes_from", index), what, value=name)
            yield _by_service(service, found, "volumes_from: ")


def _by_service(service: ServiceSubject, found: Finding, written: str) -> Finding:
    """A container of this stack must be named by its service. With a grant, the commit would pass, and the container
    would be created with one that is about to be replaced."""
    for name, model in (service.of.model.get("services") or {}).items():
        if name != service.name and found.value in (model.get("container_name"), f"{service.of.stack}-{name}-1"):
            hint = f"Write `{written}{name}`: {name} of this stack has that container, which is replaced with it."
            return replace(found, hint=hint, corrected=True)
    return found


def _capabilities(service: ServiceSubject) -> Iterator[Finding]:
    for index, capability in enumerate(service.model.get("cap_add") or ()):
        name = normal("capability", str(capability))
        if name not in SAFE_CAPABILITIES:
            yield service.finding("capability", ("cap_add", index), f"capability {capability}", value=name)


def _security(service: ServiceSubject) -> Iterator[Finding]:
    for index, option in enumerate(service.model.get("security_opt") or ()):
        name = normal("security-opt", str(option))
        if name not in SAFE_SECURITY and not name.startswith("no-new-privileges="):
            yield service.finding("security-opt", ("security_opt", index), f"security_opt {option}", value=name)


def _sysctls(service: ServiceSubject) -> Iterator[Finding]:
    own = namespace(service, "network_mode") != "host"
    for name in sorted(service.model.get("sysctls") or {}):
        dotted = normal("sysctl", name)
        named = own and _SYSCTL.fullmatch(dotted)
        if not named or not any(fnmatch.fnmatchcase(dotted, safe) for safe in SAFE_SYSCTLS):
            yield service.finding("sysctl", ("sysctls", name), f"sysctl {name}", value=dotted)


def _process(service: ServiceSubject) -> Iterator[Finding]:
    runtime = service.model.get("runtime")
    if runtime and not SAFE_RUNTIMES.fullmatch(str(runtime)):
        yield service.finding("runtime", ("runtime",), f"runtime {runtime}", value=str(runtime))
    if int(service.model.get("oom_score_adj") or 0) < 0:
        yield service.finding("oom-score", ("oom_score_adj",), "oom_score_adj is negative")
    for index, group in enumerate(service.model.get("group_add") or ()):
        name = str(group).strip()
        name = str(int(name)) if _NUMBER.fullmatch(name) else name
        if name in REFUSED_GROUPS:
            yield service.finding("group-add", ("group_add", index), f"group {group}", value=name)


def _annotations(service: ServiceSubject) -> Iterator[Finding]:
    for name in sorted(service.model.get("annotations") or {}):
        if not name.startswith(FOR_PEOPLE):
            yield service.finding("runtime-annotation", ("annotations", name), f"annotation {name}", value=name)
