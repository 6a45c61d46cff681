"""The downtime of each service: no container of it has served since the rollout began to change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from reconciler.model.desired import ServiceKey


class Outages:
    """A container serves while it is good and can be found by the service's aliases. Times are monotonic seconds."""

    def __init__(
        self, serving: Mapping[ServiceKey, Collection[str]], down: Mapping[ServiceKey, float], now: float
    ) -> None:
        """`serving`: containers that serve at `now`. `down`: services that an earlier rollout has left down → since
        when."""
        self._serving = {key: set(ids) for key, ids in serving.items()}
        self._since = dict(down)
        self._seconds = dict.fromkeys(down, 0.0)
        for key in [key for key in down if self._serving.get(key)]:
            self._end(key, now)

    def stops(self, service: ServiceKey, container: str, now: float) -> None:
        """The rollout stops the container, or the container ends before that."""
        self._seconds.setdefault(service, 0.0)
        self._leaves(service, container, now)

    def fails(self, service: ServiceKey, container: str, now: float) -> None:
        """The container is not good, or not good any more. This counts only for a service that the rollout changes."""
        if service in self._seconds:
            self._leaves(service, container, now)

    def serves(self, service: ServiceKey, container: str, now: float) -> None:
        self._serving.setdefault(service, set()).add(container)
        self._end(service, now)

    def seconds(self, now: float) -> dict[ServiceKey, float]:
        """For each service with a stopped container."""
        return {key: total + max(0.0, now - self._since.get(key, now)) for key, total in self._seconds.items()}

    def hand_over(self) -> dict[ServiceKey, float]:
        """Services that are down → since when. From now on the next rollout counts them."""
        down, self._since = self._since, {}
        return down

    def _leaves(self, service: ServiceKey, container: str, now: float) -> None:
        there = self._serving.setdefault(service, set())
        there.discard(container)
        if not there:
            self._since.setdefault(service, now)

    def _end(self, service: ServiceKey, now: float) -> None:
        since = self._since.pop(service, None)
        if since is not None:
            self._seconds[service] += now - since
