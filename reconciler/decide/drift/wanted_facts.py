"""The desired facts of a service's containers, from the create-file and the image, in the form of `inspect`.

Compose gives the create-file to the engine, and the engine fills unset keys from the image. Every rule here follows one
of theirs; a contract test compares containers that both Compose versions have made.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from reconciler.formats.quantities import seconds, size
from reconciler.model.desired import Service
from reconciler.model.facts import PERIODS, capabilities, healthcheck, labels, port, security_options
from reconciler.model.images import ImageDefaults

Json = Mapping[str, Any]

LIMITS = ("memory", "memory with swap", "memory reservation", "cpus", "cpu shares", "cpu set", "cpu quota", "pids")
"""Facts that `docker update` can change in a running container."""

OF_MEMORY = ("memory", "memory with swap", "memory reservation")
"""Limits that an engine without the memory controller drops: its containers have none."""

OTHERS = "*"
"""In place of a mount's target: the container may have further mounts."""


def wanted(service: Service, image: ImageDefaults | None) -> dict[str, Any]:
    """Fact → value. Without `image`, the facts that it decides are left out."""
    config = service.config
    facts = {
        "image": service.image,
        **limits(service),
        **_rights(config),
        **_namespaces(config),
        **_settings(config),
        "ports": frozenset(_port(item) for item in config.get("ports") or ()),
        **({} if image is None else _with_image(config, image)),
    }
    return {name: value for name, value in facts.items() if value is not None}


def limits(service: Service) -> dict[str, Any]:
    """Limits of the container. 0 and '' are no limit."""
    config = service.config
    resources = (config.get("deploy") or {}).get("resources") or {}
    most, least = resources.get("limits") or {}, resources.get("reservations") or {}
    cpus = most.get("cpus") or config.get("cpus") or 0
    swap = config.get("memswap_limit") or 0
    pids = int(most.get("pids") or config.get("pids_limit") or 0)
    return {
        "memory": service.memory,
        "memory with swap": -1 if str(swap) == "-1" else size(swap) or None,
        "memory reservation": size(least.get("memory") or config.get("mem_reservation") or 0),
        "cpus": round(float(cpus) * 10**9),
        "cpu shares": int(config.get("cpu_shares") or 0),
        "cpu set": str(config.get("cpuset") or ""),
        "cpu quota": int(config.get("cpu_quota") or 0),
        "pids": max(pids, 0),
    }


def _rights(config: Json) -> dict[str, Any]:
    return {
        "privileged": bool(config.get("privileged")),
        "read-only": bool(config.get("read_only")),
        "added capabilities": capabilities(config.get("cap_add")),
        "dropped capabilities": capabilities(config.get("cap_drop")),
        "security options": security_options(config.get("security_opt")),
        "devices": frozenset(_device(item) for item in config.get("devices") or ()),
        "groups": frozenset(map(str, config.get("group_add") or ())),
        "ulimits": {name: _ulimit(item) for name, item in (config.get("ulimits") or {}).items()},
    }


def _namespaces(config: Json) -> dict[str, Any]:
    """Left out here: namespaces that are shared with another container. `slots` compares those."""
    modes = {"network mode": "network_mode", "ipc mode": "ipc", "cgroup namespace": "cgroup", "runtime": "runtime"}
    asked = {fact: config.get(key) for fact, key in modes.items()}
    asked |= {"pid mode": config.get("pid") or "", "uts mode": config.get("uts") or ""}
    asked["user namespace"] = config.get("userns_mode") or ""
    return {fact: mode for fact, mode in asked.items() if mode is None or not _of_another(mode)}


def _of_another(mode: str) -> bool:
    return mode.startswith(("service:", "container:"))


def _settings(config: Json) -> dict[str, Any]:
    logging = config.get("logging") or {}
    shared = config.get("shm_size")
    return {
        "host name": config.get("hostname") or None,
        "domain name": str(config.get("domainname") or ""),
        "terminal": bool(config.get("tty")),
        "open input": bool(config.get("stdin_open")),
        "init": None if config.get("init") is None else bool(config["init"]),
        "shared memory": size(shared) if shared else None,
        "out-of-memory score": int(config.get("oom_score_adj") or 0),
        "log driver": logging.get("driver") or None,
        "log options": {key: str(value) for key, value in (logging.get("options") or {}).items()},
        "system settings": {key: str(value) for key, value in (config.get("sysctls") or {}).items()},
        "further hosts": frozenset(item.replace("=", ":", 1) for item in config.get("extra_hosts") or ()),
        "name servers": tuple(config.get("dns") or ()),
        "name server options": tuple(config.get("dns_opt") or ()),
        "search domains": tuple(config.get("dns_search") or ()),
    }


# -- what the image decides where the file does not ----------------------------------------------------------------


def _with_image(config: Json, image: ImageDefaults) -> dict[str, Any]:
    return {
        "command": _command(config, image),
        "user": str(config.get("user") or image.user),
        "working folder": config.get("working_dir") or image.folder,
        "stop signal": config.get("stop_signal") or image.stop_signal,
        "environment": _environment(config, image),
        "labels": labels({**image.labels, **dict(config.get("labels") or {})}),
        "health check": _healthcheck(config.get("healthcheck") or {}, image.healthcheck),
        "mounts": _mounts(config, image),
    }


def _command(config: Json, image: ImageDefaults) -> tuple[str, ...]:
    entrypoint, command = config.get("entrypoint"), tuple(config.get("command") or ())
    if entrypoint:
        return command if list(entrypoint) == [""] else (*entrypoint, *command)
    start = image.entrypoint if entrypoint is None else ()
    return (*start, *(command or image.command))


def _environment(config: Json, image: ImageDefaults) -> dict[str, str | None]:
    """None: without a value in the file; Compose took it from its environment, or left it out."""
    own = config.get("environment") or {}
    merged = {**dict(item.partition("=")[::2] for item in image.environment), **own}
    return {name: None if value is None else str(value) for name, value in merged.items()}


def _healthcheck(own: Json, inherited: Json) -> Json:
    """As the engine merges them: each part from the image where the file has none."""
    disabled = bool(own.get("disable"))
    test = ["NONE"] if disabled else own.get("test") or ()
    written = {"Test": ["CMD-SHELL", test] if isinstance(test, str) else list(test), "Retries": own.get("retries")}
    for key, name in zip(PERIODS, ("interval", "timeout", "start_period", "start_interval"), strict=True):
        written[key] = round(seconds(own[name]) * 10**9) if own.get(name) else 0
    return healthcheck({key: value or inherited.get(key) for key, value in written.items()})


def _mounts(config: Json, image: ImageDefaults) -> dict[str, tuple[str, str, bool]]:
    """Target → (kind, source, writable); the source of an anonymous volume is ''."""
    found = {posixpath.normpath(target): ("volume", "", True) for target in image.volumes}
    for item in config.get("tmpfs") or ():
        target, _, options = item.partition(":")
        found[posixpath.normpath(target)] = ("tmpfs", options, True)
    for item in config.get("volumes") or ():
        source = "" if item["type"] == "tmpfs" else item.get("source") or ""
        place = posixpath.normpath(source) if source and item["type"] == "bind" else source
        found[posixpath.normpath(item["target"])] = (item["type"], place, not item.get("read_only"))
    if config.get("volumes_from"):
        found[OTHERS] = ("", "", True)
    return found


# -- words -----------------------------------------------------------------------------------------------------------


def _port(item: Json) -> str:
    target = f"{item['target']}/{item.get('protocol') or 'tcp'}"
    return port(item.get("host_ip") or "", str(item.get("published") or ""), target)


def _device(item: Any) -> str:
    if isinstance(item, str):
        parts = item.split(":")
        return f"{parts[0]}:{parts[1] if len(parts) > 1 else parts[0]}"
    return f"{item['source']}:{item.get('target') or item['source']}"


def _ulimit(item: Any) -> tuple[int, int]:
    """(soft, hard)"""
    if isinstance(item, Mapping):
        return int(item.get("soft") or 0), int(item.get("hard") or 0)
    return int(item), int(item)
