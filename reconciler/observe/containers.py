"""Turns the engine's JSON into nouns of the model. Pure: all values come from the given answer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from reconciler.model.observed import (
    COMPOSE_ENV_FILES,
    COMPOSE_FILES,
    COMPOSE_FOLDER,
    COMPOSE_HASH,
    COMPOSE_NUMBER,
    COMPOSE_ONEOFF,
    COMPOSE_PROJECT,
    COMPOSE_SERVICE,
    LABEL_HOST,
    LABEL_SPEC,
    Container,
    Mount,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
    Started,
    project_of,
)
from reconciler.model.times import engine_time
from reconciler.observe import facts

Answer = Mapping[str, Any]
Port = tuple[str, int, str]

ACTIVE = ("running", "paused", "restarting")
LEAST_COUNTED = 64 << 20
"""Least bytes that a container without a limit counts for, because at its start it uses almost nothing."""


def label_filter(stacks: frozenset[str]) -> dict[str, list[str]]:
    """The filter for the engine's list. The answer can contain containers of more stacks than these."""
    # Several labels in one filter mean "and", so several stacks are separated afterwards. The hash: see
    # `project_of`.
    only = next(iter(stacks)) if len(stacks) == 1 else None
    return {"label": [f"{COMPOSE_PROJECT}={only}" if only else COMPOSE_PROJECT, COMPOSE_HASH]}


def listed_state(stacks: frozenset[str], answers: Iterable[Answer]) -> ObservedState:
    """The state of these stacks, as far as a list shows it."""
    return ObservedState(containers=ordered(listed(answer) for answer in answers if stack_of(answer) in stacks))


def started(answers: Iterable[Answer]) -> list[Started]:
    """Compose projects in the list that no agent made, each with the values of its newest container."""
    found: dict[str, Started] = {}
    for answer in sorted(answers, key=lambda item: int(item.get("Created") or 0)):
        labels = answer.get("Labels") or {}
        name, folder = project_of(labels), labels.get(COMPOSE_FOLDER)
        if name and folder and LABEL_HOST not in labels:
            named = (labels.get(key, "").split(",") for key in (COMPOSE_FILES, COMPOSE_ENV_FILES))
            found[name] = Started(name, folder, *(tuple(filter(None, paths)) for paths in named))
    return [found[name] for name in sorted(found)]


def ordered(found: Iterable[Container]) -> tuple[Container, ...]:
    return tuple(sorted(found, key=lambda item: (item.stack, item.service, item.number, item.id)))


def stack_of(answer: Answer) -> str:
    """The Compose project of a list's entry; empty if it belongs to none."""
    return project_of(answer.get("Labels") or {})


def listed(answer: Answer) -> Container:
    """A container as the list shows it: cheap, without the fields that only an inspect has."""
    labels = answer.get("Labels") or {}
    mode = answer.get("HostConfig", {}).get("NetworkMode", "")
    return Container(
        id=answer["Id"],
        name=name_of(answer),
        stack=project_of(labels),
        service=labels.get(COMPOSE_SERVICE, ""),
        number=_number(labels),
        state=answer["State"],
        health=_health_in_words(answer["State"], answer.get("Status", "")),
        exit_code=_exit_code_in_words(answer.get("Status", "")),
        image=answer.get("ImageID", ""),
        spec=labels.get(LABEL_SPEC),
        host=labels.get(LABEL_HOST),
        networks=frozenset((answer.get("NetworkSettings") or {}).get("Networks") or {}),
        network_ids=_network_ids(answer),
        network_mode=mode,
        mounts=_mounts(answer),
        oneoff=_is_oneoff(labels),
        shares=_shared([mode]),
        ports=listed_ports(answer),
    )


def inspected(answer: Answer, counted: int | None = None) -> Container:
    """A container in full. `counted`: its memory in the sum if it has no limit."""
    labels = answer["Config"].get("Labels") or {}
    state, host = answer["State"], answer["HostConfig"]
    settings = answer.get("NetworkSettings") or {}
    return Container(
        id=answer["Id"],
        name=answer["Name"].lstrip("/"),
        stack=project_of(labels),
        service=labels.get(COMPOSE_SERVICE, ""),
        number=_number(labels),
        state=state["Status"],
        health=_health(state),
        image=answer.get("Image", ""),
        spec=labels.get(LABEL_SPEC),
        host=labels.get(LABEL_HOST),
        networks=frozenset(settings.get("Networks") or {}),
        network_ids=_network_ids(answer),
        network_mode=host.get("NetworkMode", ""),
        mounts=_mounts(answer),
        oneoff=_is_oneoff(labels),
        started_at=_started_at(state),
        exit_code=state.get("ExitCode", 0),
        oom_killed=bool(state.get("OOMKilled")),
        restart=_restart(host.get("RestartPolicy") or {}),
        memory=host.get("Memory", 0) or counted or 0,
        shares=_shared(_references(host)),
        ports=_published(settings.get("Ports") if state.get("Running") else host.get("PortBindings")),
        detailed=True,
        folder=labels.get(COMPOSE_FOLDER, ""),
        facts=facts.of(answer),
        unhealthy_for=unhealthy_for(answer),
        grace=_grace(answer["Config"]),
        restarts=answer.get("RestartCount") or 0,
    )


def network(answer: Answer, attached: Mapping[str, frozenset[str]]) -> ObservedNetwork:
    """`attached`: container's id → its addresses in the network."""
    labels = answer.get("Labels") or {}
    return ObservedNetwork(
        id=answer["Id"],
        name=answer["Name"],
        labels=labels,
        digest=labels.get(LABEL_SPEC),
        containers=frozenset(attached),
        addresses=attached,
        raw=answer,
    )


def addresses(endpoint: Answer) -> frozenset[str]:
    """Addresses of an endpoint while its container runs: IPv4, IPv6 and MAC in lower case."""
    told = (endpoint.get(key) for key in ("IPAddress", "GlobalIPv6Address", "MacAddress"))
    return frozenset(text.lower() for text in told if text)


def volume(answer: Answer) -> ObservedVolume:
    return ObservedVolume(
        driver=answer.get("Driver", "local"),
        options=answer.get("Options") or {},
        labels=answer.get("Labels") or {},
    )


def name_of(answer: Answer) -> str:
    """The name in a list's entry. Links add further names, with a second slash, that belong to other containers."""
    names = [name.lstrip("/") for name in answer.get("Names") or () if name.count("/") == 1]
    return str(names[0] if names else answer["Id"][:12])


def listed_ports(answer: Answer) -> tuple[Port, ...]:
    """(address, port, protocol) that a list's entry holds on the host."""
    found = {
        (port.get("IP", ""), port["PublicPort"], port["Type"])
        for port in answer.get("Ports") or ()
        if port.get("PublicPort")
    }
    return tuple(sorted(found))


def working_set(stats: Answer) -> int:
    """Bytes that the kernel could not simply take back: usage without the inactive part of the page cache."""
    memory = stats.get("memory_stats") or {}
    details = memory.get("stats") or {}
    inactive = details.get("total_inactive_file", details.get("inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(inactive))


def _network_ids(answer: Answer) -> dict[str, str]:
    """Ids of the networks. Empty ones are left out: a container that was never started has none."""
    networks = (answer.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: endpoint["NetworkID"] for name, endpoint in networks.items() if (endpoint or {}).get("NetworkID")}


def _number(labels: Answer) -> int:
    text = labels.get(COMPOSE_NUMBER, "")
    return int(text) if text.isdecimal() else 0


def _grace(config: Answer) -> float | None:
    """Seconds. For the engine a negative value means no limit; we do not allow that."""
    timeout = config.get("StopTimeout")
    if timeout is None:
        return None
    return float(timeout) if timeout >= 0 else float("inf")


def _is_oneoff(labels: Answer) -> bool:
    return str(labels.get(COMPOSE_ONEOFF, "")).lower() == "true"


def _exit_code_in_words(status: str) -> int:
    """The exit code in `Exited (3) 5 minutes ago`, the only place in the list that has it."""
    found = re.match(r"Exited \((\d+)\)", status)
    return int(found.group(1)) if found else 0


def _health_in_words(state: str, status: str) -> str:
    """'Up 3 seconds (health: starting)' → starting. Only a running container has a health."""
    if state != "running" or not status.endswith(")"):
        return "none"
    words = status[status.rfind("(") + 1 : -1].removeprefix("health: ")
    return words if words in ("starting", "healthy", "unhealthy") else "none"


def _health(state: Answer) -> str:
    # A stopped container always shows "unhealthy".
    if state["Status"] != "running":
        return "none"
    return (state.get("Health") or {}).get("Status") or "none"


def unhealthy_for(answer: Answer) -> float:
    """Seconds between the probe that made it unhealthy and the newest one, both by the engine's clock.

    The engine keeps five probes; older ones are computed from the interval.
    """
    health = answer["State"].get("Health") or {}
    if health.get("Status") != "unhealthy" or not health.get("Log"):
        return 0.0
    check = answer["Config"].get("Healthcheck") or {}
    failed = list(takewhile(lambda probe: probe["ExitCode"] != 0, reversed(health["Log"])))
    extra = health.get("FailingStreak", 0) - (check.get("Retries") or 3)
    if not failed or extra <= 0:
        return 0.0
    known = failed[min(extra, len(failed) - 1)]
    reckoned = max(0, extra - len(failed) + 1) * (check.get("Interval") or 30 * 10**9) / 10**9
    return float((engine_time(failed[0]["End"]) or 0.0) - (engine_time(known["End"]) or 0.0) + reckoned)


def _started_at(state: Answer) -> str:
    started = state.get("StartedAt", "")
    return "" if started.startswith("0001-") else started


def _restart(policy: Answer) -> str:
    name, most = policy.get("Name") or "no", policy.get("MaximumRetryCount") or 0
    return f"{name}:{most}" if name == "on-failure" and most else name


def _references(host: Answer) -> list[str]:
    modes = [host.get(key) or "" for key in ("NetworkMode", "PidMode", "IpcMode")]
    return modes + [f"container:{source.split(':')[0]}" for source in host.get("VolumesFrom") or ()]


def _shared(modes: Iterable[str]) -> frozenset[str]:
    return frozenset(mode.removeprefix("container:") for mode in modes if mode.startswith("container:"))


def _mounts(answer: Answer) -> tuple[Mount, ...]:
    return tuple(
        Mount(
            kind=mount["Type"],
            source=mount.get("Name") or mount.get("Source", ""),
            target=mount["Destination"],
            writable=bool(mount.get("RW")),
        )
        for mount in sorted(answer.get("Mounts") or (), key=lambda mount: str(mount["Destination"]))
    )


def _published(bindings: Answer | None) -> tuple[Port, ...]:
    found = set()
    for inside, outsides in (bindings or {}).items():
        protocol = inside.partition("/")[2] or "tcp"
        for outside in outsides or ():
            # A port that the engine chooses has no number before the start.
            if outside.get("HostPort", "").isdecimal() and outside["HostPort"] != "0":
                found.add((outside.get("HostIp", ""), int(outside["HostPort"]), protocol))
    return tuple(sorted(found))
