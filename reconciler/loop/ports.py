"""What the loop needs from the world. Adapters live in `observe`, `act` and `record`; fakes in the tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from reconciler.errors import ReconcilerError, Usage
from reconciler.model.addresses import Claim
from reconciler.model.creation import Creation as Creation
from reconciler.model.desired import DesiredState, Endpoint, Network, Stack, Volume
from reconciler.model.documents import StackDocument
from reconciler.model.files import Commit, Entry, Files
from reconciler.model.history import Attempt, History
from reconciler.model.images import Image, ImageDefaults, ImageWant
from reconciler.model.observed import Container, ObservedState
from reconciler.model.rendered import Rendered as Rendered
from reconciler.model.requests import Request
from reconciler.model.stock import InUse, StoredImage
from reconciler.model.uses import Uses
from reconciler.model.ways import Way


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

    def unpin(self, name: str) -> None:
        """Forget a pin (an effect only where there is one)."""

    def pins(self, prefix: str) -> Mapping[str, str]:
        """name → sha of every pin whose name begins with `prefix`."""

    def tidy(self) -> None:
        """Give up what no head and no pin leads to, where enough has piled up. Transient when it takes too long."""

    def find(self, revision: str) -> str | None:
        """The full sha of the commit that people call so: a sha, the beginning of one, the branch, main~2."""

    def fetched(self) -> str | None:
        """The branch's head as it was fetched last; None before the first fetch."""


class Renderer(Protocol):
    def render(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Rendered:
        """Compose's canonical model; it reads `named`, of `files`. Transient when Compose itself cannot be run."""

    def close(self) -> None:
        """Remove what was laid out for Compose; called once the stacks of a commit are rendered."""

    def given(self, stack: str) -> Mapping[str, str]:
        """Variables that the host has for this stack."""

    def trouble(self) -> Usage | None:
        """What keeps the host's secrets from being read as they are now; what they held before counts until then."""

    def fingerprint(self) -> str:
        """Digest of everything on the host that flows into a model (secrets_dir); '' where there is none."""


class Requests(Protocol):
    """What operators ask of the process that holds the state lock."""

    def waiting(self) -> Sequence[Request]:
        """Those that nobody has removed, oldest first. What cannot be understood is put aside."""

    def remove(self, request: Request) -> None:
        """It was answered, durably."""


class Store(Protocol):
    """Admitted states, kept for the rollback. Transient when the disk refuses."""

    def save(self, desired: DesiredState, models: Mapping[str, Mapping[str, Any]]) -> None:
        """Durable before it returns; an effect only where it is new, or came from another commit or other secrets."""

    def load(self, content: str) -> DesiredState | None: ...

    def current(self, content: str) -> bool:
        """Whether the host's secrets are still those that it was rendered with."""

    def keep(self, contents: Iterable[str]) -> None:
        """Forget every state but these; each that goes is an effect."""


class Journal(Protocol):
    """The only truth. Each append is durable before it returns."""

    def append(self, kind: str, *, at: float, **fields: Any) -> None: ...

    def records(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def is_long(self) -> bool:
        """Whether what was read last is worth shortening."""

    def shorten(self, shorter: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]) -> bool:
        """Put `shorter(records)` in their place, durably or not at all, where that is worth it. Whether it was."""


class Reporter(Protocol):
    """Tells a commit's final state on the commit."""

    def tell(self, attempt: Attempt) -> bool:
        """False: it could not be told now; it is tried again."""

    def keep(self, history: History) -> None:
        """See that what was told still stands; asked in every turn, so cheap where it does."""


class UseRecord(Protocol):
    """Which of the operator's entries last good needs. Raises nothing: it can be lost at any time."""

    def load(self) -> Uses: ...

    def save(self, uses: Uses) -> None: ...


class Images(Protocol):
    def local(self, wants: Sequence[ImageWant]) -> Mapping[str, Image]:
        """want.key → image, for those that the machine has."""

    def stored(self) -> Sequence[StoredImage]:
        """Every image that the machine has, by id."""


class HostFiles(Protocol):
    """Files of the machine outside of the state folder."""

    def holds(self, path: str, entries: Mapping[str, Entry], since: str) -> bool:
        """Whether all `entries` stand below `path` with these bytes, and have not been written after `since`
        (RFC 3339)."""

    def filled(self, paths: Iterable[str], links: Mapping[str, str]) -> frozenset[str]:
        """Those of the paths that are folders with something in them, or files. `links`: as in `ways`."""

    def ways(self, paths: Iterable[str], links: Mapping[str, str]) -> Mapping[str, Way]:
        """Where these paths of the host lead, without following what a container may have made. `links`: those that
        adoption made, place → target."""


class Watch(Protocol):
    """The engine's events about our containers, from before the first start on."""

    def wait(self, timeout: float) -> bool:
        """Return at the next event or after `timeout` seconds. False: the stream broke since the last call."""

    def events(self) -> Mapping[str, Collection[str]]:
        """Container's id → what befell it since the watch began: `oom` (the kernel has killed), `kill` (a signal)."""

    def touched(self) -> frozenset[str]:
        """Ids of containers that the events since the last call are about."""


class Observer(Protocol):
    """Looks at the engine. Away when it does not answer."""

    def look(self, stacks: Iterable[str]) -> ObservedState:
        """One cheap list of the stacks' containers."""

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        """Everything: details of the stacks' containers, networks, volumes, the others' memory, the engine's size."""

    def in_use(self) -> InUse:
        """What all containers on the machine need, those of others and stopped ones too."""

    def defaults(self, images: Iterable[str]) -> Mapping[str, ImageDefaults]:
        """What these images (ids) say; those that are gone are left out."""

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        """These containers, inspected; those that are gone are left out."""

    def usage(self, ids: Iterable[str]) -> Mapping[str, int]:
        """Bytes that running containers use, without page cache that can be given back."""

    def watch(self) -> AbstractContextManager[Watch]: ...

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        """The last lines since its last start, both streams."""

    def health_output(self, container: str) -> str | None:
        """What the newest probe since its last start printed."""

    def addresses_used(self, without: Collection[str], hosts: Iterable[str]) -> Sequence[Claim]:
        """What the machine itself uses: routes, addresses, gateways, resolvers, and where `hosts` are. `without`:
        interfaces whose routes do not count. Of a machine that is not this one only the hosts are known."""

    def ports_taken(self, ports: Iterable[tuple[str, int, str]]) -> Mapping[tuple[str, int, str], str]:
        """Those of (address, port, protocol) that something on the machine holds, with the holder's name."""


class ReadBack(Protocol):
    """Compose, asked what it reads in a create-file."""

    @property
    def version(self) -> str:
        """Of Compose: major and minor."""

    def __call__(self, stack: str, project: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Why Compose refuses it ('': it does not), and service and key of what it reads in another way than it is
        written. Transient when Compose cannot be run."""


class Applier(Protocol):
    """Changes the machine, one effect a call. Away when the engine does not answer."""

    def pull(self, want: ImageWant) -> Image:
        """ImageFailed when there is no such image; Transient when the registry cannot be asked."""

    def build(self, want: ImageWant, files: Files) -> Image:
        """ImageFailed when the build fails."""

    def remove_image(self, name: str) -> None:
        """A tag or an id. What anything uses stays, as the engine decides; no error when it is gone."""

    def stored_trees(self) -> Sequence[str]:
        """Digests of the trees that there are."""

    def remove_trees(self, digests: Iterable[str]) -> None: ...

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        """Write the mounts of the commit that are missing; `files` None: only what needs no commit. Returns the digests
        of what was written."""

    def link(self, folder: str, to: str) -> None:
        """Let a data folder of ours be one that is there already. No effect where it is; Transient where it holds
        data of its own."""

    def create_network(self, network: Network) -> None: ...

    def remove_network(self, name: str) -> None:
        """Disconnects our stopped containers first. No error when it is gone; one that is in use stays."""

    def create_volume(self, volume: Volume) -> None: ...

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        """Create, never start: ONE Compose call. `existing`: containers of each service there are already.
        Transient, and nothing is created, where a path leads over a link that a container may have made."""

    def start(self, container: str) -> None:
        """RolloutFailed when the engine refuses to start it (Crashed: its program cannot be started); Transient where
        one of its paths leads over a link that a container may have made."""

    def start_all(self, containers: Sequence[str]) -> Mapping[str, ReconcilerError]:
        """Start them together, each an effect. Those that do not start, with what `start` would have raised."""

    def stop_all(self, graces: Mapping[str, float]) -> None:
        """Stop them together, each an effect. `graces`: container → seconds until it is killed."""

    def rename(self, container: str, name: str) -> None: ...

    def update(self, container: str, restart: str) -> None:
        """Set the restart policy (Compose's spelling: no, always, unless-stopped, on-failure[:N])."""

    def update_all(self, policies: Mapping[str, str]) -> None:
        """Set those of several containers together, each an effect. What `update` raises, when all have been tried."""

    def limit(self, container: str, limits: Mapping[str, Any]) -> None:
        """Hold a container that may run to these, as in decide.wanted_facts.limits. RolloutFailed when refused."""

    def resume(self, container: str) -> None:
        """Continue what somebody has paused. No error where it is not paused."""

    def connect(self, container: str, endpoint: Endpoint) -> None:
        """The whole endpoint; one that lacks something of it is replaced."""

    def disconnect(self, container: str, network: str) -> None: ...

    def remove(self, container: str) -> None:
        """Never with volumes. No error when it is gone."""
