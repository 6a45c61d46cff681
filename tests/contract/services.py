"""Services that behave as a test says: for the machine in memory a script, for the engine a shell program."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.model.desired import Endpoint, Network, Service, Volume
from reconciler.model.observed import LABEL_HOST, LABEL_SPEC, LABEL_STACK
from tests.fakes.behaviour import STEADY, Behaviour

HOST = f"contract-{os.getpid()}"
"""An observer of this host must not see what another process of these tests does."""
MEMORY = 32 << 20


def service(
    stack: str, name: str, image: str, behaviour: Behaviour = STEADY, *,
    healthcheck: bool = False, revision: str = "1", config: Mapping[str, Any] | None = None, **fields: Any,
) -> Service:  # fmt: skip
    """`config` goes into the create-file unchanged; `revision` makes another spec with the same behaviour."""
    spec = hashlib.sha256(repr((stack, name, image, behaviour, revision, config)).encode()).hexdigest()
    written = {
        "image": image,
        "restart": "no",
        "mem_limit": str(MEMORY),
        "memswap_limit": str(MEMORY),
        "labels": {LABEL_HOST: HOST, LABEL_STACK: stack, LABEL_SPEC: spec},
        "command": ["/no/such/program"] if behaviour.refuses else ["sh", "-c", program(behaviour)],
        **({"healthcheck": probing(behaviour)} if healthcheck else {}),
        **(config or {}),
    }
    return Service(
        stack=stack, name=name, spec=spec, config=written, image=image, image_ref=image, replicas=1,
        memory=MEMORY, memory_default=False, grace=5.0, restart="no", healthcheck=healthcheck, **fields,
    )  # fmt: skip


def attached(base: Service, *endpoints: Endpoint) -> Service:
    """The service in these networks, by the engine's name as in the create-file."""
    networks = {item.network: endpoint_options(item) for item in endpoints}
    return replace(base, endpoints=endpoints, config={**base.config, "networks": networks})


def endpoint_options(endpoint: Endpoint) -> dict[str, Any]:
    options: dict[str, Any] = {"aliases": list(endpoint.aliases)}
    if endpoint.ipv4:
        options["ipv4_address"] = endpoint.ipv4
    return options


def network(stack: str, key: str = "default", definition: Mapping[str, Any] | None = None) -> Network:
    definition = definition or {}
    digest = hashlib.sha256(repr(sorted(definition.items())).encode()).hexdigest()
    return Network(stack, key, f"{stack}_{key}", definition, digest)


def volume(stack: str, key: str) -> Volume:
    return Volume(stack, key, f"{stack}_{key}", {})


def program(behaviour: Behaviour) -> str:
    """The behaviour as a program for `sh -c`. Its own files are in /tmp, which outlives a restart."""
    lines = [
        "trap '' TERM" if behaviour.ignores_stop else "trap 'exit 0' TERM",
        "rm -f /tmp/healthy",
        "starts=$(cat /tmp/starts 2>/dev/null || echo 0)",
        "starts=$((starts + 1))",
        "echo $starts > /tmp/starts",
        *(f"echo {shlex.quote(line)}" for line in behaviour.log),
        f"( {health_timeline(behaviour)} ) &",
    ]
    if behaviour.oom_after is not None:
        eat = f"sleep {behaviour.oom_after}; tail /dev/zero"
        lines.append(f"sleep {behaviour.oom_after}; exec tail /dev/zero" if behaviour.oom_kills else f"( {eat} ) &")
    if behaviour.exits_after is not None:
        times = 1_000_000 if behaviour.exit_times is None else behaviour.exit_times
        end = f"sleep {behaviour.exits_after} & wait $!; exit {behaviour.exit_code}"
        lines.append(f"if [ $starts -le {times} ]; then {end}; fi")
    lines.append("while :; do sleep 1 & wait $!; done")
    return "\n".join(lines)


def health_timeline(behaviour: Behaviour) -> str:
    words, at = [":"], 0.0
    for moment, health in behaviour.health:
        words.append(f"sleep {moment - at:.3f}")
        words.append("touch /tmp/healthy" if health == "healthy" else "rm -f /tmp/healthy")
        at = moment
    return "; ".join(words)


def probing(behaviour: Behaviour) -> dict[str, Any]:
    """A health check that reads the timeline five times a second, and counts the first failure after its start."""
    first = behaviour.health[0] if behaviour.health else (60.0, "starting")
    patience = first[0] if first[1] == "unhealthy" else 60.0
    return {
        "test": ["CMD-SHELL", f"echo {shlex.quote(behaviour.probe)}; test -e /tmp/healthy"],
        "interval": "200ms",
        "start_interval": "200ms",
        "start_period": f"{patience:g}s",
        "timeout": "5s",
        "retries": 1,
    }
