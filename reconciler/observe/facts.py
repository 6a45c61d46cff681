"""Facts of an inspected container, in the words of `model.facts`. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from reconciler.model.facts import capabilities, healthcheck, labels, port, security_options

Answer = Mapping[str, Any]


def of(answer: Answer) -> dict[str, Any]:
    """Fact → value, from the engine's answer to an inspect."""
    config, host = answer["Config"], answer["HostConfig"]
    return {
        "image": answer.get("Image", ""),
        **_limits(host),
        **_rights(host),
        **_namespaces(host),
        **_settings(config, host),
        **_program(config),
        "mounts": _mounts(answer),
        "ports": frozenset(_ports(host.get("PortBindings") or {})),
        "networks": _networks(answer),
    }


def _limits(host: Answer) -> dict[str, Any]:
    return {
        "memory": host.get("Memory") or 0,
        "memory with swap": host.get("MemorySwap") or 0,
        "memory reservation": host.get("MemoryReservation") or 0,
        "cpus": host.get("NanoCpus") or 0,
        "cpu shares": host.get("CpuShares") or 0,
        "cpu set": host.get("CpusetCpus") or "",
        "cpu quota": host.get("CpuQuota") or 0,
        "pids": max(host.get("PidsLimit") or 0, 0),
    }


def _rights(host: Answer) -> dict[str, Any]:
    return {
        "privileged": bool(host.get("Privileged")),
        "read-only": bool(host.get("ReadonlyRootfs")),
        "added capabilities": capabilities(host.get("CapAdd")),
        "dropped capabilities": capabilities(host.get("CapDrop")),
        "security options": security_options(host.get("SecurityOpt")),
        "devices": frozenset(f"{d['PathOnHost']}:{d['PathInContainer']}" for d in host.get("Devices") or ()),
        "groups": frozenset(host.get("GroupAdd") or ()),
        "ulimits": {item["Name"]: (item["Soft"], item["Hard"]) for item in host.get("Ulimits") or ()},
    }


def _namespaces(host: Answer) -> dict[str, Any]:
    return {
        "network mode": host.get("NetworkMode") or "",
        "ipc mode": host.get("IpcMode") or "",
        "pid mode": host.get("PidMode") or "",
        "uts mode": host.get("UTSMode") or "",
        "user namespace": host.get("UsernsMode") or "",
        "cgroup namespace": host.get("CgroupnsMode") or "",
        "runtime": host.get("Runtime") or "",
    }


def _settings(config: Answer, host: Answer) -> dict[str, Any]:
    logging = host.get("LogConfig") or {}
    return {
        "host name": config.get("Hostname") or "",
        "domain name": config.get("Domainname") or "",
        "terminal": bool(config.get("Tty")),
        "open input": bool(config.get("OpenStdin")),
        "init": bool(host.get("Init")),
        "shared memory": host.get("ShmSize") or 0,
        "out-of-memory score": host.get("OomScoreAdj") or 0,
        "log driver": logging.get("Type") or "",
        "log options": logging.get("Config") or {},
        "system settings": host.get("Sysctls") or {},
        "further hosts": frozenset(host.get("ExtraHosts") or ()),
        "name servers": tuple(host.get("Dns") or ()),
        "name server options": tuple(host.get("DnsOptions") or ()),
        "search domains": tuple(host.get("DnsSearch") or ()),
    }


def _program(config: Answer) -> dict[str, Any]:
    environment = (item.partition("=") for item in config.get("Env") or () if "=" in item)
    return {
        "command": (*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())),
        "user": config.get("User") or "",
        "working folder": config.get("WorkingDir") or "",
        "stop signal": config.get("StopSignal") or "",
        "environment": {name: value for name, _, value in environment},
        "labels": labels(config.get("Labels") or {}),
        "health check": healthcheck(config.get("Healthcheck") or {}),
    }


def _mounts(answer: Answer) -> dict[str, tuple[str, str, bool]]:
    """The source of a bind is the requested path: some engines report a place inside their own virtual machine."""
    host = answer["HostConfig"]
    asked = {item["Target"]: item.get("Source") or "" for item in host.get("Mounts") or () if item["Type"] == "bind"}
    found = {
        posixpath.normpath(target): ("tmpfs", options, True) for target, options in (host.get("Tmpfs") or {}).items()
    }
    for mount in answer.get("Mounts") or ():
        target, kind = mount["Destination"], mount["Type"]
        source = asked.get(target) or mount.get("Source") or ""
        source = posixpath.normpath(source) if kind == "bind" else mount.get("Name") or ""
        found[posixpath.normpath(target)] = (kind, source, bool(mount.get("RW")))
    return found


def _ports(bindings: Answer) -> set[str]:
    return {
        port(outside.get("HostIp") or "", outside.get("HostPort") or "", target)
        for target, outsides in bindings.items()
        for outside in outsides or ()
    }


def _networks(answer: Answer) -> dict[str, dict[str, Any]]:
    running = bool(answer["State"].get("Running"))
    found = {}
    for name, endpoint in ((answer.get("NetworkSettings") or {}).get("Networks") or {}).items():
        addresses = endpoint.get("IPAMConfig") or {}
        found[name] = {
            "aliases": frozenset(endpoint.get("Aliases") or ()),
            "ipv4": addresses.get("IPv4Address") or "",
            "ipv6": addresses.get("IPv6Address") or "",
            # It does not exist before the container runs.
            "mac": (endpoint.get("MacAddress") or "") if running else None,
        }
    return found
