"""Reads one service of Compose's canonical model as Compose and the engine would."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reconciler.decide.mounts.sources import Json
from reconciler.formats.compose_names import NAMESPACES


def restart_policy(model: Json) -> str:
    """The restart policy that Compose would give the container: no, always, unless-stopped or on-failure[:N]."""
    if model.get("restart"):
        return str(model["restart"])
    policy = (model.get("deploy") or {}).get("restart_policy")
    if not policy:
        return "no"
    attempts = f":{policy['max_attempts']}" if policy.get("max_attempts") else ""
    # Without a condition Compose gives no policy at all (2.26 and 2.40), though the specification says "any".
    by_condition = {"any": "always", "always": "always", "unless-stopped": "unless-stopped"}
    by_condition["on-failure"] = f"on-failure{attempts}"
    return by_condition.get(policy.get("condition") or "none", "no")


def healthcheck(model: Json) -> bool | None:
    """True or False if the file says so; None if the image decides."""
    check = model.get("healthcheck")
    if not check:
        return None
    if check.get("disable") or (check.get("test") or ["x"])[0] == "NONE":
        return False
    return True if check.get("test") else None


def shared_services(model: Json) -> Iterable[str]:
    for key in NAMESPACES:
        if str(model.get(key) or "").startswith("service:"):
            yield str(model[key]).removeprefix("service:")
    for source in model.get("volumes_from") or ():
        if not source.startswith("container:"):
            yield source.partition(":")[0]


def file_target(kind: str, use: Json) -> str:
    """The path of a config or secret in the container."""
    folder = "/run/secrets/" if kind == "secrets" else "/"
    target: str = use.get("target") or use["source"]
    return target if target.startswith("/") else folder + target


def published_ports(model: Json) -> Iterable[tuple[str, int, str]]:
    for port in model.get("ports") or ():
        published = str(port.get("published") or "")
        if re.fullmatch(r"\d+", published) and int(published):
            yield (port.get("host_ip") or "0.0.0.0", int(published), port.get("protocol") or "tcp")  # noqa: S104 - Compose's default address
