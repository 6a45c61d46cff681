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
    """The watched branch. Only `fetch` contacts the remote; all other methods read the local mirror."""

    def fetch(self) -> Commit:
        """The branch's head, fetched. Transient (FetchFailed) if the remote or the branch cannot be read."""

    def commit(self, sha: str) -> Commit:
        """KeyError when the mirror does not have it."""

    def files(self, sha: str) -> Files: ...

    def is_ancestor(self, old: str, new: str) -> bool:
        """False also if the mirror no longer has `old`."""

    def pin(self, name: str, sha: str) -> None:
        """Keep a commit under `refs/reconciler/<name>` (an effect only where it changes something)."""

    def unpin(self, name: str) -> None:
        """Forget a pin (an effect only where there is one)."""

    def pins(self, prefix: str) -> Mapping[str, str]:
        """name → sha of every pin whose name begins with `prefix`."""

    def tidy(self) -> None:
        """Repack and drop unreachable objects, if there are enough. Transient if it takes too long."""

    def find(self, revision: str) -> str | None:
        """The full sha for a revision that a person wrote: a sha, its beginning, the branch, main~2."""

    def fetched(self) -> str | None:
        """The branch's head as it was fetched last; None before the first fetch."""


class Renderer(Protocol):
    @property
    def at_once(self) -> int:
        """Number of stacks that may be begun and not finished."""

    def begin(self, files: Files, stack: StackDocument, named: Iterable[str]) -> Callable[[], Rendered]:
        """Start Compose, which reads `named`, of `files`; the returned function waits for its canonical model. Both are
        Transient when Compose itself cannot be run."""

    def close(self) -> None:
        """End what was begun, and remove the files that were written for Compose."""

    def given(self, stack: str) -> Mapping[str, str]:
        """Variables that the host has for this stack."""

    def trouble(self) -> Usage | None:
        """The fault that prevents reading the host's secrets; until it ends, their earlier values count."""

    def fingerprint(self) -> str:
        """Digest of all host inputs of a model (secrets_dir); '' without secrets_dir."""


class Requests(Protocol):
    """Operators' requests to the process that holds the state lock."""

    def waiting(self) -> Sequence[Request]:
        """Waiting requests, oldest first. Files that are no requests are renamed."""

    def remove(self, request: Request) -> None:
        """Remove a request, after its answer is durable."""


class Store(Protocol):
    """Stored desired states, for the rollback. Transient if the disk refuses."""

    def save(self, desired: DesiredState, models: Mapping[str, Mapping[str, Any]]) -> None:
        """Durable before it returns; an effect only if the state is new, or came from another commit or other
        secrets."""

    def load(self, content: str) -> DesiredState | None: ...

    def current(self, content: str) -> bool:
        """Whether the host's secrets are the same as when it was rendered."""

    def keep(self, contents: Iterable[str]) -> None:
        """Remove every state but these; each removal is an effect."""


class Journal(Protocol):
    """The one source of truth. Each append is durable before it returns."""

    def append(self, kind: str, *, at: float, **fields: Any) -> None: ...

    def records(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def is_long(self) -> bool:
        """Whether the journal is long enough to be shortened."""

    def shorten(self, shorter: Callable[[Sequence[Mapping[str, Any]]], Sequence[Mapping[str, Any]]]) -> bool:
        """Replace all by `shorter(records)`, durably or not at all, if that saves enough. Returns whether it did."""


class Reporter(Protocol):
    """Writes a commit's final state into a note on the commit."""

    def tell(self, attempt: Attempt) -> bool:
        """False: the note could not be written now; it is tried again."""

    def keep(self, history: History) -> None:
        """Restore missing notes. Called in every turn, so it is cheap if none is missing."""


class UseRecord(Protocol):
    """Which entries of the agent config last good needs. Raises nothing: this record can be lost at any time."""

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
        """The paths that are files or non-empty folders. `links`: as in `ways`."""

    def ways(self, paths: Iterable[str], links: Mapping[str, str]) -> Mapping[str, Way]:
        """The targets of these host paths, without following links that a container may have made. `links`: those that
        adoption made, place → target."""


class Watch(Protocol):
    """The engine's events about our containers, from before the first start on."""

    def wait(self, timeout: float) -> bool:
        """Return at the next event or after `timeout` seconds. False: the stream broke since the last call."""

    def events(self) -> Mapping[str, Collection[str]]:
        """Container's id → its events since the watch began: `oom` (the kernel killed a process), `kill` (a signal)."""

    def touched(self) -> frozenset[str]:
        """Ids of containers that the events since the last call are about."""


class Observer(Protocol):
    """Looks at the engine. Away when it does not answer."""

    def look(self, stacks: Iterable[str]) -> ObservedState:
        """The stacks' containers, by one sparse call."""

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        """The full state: details of the stacks' containers, networks, volumes, memory of other containers, the
        engine's size."""

    def in_use(self) -> InUse:
        """Images, mounts and networks of all containers on the machine, also unmanaged and stopped ones."""

    def defaults(self, images: Iterable[str]) -> Mapping[str, ImageDefaults]:
        """Defaults of these images (ids); missing images are left out."""

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        """These containers, inspected; missing ones are left out."""

    def usage(self, ids: Iterable[str]) -> Mapping[str, int]:
        """Bytes that running containers use, without page cache that can be given back."""

    def watch(self) -> AbstractContextManager[Watch]: ...

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        """The container's last lines since its last start, of both streams."""

    def health_output(self, container: str) -> str | None:
        """The output of the container's newest probe since its last start."""

    def addresses_used(self, without: Collection[str], hosts: Iterable[str]) -> Sequence[Claim]:
        """Addresses that the machine itself uses: routes, own addresses, gateways, resolvers, and those of `hosts`.
        `without`: interfaces whose routes do not count. Of a machine that is not this one only the hosts are known."""

    def ports_taken(self, ports: Iterable[tuple[str, int, str]]) -> Mapping[tuple[str, int, str], str]:
        """The given (address, port, protocol) that are in use on the machine, with the holder's name; `container …` if
        it is one."""


class ReadBack(Protocol):
    """Lets Compose read a create-file back."""

    @property
    def version(self) -> str:
        """Compose's version: major and minor."""

    def __call__(self, stack: str, project: Mapping[str, Any]) -> tuple[str, tuple[tuple[str, str], ...]]:
        """Compose's error ('' if none), and the services and keys that Compose reads differently from the file.
        Transient when Compose cannot be run."""


class Applier(Protocol):
    """Changes the machine, one effect a call. Away when the engine does not answer."""

    def pull(self, want: ImageWant) -> Image:
        """ImageFailed when there is no such image; Transient when the registry cannot be asked."""

    def build(self, want: ImageWant, files: Files) -> Image:
        """ImageFailed when the build fails."""

    def remove_image(self, name: str) -> None:
        """Remove a tag or an id. The engine keeps images in use; no error if it is gone."""

    def stored_trees(self) -> Sequence[str]:
        """Digests of the existing trees."""

    def remove_trees(self, digests: Iterable[str]) -> None: ...

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        """Write missing mounts of the commit; `files` None: only those without files of the commit. Returns the digests
        of the written ones."""

    def link(self, folder: str, to: str) -> None:
        """Make a data folder of ours a link to an existing folder. No effect if the link exists; Transient if the
        folder has data."""

    def create_network(self, network: Network) -> None: ...

    def remove_network(self, name: str) -> None:
        """Disconnects our stopped containers first. No error when it is gone; one that is in use stays."""

    def create_volume(self, volume: Volume) -> None: ...

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        """Create, never start: ONE Compose call. `existing`: number of existing containers of each service. Transient,
        and nothing is created, if a path leads through a link that a container may have made."""

    def start(self, container: str) -> None:
        """RolloutFailed if the engine refuses to start it (Crashed: its program cannot be started); Transient if one of
        its paths leads through a link that a container may have made."""

    def start_all(self, containers: Sequence[str]) -> Mapping[str, ReconcilerError]:
        """Start them together, each an effect. Returns those that did not start, with the error that `start` would
        raise."""

    def stop_all(self, graces: Mapping[str, float]) -> None:
        """Stop them together, each an effect. `graces`: container → seconds until it is killed."""

    def rename(self, container: str, name: str) -> None: ...

    def update(self, container: str, restart: str) -> None:
        """Set the restart policy (Compose's spelling: no, always, unless-stopped, on-failure[:N])."""

    def update_all(self, policies: Mapping[str, str]) -> None:
        """Set the policies of several containers together, each an effect. Raises like `update`, after all were
        tried."""

    def limit(self, container: str, limits: Mapping[str, Any]) -> None:
        """Set the limits of a container, also of a running one, as in decide.drift.wanted_facts.limits. RolloutFailed
        if refused."""

    def resume(self, container: str) -> None:
        """Unpause a container. No error if it is not paused."""

    def connect(self, container: str, endpoint: Endpoint) -> None:
        """Connect with the whole endpoint; an incomplete one is replaced."""

    def connect_apart(self, container: str, endpoint: Endpoint) -> None:
        """Connect without the endpoint's aliases. No effect if it is connected so."""

    def disconnect(self, container: str, network: str) -> None: ...

    def remove(self, container: str) -> None:
        """Remove it, never its volumes. No error if it is gone."""
