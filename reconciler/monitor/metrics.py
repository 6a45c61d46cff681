"""`/metrics`: a snapshot in Prometheus's text format. Names and units follow Prometheus's rules."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from reconciler import __version__
from reconciler.model.endpoints import Check
from reconciler.model.history import Attempt, History
from reconciler.model.measures import Measures
from reconciler.model.outcome import Intent, Outcome
from reconciler.model.times import engine_time, instant
from reconciler.monitor.alerts import BROKEN
from reconciler.monitor.jobs import last_successes
from reconciler.monitor.snapshot import Json, Snapshot

BUCKETS = (1, 5, 10, 30, 60, 120, 300, 600, 1800)
"""Bounds of the histogram of rollouts, in seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshot: Snapshot, now: float) -> bytes:
    """All metrics as text. An unknown value has no sample. `now`: seconds of the Unix epoch."""
    registry = CollectorRegistry()
    registry.register(_Told(snapshot, now))
    return generate_latest(registry)


class _Told(Collector):
    def __init__(self, snapshot: Snapshot, now: float) -> None:
        self._snapshot, self._now = snapshot, now

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield _gauge("build_info", "Version of the monitor", ["version"], [((__version__,), 1.0)])
        yield _gauge(
            "heartbeat_timestamp_seconds", "When the agent published something last", [], _one(snapshot.heartbeat)
        )
        up = None if snapshot.status is None else snapshot.fault(self._now) is None
        yield _gauge("agent_up", "1 while the agent runs, is not stalled and gives signs in time", [], _one(up))
        yield _counter("engine_errors", "Looks at the engine that failed since the monitor started", [],
                       [((), snapshot.engine_errors)])  # fmt: skip
        active = [((a.finding.name, a.finding.stack or "", a.finding.service or "", a.finding.about), 1.0)
                  for a in snapshot.alerts]  # fmt: skip
        yield _gauge("alert_active", "1 for each active alert", ["alert", "stack", "service", "about"], active)
        if snapshot.status is not None:
            yield from _status(snapshot.status)
        yield from _history(snapshot.past)
        names = ["stack", "service"]
        done = sorted(last_successes(snapshot.past).items())
        yield _gauge(
            "job_last_success_timestamp_seconds",
            "When the newest good attempt that ran the one-shot ended",
            names,
            done,
        )
        yield from _endpoints(snapshot.endpoints)
        if snapshot.measures is not None:
            yield from _containers(snapshot.measures)
            yield from _machine(snapshot.measures)


Sample = tuple[Sequence[str], float]


def _gauge(name: str, help: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = GaugeMetricFamily(f"reconciler_{name}", help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _counter(name: str, help: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    family = CounterMetricFamily(f"reconciler_{name}", help, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _one(value: float | None) -> list[Sample]:
    return [] if value is None else [((), float(value))]


def _status(status: Json) -> Iterator[Metric]:
    host = [status["host"]]
    yield _gauge("sync", "1 when Synced", ["host"], [(host, status["sync"] == "Synced")])
    yield _gauge("health", "1 when Healthy", ["host"], [(host, status["health"] == "Healthy")])
    yield _gauge("stalled", "1 when a person is needed", ["host"], [(host, bool(status["stalled"]))])
    yield _gauge("suspended", "1 while suspended", ["host"], [(host, status["suspended"] is not None)])
    fetched = status["source"]["lastFetchAt"]
    yield _gauge("last_fetch_timestamp_seconds", "When the branch was fetched last", [], _one(_instant(fetched)))
    yield _gauge("fetch_failing", "1 while the branch cannot be fetched", [], _one(bool(status["source"]["error"])))
    rollout = status["rollout"]
    yield _gauge("rollout_active", "1 while a rollout is under way", [], _one(rollout is not None))
    budget = status["budget"]
    kinds = {"budget": "budgetBytes", "steady": "steadyBytes", "steady_limit": "steadyLimitBytes"}
    kinds |= {"committed": "committedBytes", "foreign": "foreignBytes", "reserve": "reserveBytes"}
    yield _gauge(
        "budget_bytes", "The memory budget, and what counts against it", ["kind"],
        [((kind,), budget[key]) for kind, key in kinds.items() if budget[key] is not None],
    )  # fmt: skip
    services = [item for stack in status["stacks"] for item in stack["services"]]
    names = ["stack", "service"]
    for axis, good in (("sync", "Synced"), ("health", "Healthy")):
        found = [((item["stack"], item["service"]), float(item[axis] == good)) for item in services]
        yield _gauge(f"service_{axis}", f"1 when the service is {good}", names, found)
    broken = [
        ((item["stack"], item["service"]), float(item["health"] in BROKEN and stack["health"] != "Suspended"))
        for stack in status["stacks"] for item in stack["services"]
    ]  # fmt: skip
    yield _gauge("service_degraded", "1 when the service is Degraded or Missing, and not suspended", names, broken)
    channels = status["report"] or ()
    pending = [((item["channel"],), float(item["pending"])) for item in channels if item["pending"] is not None]
    yield _gauge("report_pending", "Outcomes that are still to be told", ["channel"], pending)
    failing = [((item["channel"],), float(bool(item["error"]))) for item in channels]
    yield _gauge("report_failing", "1 while outcomes cannot be told", ["channel"], failing)


def _history(past: History) -> Iterator[Metric]:
    good, seen = past.last_good, past.seen_at or None
    yield _gauge(
        "last_good_timestamp_seconds", "When the newest good commit was proven", [], _one(good.at if good else None)
    )
    yield _gauge("head_timestamp_seconds", "When the branch's head was seen first", [], _one(seen))
    ended = [item for item in past.attempts if not item.open]
    counts = Counter(item.outcome.value for item in ended)
    told = [((outcome.value,), float(counts[outcome.value])) for outcome in _ENDS]
    yield _counter("attempts", "Attempts that ended, as the journal has them", ["outcome"], told)
    yield _rollouts(ended)
    down: defaultdict[tuple[str, str], float] = defaultdict(float)
    for attempt in ended:
        for service in attempt.services:
            down[(service.stack, service.service)] += service.downtime
    yield _counter(
        "downtime_seconds", "How long services were down in rollouts", ["stack", "service"], sorted(down.items())
    )
    again = [((key[0], key[1]), backoff.times[-1]) for key, backoff in past.backoffs.items() if backoff.times]
    yield _gauge("service_restarted_timestamp_seconds", "When the agent started the failed service again last",
                 ["stack", "service"], again)  # fmt: skip
    corrected = sum(item.intent is Intent.REPAIR and item.outcome is Outcome.SUCCEEDED for item in ended)
    yield _counter("drift_corrections", "Attempts that corrected drift", [], _one(corrected))


_ENDS = (
    Outcome.SUCCEEDED,
    Outcome.REJECTED,
    Outcome.ROLLED_BACK,
    Outcome.ROLLBACK_FAILED,
    Outcome.SUPERSEDED,
    Outcome.INTERRUPTED,
    Outcome.FAILED,
)


def _rollouts(ended: Sequence[Attempt]) -> Metric:
    took = [item.ended_at - item.started_at for item in ended if item.ended_at is not None and item.services]
    buckets = [(f"{edge:.1f}", float(sum(seconds <= edge for seconds in took))) for edge in BUCKETS]
    family = HistogramMetricFamily("reconciler_rollout_duration_seconds", "How long attempts took that had a plan")
    family.add_metric([], [*buckets, ("+Inf", float(len(took)))], math.fsum(took))
    return family


def _endpoints(checks: Sequence[Check]) -> Iterator[Metric]:
    names = ["stack", "service", "endpoint"]
    rows = [((c.watched.stack, c.watched.service, c.watched.url), c.answer) for c in checks]
    up = [(row, float(not answer.fault)) for row, answer in rows]
    yield _gauge("endpoint_up", "1 while the endpoint answers", names, up)
    ends = [(row, answer.expires) for row, answer in rows if answer.expires is not None]
    yield _gauge("endpoint_certificate_expiry_timestamp_seconds", "When its certificate ends", names, ends)


def _containers(measures: Measures) -> Iterator[Metric]:
    names = ["stack", "service", "container"]
    rows = {item.id: (item.stack, item.service, item.name) for item in measures.containers}
    used = {id: usage for id, usage in measures.usage.items() if id in rows}
    yield _gauge("container_memory_working_set_bytes", "Memory that the kernel cannot take back", names,
                 [(rows[id], usage.memory) for id, usage in used.items()])  # fmt: skip
    limits = [(rows[item.id], item.memory) for item in measures.containers if item.memory]
    yield _gauge("container_memory_limit_bytes", "The memory limit", names, limits)
    yield _counter("container_cpu_seconds", "Processor time since the container's start", names,
                   [(rows[id], usage.cpu) for id, usage in used.items()])  # fmt: skip
    restarts = [(rows[item.id], float(item.restarts)) for item in measures.containers]
    yield _counter("container_restarts", "Restarts by the engine", names, restarts)
    kills = [(row, float(measures.oom_kills.get(id, 0))) for id, row in rows.items()]
    yield _counter("container_oom_kills", "Kills for lack of memory since the monitor started", names, kills)
    health = [(rows[item.id], float(item.health == "healthy")) for item in measures.containers if item.health != "none"]
    yield _gauge(
        "container_healthy", "1 while the health check passes; only of containers that have one", names, health
    )
    started = [(rows[item.id], engine_time(item.started_at)) for item in measures.containers if item.running]
    yield _gauge("container_start_timestamp_seconds", "When it was started", names,
                 [(row, at) for row, at in started if at])  # fmt: skip


def _machine(measures: Measures) -> Iterator[Metric]:
    machine = measures.machine
    yield _gauge("machine_cpu_ratio", "Share of all cores in use", [], _one(machine.cpu))
    yield _gauge("machine_memory_bytes", "The machine's memory", [], _one(machine.memory_total))
    yield _gauge(
        "machine_memory_available_bytes", "Memory that programs can still get", [], _one(machine.memory_available)
    )
    yield _gauge("machine_swap_bytes", "The machine's swap", [], _one(machine.swap_total))
    yield _gauge("machine_swap_used_bytes", "Swap in use", [], _one(machine.swap_used))
    for name, help, values in (
        ("disk_free_bytes", "Free space", [((item.mount,), float(item.free)) for item in machine.disks]),
        ("disk_size_bytes", "Size of the disk", [((item.mount,), float(item.size)) for item in machine.disks]),
    ):
        yield _gauge(name, help, ["mount"], values)


def _instant(text: str | None) -> float | None:
    return instant(text) if text else None
