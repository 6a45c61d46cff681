"""Samples each container once per second: its working set, which is its memory without the inactive page cache."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import docker

from tests.e2e.host import Host
from tests.stack.meanwhile import Meanwhile

MIB = 1 << 20
BESIDE = ("model-stub", "library")
"""Services of the load, which are no part of the stack."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Sample:
    """`at`: seconds since the sampler started. `memory`: bytes. `processes`: number, including threads."""

    at: float
    memory: int
    processes: int


@dataclass
class Series:
    """The samples of one container. `limit` in bytes."""

    limit: int
    samples: list[Sample] = field(default_factory=list)
    restarts: int = 0
    ooms: int = 0

    def between(self, begin: float, end: float) -> list[Sample]:
        return [sample for sample in self.samples if begin <= sample.at <= end]


def working_set(stats: Json) -> int:
    """Usage without inactive files, in bytes: memory that the kernel cannot simply reclaim. cgroup v1 and v2 have
    different names for inactive files."""
    memory: Json = stats.get("memory_stats") or {}
    detail: Json = memory.get("stats") or {}
    inactive = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    return max(0, int(memory.get("usage", 0)) - int(inactive))


class Sampler(Meanwhile):
    """Samples during the block. `series`: name of the container, without the stack's name → its samples."""

    def __init__(self, host: Host, every: float = 1.0) -> None:
        super().__init__()
        self._host, self._every = host, every
        self.series: dict[str, Series] = {}
        self.sums: list[tuple[float, int]] = []
        """(second, bytes of all containers together)."""
        self._begun = time.monotonic()
        self._since = int(time.time())

    def __enter__(self) -> Self:
        self._before = self._starts()
        self._begun = time.monotonic()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        after = self._starts()
        for name, series in self.series.items():
            series.restarts = after.get(name, 0) - self._before.get(name, 0)
        self._count_ooms()

    def now(self) -> float:
        """Seconds since the sampler started."""
        return time.monotonic() - self._begun

    def _run(self) -> None:
        beside = {f"{self._host.stack}-{name}-1" for name in BESIDE}
        there = self._host.containers().items()
        names = {name: item["Id"] for name, item in there if item["State"]["Running"] and name not in beside}
        engine = self._host.engine
        while not self._stopped.is_set():
            looked = self.now()
            total = 0
            for name, identity in names.items():
                try:
                    stats = engine.stats(identity, stream=False, one_shot=True)
                except (docker.errors.APIError, OSError, ValueError):
                    continue
                total += self._noted(name, stats)
            if total:
                self.sums.append((looked, total))
            self._stopped.wait(max(0.1, self._every - (self.now() - looked)))

    def _noted(self, name: str, stats: Json) -> int:
        used = working_set(stats)
        short = name.removeprefix(f"{self._host.stack}-").removesuffix("-1")
        limit = int((stats.get("memory_stats") or {}).get("limit", 0))
        series = self.series.setdefault(short, Series(limit))
        processes = int((stats.get("pids_stats") or {}).get("current") or 0)
        # A container that does not run has neither figure.
        if used and processes:
            series.samples.append(Sample(self.now(), used, processes))
        return used

    def _starts(self) -> dict[str, int]:
        """Restarts by the engine so far, by container. A replaced container starts with 0."""
        prefix = f"{self._host.stack}-"
        found = self._host.containers().items()
        return {name.removeprefix(prefix).removesuffix("-1"): item["RestartCount"] for name, item in found}

    def _count_ooms(self) -> None:
        filters = {"type": "container", "event": "oom", "label": f"com.docker.compose.project={self._host.stack}"}
        told = self._host.engine.events(since=self._since, until=int(time.time()) + 1, filters=filters)
        for line in b"".join(told).splitlines():  # type: ignore[arg-type]  # it is bytes; the type stubs are wrong
            name = json.loads(line)["Actor"]["Attributes"]["name"]
            short = name.removeprefix(f"{self._host.stack}-").removesuffix("-1")
            if short in self.series:
                self.series[short].ooms += 1
