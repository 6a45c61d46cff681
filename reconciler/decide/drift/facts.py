"""Compares a container with its service, by `inspect` alone, never by Compose's hash.

`wanted` and `observe.facts.of` return the same form: a fact's name → a plain value. Facts that the service does not set
(the engine's defaults) are not in `wanted`, and are not compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.decide.defaults import PIDS
from reconciler.decide.drift.wanted_facts import LIMITS, OTHERS, wanted
from reconciler.formats.cidr import plain_address
from reconciler.formats.quantities import shown, size
from reconciler.model.desired import Endpoint, Service
from reconciler.model.images import ImageDefaults
from reconciler.model.observed import Container, is_anonymous
from reconciler.values import dataclass

IMAGE, STATE, RESTART, NETWORK = "image", "state", "restart policy", "network"
CLEARABLE = ("pids",)
"""Limits that the engine can also remove from a running container."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between a container and its applied form.

    `wanted` and `found` are texts for people; `wanted` is empty if `found` is enough. They never hold the values of
    environment variables and labels. `correctable`: the engine can correct it without another container or a restart.
    """

    fact: str
    wanted: str
    found: str
    correctable: bool

    @property
    def text(self) -> str:
        return f"{self.fact} {self.found} instead of {self.wanted}" if self.wanted else f"{self.fact}: {self.found}"


def differences(service: Service, container: Container, image: ImageDefaults | None) -> tuple[Difference, ...]:
    """Differences of the container from its service; none for one that was only listed, not inspected.

    `image`: settings of the container's own image; None if that image is gone, and with it the facts that it decides.
    Name, number and whether it runs are not compared, nor anything of a container whose namespaces it uses.
    """
    if not container.detailed or not container.facts:
        return ()
    asked = wanted(service, image)
    found = [_fact(name, asked[name], container.facts[name]) for name in asked if name in container.facts]
    networks = _networks(service, container.facts.get("networks") or {})
    paused = [Difference(STATE, "running", "paused", True)] if container.state == "paused" else []
    policy = [] if container.restart == service.restart else [
        Difference(RESTART, service.restart, container.restart, True)
    ]  # fmt: skip
    return tuple(item for item in (*found, *networks, *paused, *policy) if item is not None)


def _fact(name: str, wanted: Any, found: Any) -> Difference | None:
    if name == "mounts":
        return _named(name, _mounts(wanted, found))
    if name in _AT_LEAST:
        found = {key: value for key, value in found.items() if key in wanted}
    if wanted == found or (name == "memory with swap" and found == -1):
        return None
    if name == "pids" and not wanted and found == PIDS:
        return None  # what a container gets for keys that its file does not set
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return _named(name, _keys(wanted, found))
    correctable = name in LIMITS and (bool(wanted) or name in CLEARABLE)
    words = _WORDS.get(name, _plain)
    return Difference(name, words(wanted), words(found), correctable)


_AT_LEAST = ("ulimits", "log options", "system settings")
"""Facts to which the engine may add values."""


def _named(name: str, differing: Iterable[str]) -> Difference | None:
    told = ", ".join(differing)
    return Difference(name, "", told, False) if told else None


def _keys(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterable[str]:
    for key in sorted({*wanted, *found}):
        if key in wanted and wanted[key] is None:
            continue
        if key not in found:
            yield f"{key} is missing"
        elif key not in wanted:
            yield f"unexpected {key}"
        elif wanted[key] != found[key]:
            yield f"{key} differs"


def _mounts(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterable[str]:
    """An anonymous volume can be any one, even one taken over from an earlier container."""
    for target in sorted({*wanted, *found} - {OTHERS}):
        if target not in found:
            yield f"{target} is missing"
        elif target not in wanted:
            left_over = found[target][0] == "volume" and is_anonymous(found[target][1])
            if not left_over and OTHERS not in wanted:
                yield f"unexpected {target}"
        elif not _same_mount(wanted[target], found[target]):
            yield f"{target} differs"


def _same_mount(wanted: tuple[str, str, bool], found: tuple[str, str, bool]) -> bool:
    return wanted == found or (
        wanted[0] == "volume" and not wanted[1] and (wanted[0], wanted[2]) == (found[0], found[2])
    )


def _networks(service: Service, found: Mapping[str, Mapping[str, Any]]) -> Iterable[Difference]:
    if not service.endpoints:
        return
    for endpoint in service.endpoints:
        there = found.get(endpoint.network)
        told = "not connected" if there is None else ", ".join(_endpoint(endpoint, there))
        if told:
            yield Difference(f"{NETWORK} {endpoint.network}", "", told, True)
    for name in sorted(set(found) - {endpoint.network for endpoint in service.endpoints}):
        yield Difference(f"{NETWORK} {name}", "", "it is not the service's", True)


def _endpoint(wanted: Endpoint, found: Mapping[str, Any]) -> Iterable[str]:
    missing = sorted(set(wanted.aliases) - set(found["aliases"]))
    if missing:
        yield f"no alias {', '.join(missing)}"
    for name, asked in (("ipv4", wanted.ipv4), ("ipv6", wanted.ipv6), ("mac", wanted.mac)):
        if asked and found[name] is not None and plain_address(asked) != plain_address(found[name]):
            yield f"address {found[name] or 'none'} instead of {asked}"


def aliases_missing(wanted: Endpoint, container: Container) -> bool:
    """Whether the container lacks aliases in this network; False where its networks are not known."""
    networks = container.facts.get("networks")
    if networks is None:
        return False
    there = networks.get(wanted.network)
    return there is None or not set(wanted.aliases) <= set(there["aliases"])


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple | list | frozenset | set):
        parts = sorted(map(str, value)) if isinstance(value, frozenset | set) else map(str, value)
        return _short(" ".join(parts)) or "none"
    return _short(str(value)) if value not in (None, "") else "none"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _size(value: int) -> str:
    if value <= 0:
        return "without limit"
    return shown(value) if size(shown(value)) == value else f"{value} bytes"


def _cpus(value: int) -> str:
    return f"{value / 10**9:g}" if value else "without limit"


def _count(value: int) -> str:
    return str(value) if value else "without limit"


def _image(value: str) -> str:
    return value.removeprefix("sha256:")[:12]


_WORDS: Mapping[str, Callable[[Any], str]] = {
    IMAGE: _image,
    "memory": _size,
    "memory with swap": _size,
    "memory reservation": _size,
    "shared memory": _size,
    "cpus": _cpus,
    "pids": _count,
}
