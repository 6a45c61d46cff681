"""The desired state: what an admitted commit asks of the machine, in the form in which it is applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from reconciler.model.documents import DEFAULT_GATE, STOP_FIRST, Gate, Memory
from reconciler.values import dataclass

ServiceKey = tuple[str, str]
"""(stack, service)"""

DEFAULT_GRACE = 10.0
"""Seconds that a container may take to stop if its file names none; Compose's default."""


class Condition(StrEnum):
    """The condition that a dependent waits for; Compose's own words."""

    STARTED = "service_started"
    HEALTHY = "service_healthy"
    COMPLETED = "service_completed_successfully"


@dataclass(frozen=True, slots=True)
class Dependency:
    """`service` must have met `condition` before the dependent starts. `stack` may be another one."""

    stack: str
    service: str
    condition: Condition
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One network of a service, in the form for the engine. `network` is the engine's name for it."""

    network: str
    aliases: tuple[str, ...] = ()
    ipv4: str | None = None
    ipv6: str | None = None
    link_local: tuple[str, ...] = ()
    mac: str | None = None
    driver_opts: Mapping[str, str] = field(default_factory=dict)


DRAIN = 2.0
"""Seconds for which a replaced container keeps serving, if its file names no drain: a proxy or a resolver has to notice
its successor."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A second container has to prove itself before anything stops. `time`: seconds for which it has to stay healthy;
    None: the gate's. `shared_volumes`: it gets the service's volumes, and nothing empty in their place."""

    time: float | None = None
    shared_volumes: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """How the containers of a service are replaced.

    `order`: which goes first. `parallelism`: how many containers are replaced at a time; 0: all. `delay`: seconds
    between them. `drain`: seconds for which a container serves beside its successor before it stops; None: the file
    does not say. `shared_volumes`: two containers may write its volumes at the same time. `trial`: if it is replaced
    stop-first, a trial comes first.
    """

    order: str = STOP_FIRST
    parallelism: int = 1
    delay: float = 0.0
    drain: float | None = None
    shared_volumes: bool = False
    trial: Trial | None = None


AS_USUAL = Update()
"""How a service is replaced if its file does not say."""


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a stack.

    `config` is the service of the create-file: Compose's canonical form with the image by id, resolved mounts, and
    without everything that would make Compose act by itself. `spec` identifies it (sha256, hex): two containers with
    the same spec are the same service. `memory` is the limit of one container in bytes; `grace` the seconds that it may
    take to stop. `completes`: exit 0 is the intended end. `shares`: services whose namespaces or volumes it uses (same
    stack). `endpoint`: an address that is to answer while the service runs, '' if its file names none.
    """

    stack: str
    name: str
    spec: str
    config: Mapping[str, Any]
    image: str
    image_ref: str
    replicas: int
    memory: int
    memory_default: bool
    grace: float
    restart: str
    depends_on: tuple[Dependency, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    shares: tuple[str, ...] = ()
    completes: bool = False
    healthcheck: bool = False
    container_name: str | None = None
    ports: tuple[tuple[str, int, str], ...] = ()
    update: Update = AS_USUAL
    endpoint: str = ""

    @property
    def key(self) -> ServiceKey:
        return (self.stack, self.name)

    @property
    def namespace_owners(self) -> tuple[ServiceKey, ...]:
        """The services whose namespaces it uses."""
        return tuple((self.stack, name) for name in self.shares)

    def container(self, number: int) -> str:
        """The stable name of its container `number` (from 1)."""
        return self.container_name or f"{self.stack}-{self.name}-{number}"


@dataclass(frozen=True, slots=True)
class Tree:
    """Read-only bytes that containers mount, stored under their digest (architecture: content-addressed mounts).

    Exactly one of these is their source: `path`, a file or folder of the commit; `content`, inline text of the model;
    `secret`, the name of a variable or file of the host's secrets_dir. With `stack`, the bytes are or contain secrets
    of that stack, and never enter the state folder. `empty_folders` and `empty_files`: paths that a folder of the
    commit lacks, and at which containers mount something.
    """

    digest: str
    path: str | None = None
    content: str | None = None
    secret: str | None = None
    stack: str | None = None
    empty_folders: tuple[str, ...] = ()
    empty_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Network:
    """A network that the stack owns. `definition` is Compose's canonical form; `digest` its sha256."""

    stack: str
    key: str
    name: str
    definition: Mapping[str, Any]
    digest: str


@dataclass(frozen=True, slots=True)
class Volume:
    """A named volume that the stack owns."""

    stack: str
    key: str
    name: str
    definition: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stack:
    """One Compose project, lowered."""

    name: str
    services: tuple[Service, ...]
    networks: tuple[Network, ...]
    volumes: tuple[Volume, ...]
    gate: Gate = DEFAULT_GATE
    suspended: bool = False


def wanted_networks(desired: DesiredState) -> set[str]:
    """Names of all networks that a stack declares or a service uses."""
    declared = {network.name for stack in desired.stacks for network in stack.networks}
    return declared | {end.network for service in desired.services().values() for end in service.endpoints}


@dataclass(frozen=True, slots=True)
class DesiredState:
    """An admitted commit, in the form in which it is applied. Only `decide.lower` makes one.

    `content` identifies it (sha256, hex); two commits with the same content have the same key.
    """

    host: str
    revision: str
    content: str
    memory: Memory
    stacks: tuple[Stack, ...]
    trees: tuple[Tree, ...] = ()

    def services(self) -> dict[ServiceKey, Service]:
        return {service.key: service for stack in self.stacks for service in stack.services}

    def gate(self, stack: str) -> Gate:
        return next((item.gate for item in self.stacks if item.name == stack), Gate())
