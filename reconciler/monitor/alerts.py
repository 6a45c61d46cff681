"""Alerts: facts of snapshots that need a person's attention, and the time since which each holds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from reconciler.model.alerts import RULES, TEST, Alert, AlertRule, Finding
from reconciler.model.measures import Measures
from reconciler.monitor.samples import Samples
from reconciler.monitor.snapshot import Snapshot
from reconciler.record.text.layout import share, size, span
from reconciler.values import dataclass

GRACE = 60.0
"""Seconds for which the fact must be over before its alert ends, because a value at its threshold comes and goes."""

RECENT = 600.0
"""Seconds for which a restart, or a kill for lack of memory, stays an alert."""

COUNTED = {"container-restarted": "was started again", "out-of-memory": "was killed for lack of memory"}
"""Alerts that last for RECENT seconds after a counter has grown, and how they are told."""

BROKEN = ("Degraded", "Missing")

ENDPOINTS = ("endpoint-down", "certificate-expiring")
NEEDS_STATUS = ("branch-unreachable", "service-unhealthy", "container-restarted", "budget-full", *ENDPOINTS)
NEEDS_ENGINE = ("out-of-memory", "memory-near-limit", "budget-full", "container-restarted", *ENDPOINTS)
"""Alerts that neither begin nor end while the status (NEEDS_STATUS) or the engine (NEEDS_ENGINE) cannot be read."""

NEEDS_REST = ("service-unhealthy", "endpoint-down")
"""Alerts that neither begin nor end while a rollout replaces services."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """A fact that holds, or held recently. `since`: when it began; `gone`: when it ended, None if it holds. `active`:
    it has lasted long enough to be an alert."""

    finding: Finding
    since: float
    gone: float | None = None
    active: bool = False


class Alerts:
    """Remembers facts from snapshot to snapshot. For one thread only. `known`: the last alerts of an earlier
    monitor."""

    def __init__(self, samples: Samples, known: Iterable[Alert] = ()) -> None:
        self._samples = samples
        self._lasting = {
            item.finding.key: Lasting(item.finding, item.since, active=True)
            for item in known
            if item.finding.about != TEST  # `look` is given the test as long as it lasts
        }
        self._counts: dict[tuple[str, str], int] = {}
        self._counted = {
            (item.finding.name, item.finding.stack or "", item.finding.service or ""): item.since
            for item in self._lasting.values()
            if item.finding.name in COUNTED
        }

    def look(
        self, snapshot: Snapshot, rules: Mapping[str, AlertRule], test: Finding | None = None
    ) -> tuple[Alert, ...]:
        """The active alerts, oldest first, and `test`: the one that `alerts test` asked for. Call it with each
        snapshot."""
        now, rules = snapshot.at, {**RULES, **rules}
        found = {item.key: item for item in self._findings(snapshot, rules) if rules[item.name].enabled}
        self._remember(found, now, set(_unknown(snapshot)), rules)
        active = [
            Alert(item.finding, item.since)
            for item in self._lasting.values()
            if item.active and rules[item.finding.name].enabled
        ]
        if test is not None:
            active.append(Alert(test, now))
        return tuple(sorted(active, key=lambda item: (item.since, item.finding.key)))

    def _remember(
        self, found: Mapping[str, Finding], now: float, unknown: Collection[str], rules: Mapping[str, AlertRule]
    ) -> None:
        for key, finding in found.items():
            known = self._lasting.get(key, Lasting(finding, now))
            since = min(known.since, now)  # later than now: the clock was set back
            active = known.active or now - since >= rules[finding.name].lasting
            self._lasting[key] = Lasting(finding, since, active=active)
        for key, known in list(self._lasting.items()):
            if key in found or known.finding.name in unknown:
                continue
            gone = now if known.gone is None else min(known.gone, now)
            if now - gone >= GRACE or not known.active:
                del self._lasting[key]
            else:
                self._lasting[key] = replace(known, gone=gone)

    def _findings(self, snapshot: Snapshot, rules: Mapping[str, AlertRule]) -> Iterator[Finding]:
        fault = snapshot.fault(snapshot.at)
        if fault is not None:
            yield Finding("agent-silent", fault)
        if snapshot.status is not None:
            yield from _of_status(snapshot)
            yield from _endpoints(snapshot, rules["certificate-expiring"].threshold or 0.0)
        if snapshot.measures is not None:
            yield from _memory(snapshot.measures, rules["memory-near-limit"].threshold or 0.0)
            yield from self._events(snapshot, snapshot.measures)
            yield from self._machine(snapshot, snapshot.measures, rules)

    def _events(self, snapshot: Snapshot, measures: Measures) -> Iterator[Finding]:
        """Restarts, and kills for lack of memory, within the last RECENT seconds."""
        now = snapshot.at
        if measures.containers:  # forget removed ones
            there = {item.id for item in measures.containers}
            self._counts = {key: count for key, count in self._counts.items() if key[1] in there}
        for item in measures.containers:
            key = (item.stack, item.service)
            self._count("container-restarted", key, item.id, item.restarts, now)
            self._count("out-of-memory", key, item.id, measures.oom_kills.get(item.id, 0), now)
        for key, backoff in snapshot.past.backoffs.items():
            if backoff.times:
                newest = max(backoff.times[-1], self._counted.get(("container-restarted", *key), 0.0))
                self._counted[("container-restarted", *key)] = newest
        self._counted = {key: min(at, now) for key, at in self._counted.items() if now - at < RECENT}
        for (name, stack, service), at in self._counted.items():
            yield Finding(name, f"{stack}/{service} {COUNTED[name]} {span(now - at)} ago", stack, service)

    def _count(self, name: str, key: tuple[str, str], container: str, count: int, now: float) -> None:
        """Note the time if a counter has grown. Its first value does not count: nobody knows when it grew."""
        counter = (name, container)
        if count > self._counts.get(counter, count):
            self._counted[(name, *key)] = now
        self._counts[counter] = count

    def _machine(self, snapshot: Snapshot, measures: Measures, rules: Mapping[str, AlertRule]) -> Iterator[Finding]:
        budget = (snapshot.status or {}).get("budget", {}).get("budgetBytes")
        used = sum(item.memory for item in measures.usage.values())
        bound = rules["budget-full"].threshold or 0.0
        if budget and used > bound * budget:
            told = f"containers use {share(used, budget, 'of')} of the memory budget"
            yield Finding("budget-full", told, value=used / budget, threshold=bound)
        machine, bound = measures.machine, rules["swap-in-use"].threshold or 0.0
        if machine.swap_total and machine.swap_used > bound * machine.swap_total:
            told = f"the machine swaps: {share(machine.swap_used, machine.swap_total, 'of')}"
            yield Finding("swap-in-use", told, value=machine.swap_used / machine.swap_total, threshold=bound)
        for disk in machine.disks:
            bound, holds = rules["disk-low"].threshold or 0.0, f"{disk.mount} ({', '.join(disk.holds)})"
            if disk.free < bound * disk.size:
                told = f"the disk {holds} has {size(disk.free)} free of {size(disk.size)}"
                yield Finding("disk-low", told, about=disk.mount, value=disk.free / disk.size, threshold=bound)
            bound, pace = rules["disk-filling"].threshold or 0.0, self._samples.pace(f"free {disk.mount}")
            if pace is not None and pace < 0 and disk.free / -pace < bound:
                left = disk.free / -pace
                told = f"the disk {holds} is full in {span(left)} at the present rate: {size(disk.free)} free"
                yield Finding("disk-filling", told, about=disk.mount, value=left, threshold=bound)


def _of_status(snapshot: Snapshot) -> Iterator[Finding]:
    status = snapshot.status or {}
    if status["source"]["error"]:
        yield Finding("branch-unreachable", f"the branch cannot be fetched: {status['source']['error']}")
    if _changing(snapshot):
        return
    for stack in status["stacks"]:
        for item in stack["services"]:
            if item["health"] in BROKEN and stack["health"] != "Suspended":
                why = f" ({item['reason']})" if item["reason"] else ""
                told = f"{item['stack']}/{item['service']} is {item['health']}{why}"
                yield Finding("service-unhealthy", told, item["stack"], item["service"])


def _endpoints(snapshot: Snapshot, bound: float) -> Iterator[Finding]:
    for check in snapshot.endpoints:
        item, expires = check.watched, check.answer.expires
        of = f"{item.url} of {item.stack}/{item.service}"
        if check.answer.fault and not _changing(snapshot):
            told = f"{of} does not answer: {check.answer.fault}"
            yield Finding("endpoint-down", told, item.stack, item.service, item.url)
        if expires is not None and expires - snapshot.at < bound:
            left = expires - snapshot.at
            when = f"ends in {span(left)}" if left > 0 else f"has ended {span(-left)} ago"
            told = f"the certificate of {of} {when}"
            yield Finding("certificate-expiring", told, item.stack, item.service, item.url, left, bound)


def _changing(snapshot: Snapshot) -> bool:
    """Whether services may be down on purpose."""
    status = snapshot.status or {}
    return status["rollout"] is not None or status["suspended"] is not None


def _memory(measures: Measures, bound: float) -> Iterator[Finding]:
    for item in measures.containers:
        used = measures.usage.get(item.id)
        if used is not None and item.memory and used.memory > bound * item.memory:
            told = f"{item.stack}/{item.service} uses {share(used.memory, item.memory, 'of')}"
            value = used.memory / item.memory
            yield Finding("memory-near-limit", told, item.stack, item.service, item.name, value, bound)


def _unknown(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.status is None:
        yield from NEEDS_STATUS
    elif snapshot.status["rollout"] is not None:
        yield from NEEDS_REST
    if snapshot.measures is None or not snapshot.measures.answered:
        yield from NEEDS_ENGINE
