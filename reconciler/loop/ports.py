"""What the loop needs from the world. Adapters live in `observe`, `act` and `record`; fakes in the tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from reconciler.model.desired import DesiredState, Endpoint, Network, Service, Stack, Volume
from reconciler.model.documents import StackDocument
from reconciler.model.files import Commit, Files
from reconciler.model.images import Image, ImageWant
from reconciler.model.observed import Container, ObservedState
from reconciler.model.outcome import Violation


class Clock(Protocol):
    def now(self) -> float:
        """Seconds of the Unix epoch, for records."""

    def monotonic(self) -> float:
        """Seconds that never go back, for deadlines."""


class Source(Protocol):
    """The watched branch. Everything but `fetch` works on the local mirror alone."""

    def fetch(self) -> Commit:
        """The branch's head, fetched. Transient (FetchFailed) when the remote or the branch cannot be had."""

    def commit(self, sha: str) -> Commit:
        """KeyError when the mirror does not have it."""

    def files(self, sha: str) -> Files: ...

    def is_ancestor(self, old: str, new: str) -> bool:
        """False also when `old` is not known any more."""

    def pin(self, name: str, sha: str) -> None:
        """Keep a commit under `refs/reconciler/<name>` (an effect only where it changes something)."""

    def pins(self, prefix: str) -> Mapping[str, str]:
        """name → sha of every pin whose name begins with `prefix`."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A stack as Compose understands it. `root` is where the commit's files lay while Compose read them.

    `model` is empty when `violations` has one of level deny. `secrets` are the names of variables and files of
    secrets_dir that the stack could read, `inputs` a digest of their values.
    """

    stack: str
    model: Mapping[str, Any]
    root: str
    violations: tuple[Violation, ...] = ()


class Renderer(Protocol):
    def render(self, files: Files, stack: StackDocument) -> Rendered:
        """Compose's canonical model. Transient when Compose itself cannot be run."""

    def fingerprint(self) -> str:
        """Digest of everything on the host that flows into a model (secrets_dir); '' where there is none."""


class Images(Protocol):
    def local(self, wants: Sequence[ImageWant]) -> Mapping[str, Image]:
        """want.key → image, for those that the machine has."""


class Watch(Protocol):
    """The engine's events about our containers, from before the first start on."""

    def wait(self, timeout: float) -> bool:
        """Return at the next event or after `timeout` seconds. False: the stream broke since the last call."""

    def ooms(self) -> frozenset[str]:
        """Ids of containers in which the kernel has killed for memory since the watch began."""


class Observer(Protocol):
    """Looks at the engine. Away when it does not answer."""

    def look(self, stacks: Iterable[str]) -> ObservedState:
        """One cheap list of the stacks' containers."""

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        """Everything: details of the stacks' containers, networks, volumes, the others' memory, the engine's size."""

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        """These containers, inspected; those that are gone are left out."""

    def watch(self) -> AbstractContextManager[Watch]: ...

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        """The last lines since its last start, both streams."""

    def health_output(self, container: str) -> str | None:
        """What the newest probe since its last start printed."""

    def ports_taken(self, ports: Iterable[tuple[str, int, str]]) -> Mapping[tuple[str, int, str], str]:
        """Those of (address, port, protocol) that something on the machine holds, with the holder's name."""


class Applier(Protocol):
    """Changes the machine, one effect a call. Away when the engine does not answer."""

    def pull(self, want: ImageWant) -> Image:
        """ImageFailed when there is no such image; Transient when the registry cannot be asked."""

    def build(self, want: ImageWant, files: Files) -> Image:
        """ImageFailed when the build fails."""

    def trees(self, desired: DesiredState, files: Files | None) -> None:
        """Write the mounts of the commit that are missing; `files` None: only what needs no commit."""

    def create_network(self, network: Network) -> None: ...

    def remove_network(self, name: str) -> None:
        """Disconnects our stopped containers first. No error when it is gone; one that is in use stays."""

    def create_volume(self, volume: Volume) -> None: ...

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        """Create, never start: ONE Compose call. `existing`: containers of each service there are already."""

    def start(self, container: str) -> None:
        """RolloutFailed (Crashed) when the engine refuses to start it."""

    def stop(self, container: str, grace: float) -> None: ...

    def rename(self, container: str, name: str) -> None: ...

    def update(self, container: str, restart: str) -> None:
        """Set the restart policy (Compose's spelling: no, always, unless-stopped, on-failure[:N])."""

    def connect(self, container: str, endpoint: Endpoint) -> None: ...

    def remove(self, container: str) -> None:
        """Never with volumes. No error when it is gone."""


@dataclass(frozen=True, slots=True)
class Creation:
    """`count` containers of `service`.

    `anonymous`: target → volume name, taken over from the predecessor. `sharing`: service → container id, for
    namespaces and volumes of another service's container.
    """

    service: Service
    count: int
    anonymous: Mapping[str, str]
    sharing: Mapping[str, str]
