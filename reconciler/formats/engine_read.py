"""The engine as a tool may read it: which requests pass, and what remains of the answers.

Nothing passes that is not listed here: neither methods, paths and parameters of requests, nor fields of answers that
may hold secrets. Paths and fields are those of the Engine API v1.44 that reverse proxies with labels, dashboards and
update notifiers ask for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from reconciler.formats.grants import absolute
from reconciler.values import dataclass

Json = Mapping[str, Any]

SOCKET = "docker.sock"
FOLDERS: Mapping[str, str] = {"/run/reconciler/engine": "engine-read", "/run/reconciler/engine-logs": "engine-logs"}
"""Path that a Compose file mounts → the rule whose grant allows it. The folder in the state folder has the rule's
name."""

LONGEST_TARGET = 8192
"""Bytes of a path with its parameters; clients put filters there."""

HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Passed:
    """A request that the engine gets. `mask` is applied to each JSON value of the answer; None passes it on as it is.

    `lines`: the answer is a stream of JSON values, a line each.
    """

    target: str
    mask: Callable[[Any], Any] | None = None
    lines: bool = False


def folder_of(path: str) -> str | None:
    """The rule for a path of a Compose file that is the folder of such a socket; None for any other path."""
    return FOLDERS.get(absolute(path))


def passed(method: str, target: str, *, logs: bool) -> Passed | None:
    """The request as the engine gets it; None if it is refused. `logs`: the output of containers may be read."""
    path, _, query = target.partition("?")
    found = re.fullmatch(r"(/v\d\.\d{1,2})?(/[A-Za-z0-9_.:@/-]+)", path)
    if found is None or len(target) > LONGEST_TARGET or ".." in path or "//" in path:
        return None
    for route in _ROUTES:
        if (logs or not route.logs) and method in route.methods and re.fullmatch(route.path, found[2]):
            kept = [(key, value) for key, value in parse_qsl(query, keep_blank_values=True) if key in route.parameters]
            end = f"?{urlencode(kept)}" if kept else ""
            return Passed(f"{path}{end}", route.mask, route.lines)
    return None


def _container(value: Json) -> Json:
    """Of `inspect`: state, labels, ports and networks. Names of variables stay, their values do not."""
    config, host = value.get("Config") or {}, value.get("HostConfig") or {}
    health = (value.get("State") or {}).get("Health")
    state = _only(
        value.get("State") or {}, "Status Running Paused Restarting OOMKilled Dead ExitCode StartedAt FinishedAt"
    )
    return {
        **_only(value, "Id Created Image Name RestartCount Driver Platform"),
        "State": {**state, **({"Health": {**_only(health, "Status FailingStreak"), "Log": []}} if health else {})},
        "Config": {
            **_only(config, "Hostname Domainname Image Labels ExposedPorts Tty OpenStdin StopSignal"),
            "Env": [f"{str(item).partition('=')[0]}={HIDDEN}" for item in config.get("Env") or ()],
            "Cmd": [],
        },
        "HostConfig": _only(host, "NetworkMode PortBindings RestartPolicy Memory NanoCpus LogConfig.Type"),
        "NetworkSettings": _only(value.get("NetworkSettings") or {}, "Ports Networks IPAddress"),
        "Mounts": [],
        "Args": [],
        "Path": "",
    }


def _containers(value: Any) -> Any:
    if not isinstance(value, list):
        return error_of(value)
    kept = "Id Names Image ImageID Created Ports Labels State Status NetworkSettings HostConfig.NetworkMode"
    return [{**_only(item, kept), "Command": "", "Mounts": []} for item in value]


def _event(value: Json) -> Json:
    """`exec_create: COMMAND` tells what somebody ran, perhaps with a password in it."""
    shown = {**_only(value, "Type from id scope time timeNano Actor"), "Action": _named(value.get("Action"))}
    return {**shown, "status": _named(value["status"])} if "status" in value else shown


def _named(action: Any) -> str:
    name, colon, rest = str(action or "").partition(":")
    return name if colon and name.startswith("exec_") else f"{name}{colon}{rest}"


def _info(value: Json) -> Json:
    kept = "ID Name Containers ContainersRunning ContainersPaused ContainersStopped Images NCPU MemTotal ServerVersion"
    swarm = _only(value.get("Swarm") or {}, "LocalNodeState ControlAvailable NodeID")
    return {**_only(value, f"{kept} OperatingSystem OSType Architecture KernelVersion SystemTime"), "Swarm": swarm}


def _image(value: Json) -> Json:
    config = _only(value.get("Config") or {}, "Labels ExposedPorts")
    return {**_only(value, "Id RepoTags RepoDigests Created Size Architecture Os Variant"), "Config": config}


def error_of(value: Any) -> Json:
    """The engine's message in a refusal."""
    return _only(value, "message") if isinstance(value, Mapping) else {"message": ""}


def _one(mask: Callable[[Json], Json]) -> Callable[[Any], Any]:
    return lambda value: mask(value) if isinstance(value, Mapping) and "message" not in value else error_of(value)


def _only(value: Json, names: str) -> dict[str, Any]:
    """These fields of an object, in its order; A.B is a field of a field."""
    kept: dict[str, Any] = {}
    for name in names.split():
        outer, _, inner = name.partition(".")
        if outer in value:
            kept[outer] = _only(value[outer] or {}, inner) if inner else value[outer]
    return kept


@dataclass(frozen=True, slots=True)
class _Route:
    """One kind of request. `path` without the version, as a pattern. `logs`: it shows the output of containers."""

    path: str
    parameters: tuple[str, ...] = ()
    mask: Callable[[Any], Any] | None = None
    methods: tuple[str, ...] = ("GET",)
    lines: bool = False
    logs: bool = False


_ID = "[A-Za-z0-9][A-Za-z0-9_.-]*"
_ROUTES = (
    _Route("/_ping", methods=("GET", "HEAD")),
    _Route("/version"),
    _Route("/info", mask=_one(_info)),
    _Route("/events", ("since", "until", "filters"), _one(_event), lines=True),
    _Route("/containers/json", ("all", "limit", "filters"), _containers),
    _Route(f"/containers/{_ID}/json", mask=_one(_container)),
    _Route(f"/containers/{_ID}/stats", ("stream", "one-shot")),
    _Route(
        f"/containers/{_ID}/logs", ("follow", "stdout", "stderr", "since", "until", "timestamps", "tail"), logs=True
    ),
    _Route("/networks", ("filters",)),
    _Route(f"/networks/{_ID}"),
    _Route(f"/images/{_ID}(/{_ID})*(:{_ID})?(@sha256:[0-9a-f]+)?/json", mask=_one(_image)),
)
