"""All changes of the machine, behind one port."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from reconciler.act.data_folders import DataFolders, bound
from reconciler.act.trees import SecretMounts, TreeStore
from reconciler.errors import ReconcilerError
from reconciler.model.creation import Creation
from reconciler.model.desired import DesiredState, Endpoint, Network, Stack, Volume
from reconciler.model.files import Files
from reconciler.model.images import Image, ImageWant

if TYPE_CHECKING:
    from reconciler.act.build import ImageBuilder
    from reconciler.act.compose import ComposeCreator
    from reconciler.act.engine import EngineApplier
    from reconciler.act.images import ImagePuller


class MachineApplier:
    """`loop.ports.Applier`: passes each call to the class that can do it. `keep_log`: called with a container before it
    is removed."""

    def __init__(
        self,
        engine: EngineApplier,
        creator: ComposeCreator,
        puller: ImagePuller,
        builder: ImageBuilder,
        trees: TreeStore,
        secrets: SecretMounts,
        data: DataFolders,
        keep_log: Callable[[str], None] = lambda container: None,
    ) -> None:
        self._engine, self._creator, self._puller, self._builder = engine, creator, puller, builder
        self._trees, self._secrets, self._data, self._keep_log = trees, secrets, data, keep_log

    def pull(self, want: ImageWant) -> Image:
        return self._puller.pull(want)

    def build(self, want: ImageWant, files: Files) -> Image:
        return self._builder.build(want, files)

    def trees(self, desired: DesiredState, files: Files | None) -> frozenset[str]:
        """The commit's mounts, and the host's data folders that it names (created empty, never removed)."""
        written = self._trees.ensure(desired.trees, files, self._secrets)
        self._data.ensure(desired)
        return written

    def stored_trees(self) -> Sequence[str]:
        return [*self._trees.stored(), *self._secrets.mounted()]

    def remove_trees(self, digests: Iterable[str]) -> None:
        self._trees.remove(digests, self._secrets)

    def remove_image(self, name: str) -> None:
        self._engine.remove_image(name)

    def link(self, folder: str, to: str) -> None:
        self._data.link(folder, to)

    def create(self, stack: Stack, services: Sequence[Creation], existing: Mapping[str, int]) -> None:
        self._data.check(path for item in services for path in bound(item.service))
        self._creator.create(stack, services, existing)

    def create_network(self, network: Network) -> None:
        self._engine.create_network(network)

    def remove_network(self, name: str) -> None:
        self._engine.remove_network(name)

    def create_volume(self, volume: Volume) -> None:
        self._engine.create_volume(volume)

    def start(self, container: str) -> None:
        self._data.check(self._engine.bound(container))
        self._engine.start(container)

    def start_all(self, containers: Sequence[str]) -> Mapping[str, ReconcilerError]:
        """The engine resolves paths anew at each start, so they are checked before."""
        failed: dict[str, ReconcilerError] = {}
        for container in containers:
            try:
                self._data.check(self._engine.bound(container))
            except ReconcilerError as error:
                failed[container] = error
        return failed | self._engine.start_all([item for item in containers if item not in failed])

    def stop_all(self, graces: Mapping[str, float]) -> None:
        self._engine.stop_all(graces)

    def rename(self, container: str, name: str) -> None:
        self._engine.rename(container, name)

    def update(self, container: str, restart: str) -> None:
        self._engine.update(container, restart)

    def update_all(self, policies: Mapping[str, str]) -> None:
        self._engine.update_all(policies)

    def limit(self, container: str, limits: Mapping[str, Any]) -> None:
        self._engine.limit(container, limits)

    def resume(self, container: str) -> None:
        self._engine.resume(container)

    def disconnect(self, container: str, network: str) -> None:
        self._engine.disconnect(container, network)

    def connect(self, container: str, endpoint: Endpoint) -> None:
        self._engine.connect(container, endpoint)

    def connect_apart(self, container: str, endpoint: Endpoint) -> None:
        self._engine.connect_apart(container, endpoint)

    def remove(self, container: str) -> None:
        self._keep_log(container)
        self._engine.remove(container)
