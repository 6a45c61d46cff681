"""Observes through the engine. Every method raises Away if the engine does not answer."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError, NotFound

from reconciler.engine import engine_calls, explanation, plain_inspect, plain_stats
from reconciler.log import logger
from reconciler.model.addresses import Claim
from reconciler.model.images import ImageDefaults, defaults_of
from reconciler.model.observed import (
    COMPOSE_PROJECT,
    LABEL_HOST,
    Container,
    Foreign,
    ObservedNetwork,
    ObservedState,
    ObservedVolume,
    Started,
)
from reconciler.model.ports import CONTAINER, Port
from reconciler.model.stock import InUse
from reconciler.model.times import engine_time
from reconciler.observe import abilities
from reconciler.observe import containers as read
from reconciler.observe.events import EventWatch
from reconciler.observe.host import holders, is_bound

AT_ONCE = 4
"""Number of questions that the engine gets at the same moment."""

NO_CONTAINER = "another process of this machine"
STARTED_AT_LAG = 0.5
"""Seconds by which the engine's StartedAt may be late on a busy machine."""


class EngineObserver:
    """All observations through the engine at `client` (see `reconciler.engine.connect`).

    `host`: name of the host whose containers are ours, as in the label `dev.reconciler.host`. `address`: the engine's;
    with it the calls for single containers and images go without the client's library, which takes six times as long.
    """

    def __init__(self, client: docker.APIClient, host: str, address: str = "") -> None:
        self._client, self._address = client, address
        self._host = host
        self._images: dict[str, ImageDefaults] = {}

    def look(self, stacks: Iterable[str]) -> ObservedState:
        """One list call, without what only an inspect knows. The state may be some milliseconds old."""
        wanted = frozenset(stacks)
        if not wanted:
            return ObservedState()
        return read.listed_state(wanted, self._list(read.label_filter(wanted)))

    def inspect(self, stacks: Iterable[str]) -> ObservedState:
        """The full state: one inspect for each container that runs or is ours, and four lists."""
        wanted = frozenset(stacks)
        with ThreadPoolExecutor(1) as beside:
            itself = beside.submit(self._machine)  # the slowest of the lists: the engine counts everything that it has
            answers = self._list()
            ours = [answer["Id"] for answer in answers if read.stack_of(answer) in wanted]
            containers = read.ordered(self.details(ours).values())
            machine = itself.result()
        return ObservedState(
            containers=containers,
            foreign=self._foreign(answer for answer in answers if read.stack_of(answer) not in wanted),
            networks=self._networks(answers),
            volumes=self._volumes(),
            memory_total=int(machine["MemTotal"]),
            complete=True,
            images=self.defaults(item.image for item in containers),
            others={read.name_of(one): read.stack_of(one) for one in answers if read.stack_of(one) not in wanted},
            log_driver=str(machine.get("LoggingDriver") or ""),
            engine=abilities.read(machine, {}, self._client.api_version, self._is_local(), time.time()),
        )

    def in_use(self) -> InUse:
        answers = self._list()
        sources = {mount.get("Source", "") for answer in answers for mount in answer.get("Mounts") or ()}
        return InUse(frozenset(answer.get("ImageID", "") for answer in answers), frozenset(sources))

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        wanted = list(ids)
        if len(wanted) > 1:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                answers = list(pool.map(self._inspect, wanted))
        else:
            answers = [self._inspect(container) for container in wanted]
        return {one["Id"]: read.inspected(one, self._counted(one)) for one in answers if one is not None}

    def defaults(self, images: Iterable[str]) -> Mapping[str, ImageDefaults]:
        """Settings of these images (by id); missing images are left out. Each is requested once, because ids never
        change."""
        wanted = dict.fromkeys(images)
        for image in wanted:
            if image not in self._images and (found := self._image(image)) is not None:
                self._images[image] = found
        return {image: self._images[image] for image in wanted if image in self._images}

    def _image(self, image: str) -> ImageDefaults | None:
        known, found = plain_inspect(self._address, "images", image)
        if known:
            return None if found is None else defaults_of(found)
        with engine_calls(f"inspect image {image[:19]}"):
            try:
                answer: dict[str, Any] = self._client.inspect_image(image)  # type: ignore[no-untyped-call]
            except NotFound:
                return None
            return defaults_of(answer)

    def usage(self, ids: Iterable[str]) -> Mapping[str, int]:
        """Bytes of memory that containers use now (working set); containers that do not run are left out."""
        measured = {container: self._working_set(container) for container in ids}
        return {container: size for container, size in measured.items() if size}

    def started(self) -> Sequence[Started]:
        """Names of the Compose projects that were started without an agent."""
        return read.started(self._list({"label": COMPOSE_PROJECT}))

    def watch(self) -> EventWatch:
        return EventWatch(self._client, self._host)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        """Empty if the container is gone or its log driver cannot be read."""
        answer = self._inspect(container)
        if answer is None or not lines:
            return ()
        began = _life_began(answer["State"])
        found = self._tail(container, lines, began)
        if found or began is None or answer["State"]["Running"]:
            return found
        # On a busy machine the engine records the start of a short run only after its end. Then lines of the previous
        # run are better than none.
        return self._tail(container, lines, None)

    def _tail(self, container: str, lines: int, since: float | None) -> tuple[str, ...]:
        with engine_calls(f"read the log of {container[:12]}"):
            try:
                text = self._client.logs(container, tail=lines, since=since)
            except APIError as error:
                logger.debug("no log of {}: {}", container[:12], explanation(error))
                return ()
        return tuple(text.decode(errors="replace").splitlines()[-lines:])

    def health_output(self, container: str) -> str | None:
        answer = self._inspect(container)
        if answer is None:
            return None
        started = engine_time(answer["State"].get("StartedAt", "")) or 0.0
        probes = (answer["State"].get("Health") or {}).get("Log") or ()
        recent = [probe for probe in probes if (engine_time(probe["Start"]) or 0.0) >= started]
        if not recent:
            return None
        output, code = str(recent[-1]["Output"]).strip(), recent[-1]["ExitCode"]
        return f"no output, exit code {code}" if code and not output else output

    def addresses_used(self, without: Collection[str], hosts: Iterable[str]) -> Sequence[Claim]:
        """On Linux, the addresses that this machine uses. If the engine lives in a virtual machine, only those of the
        hosts."""
        from reconciler.observe import routes

        own = routes.of_this_machine(without) if self._on_this_machine() else []
        return [*own, *routes.of_hosts(hosts)]

    def ports_taken(self, ports: Iterable[Port]) -> Mapping[Port, str]:
        """Ports of our own containers do not count: a switch stops their holder first."""
        wanted = tuple(ports)
        if not wanted:
            return {}
        ours, foreign = self._held()
        taken = holders(wanted, foreign)
        if self._on_this_machine():
            free = [port for port in wanted if port not in taken and port not in holders([port], ours)]
            taken |= {port: NO_CONTAINER for port in free if is_bound(port)}
        return taken

    def _held(self) -> tuple[dict[Port, str], dict[Port, str]]:
        ours: dict[Port, str] = {}
        foreign: dict[Port, str] = {}
        for answer in self._list():
            mine = (answer.get("Labels") or {}).get(LABEL_HOST) == self._host
            held = dict.fromkeys(read.listed_ports(answer), f"{CONTAINER}{read.name_of(answer)}")
            (ours if mine else foreign).update(held)
        return ours, foreign

    def _on_this_machine(self) -> bool:
        # Elsewhere (macOS, too) the engine lives in a virtual machine, whose ports cannot be tried from here.
        return sys.platform == "linux" and self._is_local()

    def _is_local(self) -> bool:
        return self._client.base_url == "http+docker://localhost"

    def _list(self, filters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with engine_calls("list containers"):
            answers: list[dict[str, Any]] = self._client.containers(all=True, filters=filters)
            return answers

    def _inspect(self, container: str) -> dict[str, Any] | None:
        known, found = plain_inspect(self._address, "containers", container)
        if known:
            return found
        with engine_calls(f"inspect container {container[:12]}"):
            try:
                answer: dict[str, Any] = self._client.inspect_container(container)
            except NotFound:
                return None
            return answer

    def _foreign(self, answers: Iterable[Mapping[str, Any]]) -> tuple[Foreign, ...]:
        found = []
        for listed in answers:
            answer = self._inspect(listed["Id"]) if listed["State"] in read.ACTIVE else None
            if answer is not None:
                found.append(self._foreign_container(read.inspected(answer, self._counted(answer)), answer))
        return tuple(sorted(found, key=lambda item: item.name))

    @staticmethod
    def _foreign_container(container: Container, answer: Mapping[str, Any]) -> Foreign:
        return Foreign(container.id, container.name, container.memory, container.ports, container.started_at)

    def _counted(self, answer: Mapping[str, Any]) -> int | None:
        """Memory that a running container without a limit counts for; None if it has a limit or does not run."""
        if answer["HostConfig"].get("Memory") or answer["State"]["Status"] not in read.ACTIVE:
            return None
        return max(read.LEAST_COUNTED, self._working_set(answer["Id"]))

    def _working_set(self, container: str) -> int:
        known, found = plain_stats(self._address, container)
        if known:
            return read.working_set(found or {})
        with engine_calls(f"measure container {container[:12]}"):
            try:
                return read.working_set(self._client.stats(container, stream=False, one_shot=True))
            except NotFound:
                return 0

    def _networks(self, answers: Iterable[Mapping[str, Any]]) -> dict[str, ObservedNetwork]:
        attached: dict[str, dict[str, frozenset[str]]] = {}
        for answer in answers:
            for name, endpoint in ((answer.get("NetworkSettings") or {}).get("Networks") or {}).items():
                attached.setdefault(name, {})[answer["Id"]] = read.addresses(endpoint)
        with engine_calls("list networks"):
            networks = self._client.networks()
        return {item["Name"]: read.network(item, attached.get(item["Name"], {})) for item in networks}

    def _volumes(self) -> dict[str, ObservedVolume]:
        with engine_calls("list volumes"):
            volumes = self._client.volumes()["Volumes"] or ()
        return {item["Name"]: read.volume(item) for item in volumes}

    def _machine(self) -> Mapping[str, Any]:
        with engine_calls("describe itself"):
            return self._client.info()


def _life_began(state: Mapping[str, Any]) -> float | None:
    """Time of the last start; None if there was no run before.

    The engine records StartedAt when the program already runs, so its first lines may be older, but never older than
    the end of the previous run.
    """
    started, finished = engine_time(state.get("StartedAt", "")), engine_time(state.get("FinishedAt", ""))
    if not started or not finished:
        return None
    return max(started - STARTED_AT_LAG, finished if finished < started else 0.0)
