"""Classifies the engine's refusals by cause: the commit, other programs on the machine, or the engine itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from docker.errors import APIError, NotFound

from reconciler.engine import LOG_DRIVER, explanation, is_disk_full, is_engine_trouble
from reconciler.errors import RolloutFailed, Transient
from reconciler.model.outcome import Failure, Reason

OUTSIDE = (
    "port is already allocated",
    "address already in use",
    "ports are not available",
    "pool overlaps",
    "networks have overlapping",
    "fully subnetted",
    "non-overlapping ipv4 address pool",
    "no available ipv4 addresses",
    "no available ipv6 addresses",
    "already exists",
)
"""Words of refusals that come from something else on the machine, which may end without a new commit."""

ABSENT = "bind source path does not exist: "
"""Never the commit's fault: the operator has granted the path, or it is ours. A disk may not be mounted."""

MAKE_IT = "Mount the disk that it is on, or make the folder; it is tried again by itself."

NAMESPACE_OWNER_DOWN = "of a non running container"
"""A namespace user cannot start while its namespace owner does not run. The owner has a verdict of its own."""

_LAYERS = re.compile(
    r"^(?:(?:failed to create task for container|failed to create shim task|OCI runtime create failed"
    r"|runc create failed|unable to start container process|starting container process caused"
    r"|error during container init|container_linux\.go:\d+|crun|linux spec user): )+"
)
"""Prefixes that say which program passed a refusal on. The cause follows them."""

_PROGRAM = re.compile(
    r"exec[: ]|executable file |open executable|unable to find (?:user|group) |chdir to cwd "
    r"|no matching entries in (?:passwd|group) "
)
"""Prefix of messages by runc, crun and the engine about a program that cannot be started as its user in its folder."""

_IPV6_POOL = "non-overlapping ipv6 address pool"
"""Engines before 27 choose no IPv6 subnet by themselves. A later commit, or a pool of the daemon, helps."""


@contextmanager
def gone(container: str) -> Iterator[None]:
    """Around a call that needs the container: Transient if it no longer exists."""
    try:
        yield
    except NotFound as error:
        text = explanation(error)
        if "container" not in text.lower():
            raise
        raise Transient(
            Reason.DEPENDENCY_NOT_READY,
            f"container {container[:12]} is gone: somebody removed it during the rollout",
            "Nothing has to be done: the next turn starts from what is there.",
        ) from error


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turns the engine's refusal of a valid call into an error: its cause is the commit, or something else on the
    machine."""
    try:
        yield
    except APIError as error:
        text = explanation(error)
        if is_disk_full(text) or is_engine_trouble(text) or error.status_code in (None, 502, 503, 504):
            raise
        raise RolloutFailed(_refusal(what, text), _remedy(text)) from error


def _refusal(what: str, text: str) -> Failure:
    words = _LAYERS.sub("", text).removesuffix(": unknown")
    if _is_outside(text) or NAMESPACE_OWNER_DOWN in text:
        reason = Reason.DEPENDENCY_NOT_READY
    else:
        reason = Reason.CRASHED if _PROGRAM.match(words) else Reason.ENGINE_REFUSED
    return Failure(reason, f"the engine refused to {what}: {words}")


def absent_path(text: str) -> str:
    """The path of the host that the engine misses; '' if it misses none."""
    return text.partition(ABSENT)[2].strip()


def _remedy(text: str) -> str:
    if absent_path(text):
        return MAKE_IT
    if _is_lost_network(text):
        name = text.removeprefix("network ").removesuffix(" not found")
        return f"docker network create {name}, if it is an external one; the next turn makes the stack's own networks."
    if _is_outside(text):
        return "Something else on the machine holds it (`docker ps`, `ss -ltnp`, `docker network ls`): free it."
    if NAMESPACE_OWNER_DOWN in text:
        return "It is tried again: the service whose namespaces it shares did not run at that moment."
    if LOG_DRIVER in text:
        return "Correct the address below `logging`. If only its server was down: start it, then `reconciler retry`."
    if _IPV6_POOL in text.lower():
        return "Name an IPv6 subnet below `ipam` of the network, or drop `enable_ipv6`."
    return "Correct it in the commit; the engine's words name what it could not do."


def name_taken(name: str, error: APIError) -> Transient:
    """The error for a rename to a name that another container has."""
    return Transient(
        Reason.DEPENDENCY_NOT_READY,
        f"the container name {name} is taken: {explanation(error)}",
        f"Rename or remove the container that has it (`docker ps -a --filter name={name}`).",
    )


def _is_outside(text: str) -> bool:
    return _is_lost_network(text) or bool(absent_path(text)) or any(words in text.lower() for words in OUTSIDE)


def _is_lost_network(text: str) -> bool:
    return text.startswith("network ") and text.endswith("not found")
