"""The observed state, from the engine. Times are seconds of the Unix epoch by the engine's clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from reconciler.model.engine import Engine
from reconciler.model.images import ImageDefaults
from reconciler.values import dataclass

LABEL_HOST = "dev.reconciler.host"
LABEL_STACK = "dev.reconciler.stack"
LABEL_SPEC = "dev.reconciler.spec"
COMPOSE_PROJECT = "com.docker.compose.project"
COMPOSE_SERVICE = "com.docker.compose.service"
COMPOSE_NUMBER = "com.docker.compose.container-number"
COMPOSE_ONEOFF = "com.docker.compose.oneoff"
COMPOSE_HASH = "com.docker.compose.config-hash"
COMPOSE_FOLDER = "com.docker.compose.project.working_dir"
COMPOSE_FILES = "com.docker.compose.project.config_files"
COMPOSE_ENV_FILES = "com.docker.compose.project.environment_file"

OOM, KILL = "oom", "kill"
"""The engine's words for events of a container: the kernel kills a process for lack of memory, somebody sends a signal.
"""


def project_of(labels: Mapping[str, str]) -> str:
    """The Compose project of the container with these labels; empty if it belongs to none.

    Compose labels the images that it builds with project and service, and each container of such an image inherits
    both, also one of `docker run`. So Compose counts only containers with its hash of the configuration.
    """
    return labels.get(COMPOSE_PROJECT, "") if COMPOSE_HASH in labels else ""


def is_anonymous(volume: str) -> bool:
    """Whether the engine, not a person, has given the volume its name."""
    return len(volume) == 64 and all(c in "0123456789abcdef" for c in volume)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount of a container. `kind` is volume, bind or tmpfs; `source` a volume's name or a host path."""

    kind: str
    source: str
    target: str
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Container:
    """One container of one of our stacks.

    `state` is the engine's word: created running paused restarting exited removing dead. `health` is none, starting,
    healthy or unhealthy. The fields from `started_at` on are known only after an inspect. `folder`: the folder in which
    Compose was started for it. `facts`: its settings in the words of `model.facts`, to be compared with the desired
    ones. `network_ids`: network's name → its id when the container was last connected; another network may have that
    name since. `unhealthy_for`: seconds, as far as its probes tell. `cut_off`: it ran until a rollout of ours stopped
    it, so its exit code says nothing. `grace`: seconds for its stop, set at creation; None: not set.
    `restarts`: how often the engine has restarted it.
    """

    id: str
    name: str
    stack: str
    service: str
    number: int
    state: str
    health: str = "none"
    image: str = ""
    spec: str | None = None
    host: str | None = None
    networks: frozenset[str] = frozenset()
    network_ids: Mapping[str, str] = field(default_factory=dict)
    network_mode: str = ""
    mounts: tuple[Mount, ...] = ()
    oneoff: bool = False
    started_at: str = ""
    exit_code: int = 0
    oom_killed: bool = False
    restart: str = ""
    memory: int = 0
    shares: frozenset[str] = frozenset()
    ports: tuple[tuple[str, int, str], ...] = ()
    detailed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""
    unhealthy_for: float = 0.0
    cut_off: bool = False
    grace: float | None = None
    restarts: int = 0

    @property
    def running(self) -> bool:
        return self.state in ("running", "restarting", "paused")


@dataclass(frozen=True, slots=True)
class Foreign:
    """A running container that is not ours. `memory` is its limit, or what it counts for without one. `started_at`: in
    the engine's form, '' if it is not known."""

    id: str
    name: str
    memory: int
    ports: tuple[tuple[str, int, str], ...] = ()
    started_at: str = ""


@dataclass(frozen=True, slots=True)
class Started:
    """A project that plain Compose has started: its name, and its folder, Compose files and env files.

    Paths are absolute, as when its newest container was made.
    """

    project: str
    folder: str
    files: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """`digest`: digest of its definition from our label; None if Compose or a person made it.

    `addresses`: id of a running container → its IPv4, IPv6 and MAC addresses in this network, in lower case.
    """

    id: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    containers: frozenset[str] = frozenset()
    addresses: Mapping[str, frozenset[str]] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    driver: str = "local"
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ObservedState:
    """Our containers (`containers`), foreign ones (`foreign`) and the engine's own size.

    After a sparse look `foreign`, `networks`, `volumes` are empty and `memory_total` is 0 (`complete` False). `images`:
    settings of our containers' images, by id, if the images exist. `others`: name of each container that is not ours,
    stopped ones too → its Compose project, '' if it has none. `log_driver`: the engine's default, '' if it was not
    asked. `engine`: None if it was not asked.
    """

    containers: tuple[Container, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    memory_total: int = 0
    complete: bool = False
    images: Mapping[str, ImageDefaults] = field(default_factory=dict)
    others: Mapping[str, str] = field(default_factory=dict)
    log_driver: str = ""
    engine: Engine | None = None

    def of(self, stack: str, service: str) -> tuple[Container, ...]:
        return tuple(item for item in self.containers if (item.stack, item.service) == (stack, service))
