"""Changes the machine through the engine: one call, one effect. Volumes are never removed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import docker
from docker.errors import APIError, NotFound, create_api_error_from_http_exception
from requests.exceptions import ConnectionError as Disconnected
from requests.exceptions import HTTPError, ReadTimeout

from reconciler.act.networks import endpoint_request, is_endpoint, limits_request, network_request, volume_request
from reconciler.act.refusals import gone, name_taken, refusals
from reconciler.effects import Effects
from reconciler.engine import TIMEOUT, engine_calls, explanation
from reconciler.errors import Away, ReconcilerError
from reconciler.formats.devices import bound_device
from reconciler.log import logger
from reconciler.model.desired import Endpoint, Network, Volume
from reconciler.model.observed import COMPOSE_PROJECT, LABEL_HOST, LABEL_SPEC
from reconciler.model.outcome import Reason
from reconciler.waiting import LOOK, attend

STOP_SIGNAL = "SIGTERM"
"""The stop signal of a container that names none, or none that the engine knows."""

CONFLICT, BAD_REQUEST = 409, 400

SHORTEST = 0.01
"""Minimum seconds within which the engine must answer."""

AT_ONCE = 4
"""Number of containers that start at the same moment; more would not help an engine on a small machine."""


class EngineApplier:
    """The part of `loop.ports.Applier` that calls the engine. All methods raise Away if the engine does not answer.

    `host`: the agent's host, for the labels of created objects; networks without them are not removed. If somebody has
    removed a needed container meanwhile, Transient is raised.
    """

    def __init__(self, client: docker.APIClient, effects: Effects, host: str) -> None:
        self._client = client
        self._effects = effects
        self._host = host

    def bound(self, container: str) -> list[str]:
        """The paths of the host that it mounts, those behind volumes, too: the engine resolves each anew."""
        with engine_calls(f"inspect {container[:12]}"), gone(container):
            mounts = self._client.inspect_container(container)["Mounts"]
            names = [item["Name"] for item in mounts if item["Type"] == "volume"]
            options = [self._client.inspect_volume(name).get("Options") or {} for name in names]
        devices = [device for item in options if (device := bound_device(item))]
        return [*(str(item["Source"]) for item in mounts if item["Type"] == "bind"), *devices]

    def start(self, container: str) -> None:
        """RolloutFailed if it is refused: Crashed for the program, DependencyNotReady for a used port, EngineRefused
        for anything else."""
        self._announce("start", container)
        self._start(container)

    def start_all(self, containers: Sequence[str]) -> dict[str, ReconcilerError]:
        """Start them together, each as one effect. Returns those that did not start, with the error that `start` would
        raise."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            calls: dict[str, Future[None]] = {}
            for container in containers:
                self._announce("start", container)
                calls[container] = pool.submit(self._start, container)
        return _failed(calls)

    def _start(self, container: str) -> None:
        with engine_calls(f"start {container[:12]}"), refusals("start it"), gone(container):
            self._client.start(container)

    def stop_all(self, graces: Mapping[str, float]) -> None:
        """Send each container its stop signal, and SIGKILL after its number of seconds. No error if a container has
        stopped or is gone.

        The engine's own stop call goes on when we are gone, and at its end kills a container that may be needed again
        by then. So we wait for the grace period here. If the wait is ended, the container has been asked to stop, and
        may still run.
        """
        until: dict[str, float] = {}
        for container, grace in graces.items():
            with self._effect("stop", container), self._stopping(container):
                self._ask_to_stop(container)
                until[container] = time.monotonic() + grace
        killed = []
        for container, moment in until.items():
            with engine_calls(f"stop {container[:12]}"), self._stopping(container):
                if not self._ends(container, moment - time.monotonic()):
                    self._client.kill(container)
                    killed.append(container)
        for container in killed:
            with engine_calls(f"stop {container[:12]}"):
                if not self._ends(container, TIMEOUT):
                    raise Away(
                        Reason.ENGINE_UNAVAILABLE,
                        f"container {container[:12]} runs on {TIMEOUT} s after it was killed",
                        "The engine's own log says more; a process that waits for a disk cannot be killed.",
                    )

    @contextmanager
    def _stopping(self, container: str) -> Iterator[None]:
        """Ignores the engine's error if the container has ended or is gone: then the call was not needed."""
        try:
            yield
        except NotFound:
            logger.warning("container {} should be stopped, but is gone", container[:12])
        except APIError as error:
            if error.status_code != CONFLICT:
                raise
            logger.debug("container {} does not run: {}", container[:12], explanation(error))

    def _ask_to_stop(self, container: str) -> None:
        signal = self._client.inspect_container(container)["Config"].get("StopSignal") or STOP_SIGNAL
        try:
            self._client.kill(container, signal)
        except APIError as error:
            if error.status_code != BAD_REQUEST:
                raise
            self._client.kill(container, STOP_SIGNAL)

    def _ends(self, container: str, seconds: float) -> bool:
        """Whether the container ends within `seconds`. The wait can be ended (`waiting.attend`)."""
        until = time.monotonic() + seconds
        while True:
            left = until - time.monotonic()
            if self._has_ended(container, min(max(left, SHORTEST), LOOK)):
                return True
            if left <= LOOK:
                return False
            attend()

    def _has_ended(self, container: str, seconds: float) -> bool:
        """Whether the container has ended. Returns as soon as it has, at the latest after `seconds`."""
        try:
            self._client.wait(container, timeout=seconds, condition="not-running")  # type: ignore[arg-type]
        except NotFound:
            return True
        except (ReadTimeout, Disconnected) as error:
            if "timed out" not in str(error):
                raise
            return False
        return True

    def rename(self, container: str, name: str) -> None:
        """No error if it has the name already. Transient if another container has it."""
        with self._effect("rename", container, name), gone(container):
            try:
                self._client.rename(container, name)
            except APIError as error:
                if self._client.inspect_container(container)["Name"] == f"/{name}":
                    return
                if error.status_code == 409:
                    raise name_taken(name, error) from error
                raise

    def update(self, container: str, restart: str) -> None:
        self._announce("update", container, f"restart={restart}")
        self._update(container, restart)

    def update_all(self, policies: Mapping[str, str]) -> None:
        """Container → restart policy, all together, each as one effect. Raises what `update` raises, after all have
        ended."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            calls: dict[str, Future[None]] = {}
            for container, restart in policies.items():
                self._announce("update", container, f"restart={restart}")
                calls[container] = pool.submit(self._update, container, restart)
        for error in _failed(calls).values():
            raise error

    def _update(self, container: str, restart: str) -> None:
        name, _, most = restart.partition(":")
        # The library's types have only two of the four policies.
        policy: Any = {"Name": name, "MaximumRetryCount": int(most or 0)}
        with engine_calls(f"update {container[:12]}"), gone(container):
            self._client.update_container(container, restart_policy=policy)

    def limit(self, container: str, limits: Mapping[str, Any]) -> None:
        """Change what `docker update` can change. RolloutFailed if the engine refuses."""
        with self._effect("limit", container), gone(container), refusals("change its limits"):
            # The library has neither cpus nor pids here.
            url = f"{self._client.base_url}/v{self._client.api_version}/containers/{container}/update"
            response = self._client.post(url, json=limits_request(limits), timeout=TIMEOUT)
            try:
                response.raise_for_status()
            except HTTPError as error:
                raise create_api_error_from_http_exception(error) from error

    def resume(self, container: str) -> None:
        """No error if it is not paused."""
        with self._effect("resume", container), gone(container):
            try:
                self._client.unpause(container)
            except APIError as error:
                if self._client.inspect_container(container)["State"]["Paused"]:
                    raise
                logger.debug("container {} was not paused: {}", container[:12], explanation(error))

    def connect(self, container: str, endpoint: Endpoint) -> None:
        """Connect the container with this endpoint, aliases and addresses included; a different endpoint is
        replaced."""
        present = self._endpoint(container, endpoint.network)
        if present is not None:
            there = self._network(endpoint.network)
            if is_endpoint(present, endpoint) and there is not None and present.get("NetworkID") in ("", there["Id"]):
                return
            self.disconnect(container, endpoint.network)
        self._connect(container, endpoint)

    def connect_apart(self, container: str, endpoint: Endpoint) -> None:
        """Connect the container without the endpoint's aliases. Compose has created it with them."""
        present = self._endpoint(container, endpoint.network)
        if present is not None:
            there = self._network(endpoint.network)
            known = there is not None and present.get("NetworkID") in ("", there["Id"])
            if known and not set(endpoint.aliases) & set(present.get("Aliases") or ()):
                return
            self.disconnect(container, endpoint.network)
        self._connect(container, replace(endpoint, aliases=()))

    def _connect(self, container: str, endpoint: Endpoint) -> None:
        with self._effect("connect", container, endpoint.network), gone(container), refusals("connect it"):
            self._client.connect_container_to_network(container, endpoint.network, **endpoint_request(endpoint))

    def remove(self, container: str) -> None:
        """Only if it does not run. Its volumes stay, anonymous ones too."""
        with self._effect("remove", container):
            try:
                self._client.remove_container(container, v=False, force=False)
            except NotFound:
                logger.debug("container {} is gone already", container[:12])
            except APIError as error:
                if "already in progress" not in explanation(error):
                    raise

    def create_network(self, network: Network) -> None:
        """No error if it exists with exactly this definition."""
        with self._effect("create network", network.name), refusals(f"create the network {network.name}"):
            try:
                self._client.create_network(**network_request(network, self._host))
            except APIError as error:
                if error.status_code != 409 or not self._is_made(network):
                    raise

    def remove_network(self, name: str) -> None:
        found = self._network(name)
        if found is None:
            return
        if (found.get("Labels") or {}).get(LABEL_HOST) != self._host:
            logger.warning("network {} is none of ours and stays", name)
            return
        for container in self._attached(name):
            self.disconnect(container, name)
        with self._effect("remove network", name):
            try:
                self._client.remove_network(found["Id"])
            except NotFound:
                logger.debug("network {} is gone already", name)
            except APIError as error:
                # Others may use it, and some engines do not count an endpoint down; it stays as a leftover.
                logger.warning("network {} stays: {}", name, explanation(error))

    def remove_image(self, name: str) -> None:
        """A tag, or an id. Never by force: an image that a container or another name needs stays, without an error."""
        with self._effect("remove image", name.removeprefix("sha256:")):
            try:
                # With noprune the engine keeps the parent images, which may be somebody else's.
                self._client.remove_image(name, force=False, noprune=True)
            except NotFound:
                logger.debug("image {} is gone already", name)
            except APIError as error:
                if error.status_code != 409:
                    raise
                logger.debug("image {} stays: {}", name, explanation(error))

    def has_made(self, network: str) -> bool:
        """Whether the network exists and was made by `create_network`, for this host."""
        labels = (self._network(network) or {}).get("Labels") or {}
        return labels.get(LABEL_HOST) == self._host and LABEL_SPEC in labels

    def create_volume(self, volume: Volume) -> None:
        """No error if it exists."""
        with self._effect("create volume", volume.name), refusals(f"create the volume {volume.name}"):
            self._client.create_volume(**volume_request(volume, self._host))

    @contextmanager
    def _effect(self, verb: str, subject: str, detail: str = "") -> Iterator[None]:
        with engine_calls(f"{verb} {self._announce(verb, subject, detail)}"):
            yield

    def _announce(self, verb: str, subject: str, detail: str = "") -> str:
        """Count and log the next effect. Returns the subject in the words for people."""
        shown = subject[:12] if len(subject) == 64 else subject
        self._effects.point(" ".join(filter(None, (verb, shown, detail))))
        return shown

    def disconnect(self, container: str, network: str) -> None:
        """No error if it is not in that network."""
        with self._effect("disconnect", container, network):
            try:
                self._client.disconnect_container_from_network(container, network, force=True)
            except NotFound:
                logger.debug("container {} is not in {} any more", container[:12], network)

    def _attached(self, network: str) -> list[str]:
        """Our containers in that network that do not run. A running one keeps it, and the network stays."""
        filters = {"network": network, "label": f"{LABEL_HOST}={self._host}"}
        with engine_calls("list containers"):
            found = self._client.containers(all=True, filters=filters)
        return sorted(item["Id"] for item in found if not self._runs(item["Id"]))

    def _runs(self, container: str) -> bool:
        # The list shows "running" for some milliseconds after a stop has returned; an inspect does not.
        with engine_calls(f"inspect container {container[:12]}"):
            try:
                return bool(self._client.inspect_container(container)["State"]["Running"])
            except NotFound:
                return False

    def _network(self, name: str) -> Mapping[str, Any] | None:
        with engine_calls(f"inspect network {name}"):
            try:
                found: Mapping[str, Any] = self._client.inspect_network(name)
            except NotFound:
                return None
            return found

    def _is_made(self, network: Network) -> bool:
        labels = (self._network(network.name) or {}).get("Labels") or {}
        wanted = (network.stack, network.digest)
        return (labels.get(COMPOSE_PROJECT), labels.get(LABEL_SPEC)) == wanted

    def _endpoint(self, container: str, network: str) -> Mapping[str, Any] | None:
        with engine_calls(f"inspect container {container[:12]}"), gone(container):
            answer = self._client.inspect_container(container)
        networks: Mapping[str, Mapping[str, Any]] = answer["NetworkSettings"]["Networks"] or {}
        return networks.get(network)


def _failed(calls: Mapping[str, Future[None]]) -> dict[str, ReconcilerError]:
    """The errors of the calls, after all have ended."""
    errors = {name: call.exception() for name, call in calls.items()}
    for error in errors.values():
        if error is not None and not isinstance(error, ReconcilerError):
            raise error
    return {name: error for name, error in errors.items() if isinstance(error, ReconcilerError)}
