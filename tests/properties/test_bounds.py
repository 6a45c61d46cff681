"""For any number at a key of a size, a count or a duration: it is judged without a crash, and an admitted commit uses
no more than the sum says."""

from __future__ import annotations

import json
import os
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from reconciler.decide import footprint
from reconciler.decide.admit.budget import replicas, service_memory
from reconciler.decide.admit.policies.bounds import (
    LARGEST_LOG,
    LARGEST_LOG_BUFFER,
    MOST_PIDS,
    MOST_PORTS,
    SHORTEST_PROBE,
)
from reconciler.decide.plan import planner
from reconciler.formats.quantities import seconds, size
from reconciler.loop.prepare import Preparer
from reconciler.model.documents import MIB, HostDocument
from reconciler.model.observed import ObservedState
from reconciler.model.outcome import Intent
from tests.fakes.life import RULES, CanonicalRenderer, document
from tests.fakes.source import TextFiles

EXAMPLES = int(os.environ.get("RECONCILER_EXAMPLES", "300"))

BOUNDS = [0, 1, 6 * MIB, 64 * MIB, LARGEST_LOG_BUFFER, LARGEST_LOG, MOST_PIDS, MOST_PORTS, 1000, 1 << 31, 1 << 63]
near = st.sampled_from(BOUNDS).flatmap(lambda bound: st.sampled_from([bound - 1, bound, bound + 1]))
whole = near | st.integers(-2, 1 << 64) | st.just(-1)
odd = st.sampled_from(
    ["", "-1", "0", "1e9", "1.5", "0x10", "100%", "64m", "100g", "1t", "9" * 30, "1 m", "m", "NaN", "∞"]
)
numbers = whole | whole.map(str) | odd
durations = st.sampled_from(
    ["0s", "1ns", "1ms", "99ms", "100ms", "1s", "1000h", "9999999h", "-1s", "1", "", "1d", "1h1"]
)
DRIVERS = st.sampled_from(["json-file", "local", "journald", None])


ports = st.lists(
    st.fixed_dictionaries({"target": st.integers(1, 65535), "published": st.integers(0, 65535).map(str)},
                          optional={"host_ip": st.sampled_from(["", "0.0.0.0", "::", "127.0.0.1"])}),
    max_size=150,
)  # fmt: skip
logging = st.fixed_dictionaries(
    {"driver": DRIVERS},
    optional={
        "options": st.fixed_dictionaries(
            {},
            optional={
                "max-size": numbers,
                "max-file": numbers,
                "max-buffer-size": numbers,
                "mode": st.sampled_from(["blocking", "non-blocking"]),
            },
        )
    },
)
probes = st.fixed_dictionaries({"test": st.just(["CMD", "true"]), "interval": durations, "start_interval": durations})
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "mem_limit": st.integers(1, 1 << 40).map(str),
    "memswap_limit": numbers,
    "pids_limit": numbers,
    "shm_size": st.integers(0, 1 << 40).map(str),
    "ipc": st.sampled_from(["shareable", "private"]),
    "scale": st.integers(0, 2000),
    "ports": ports,
    "ulimits": st.dictionaries(st.sampled_from(["nofile", "rtprio", "nproc"]), numbers),
    "cpu_rt_runtime": numbers | durations,
    "logging": logging,
    "healthcheck": probes,
}
services = st.lists(st.sampled_from(sorted(KEYS)), max_size=2, unique=True).flatmap(
    lambda keys: st.fixed_dictionaries(
        {"image": st.just("web:1"), **{key: KEYS[key] for key in keys}},
        optional={"volumes": st.just([{"type": "volume", "source": "fast", "target": "/fast"}])},
    )
)
options = st.lists(st.tuples(st.sampled_from(["size", "size", "nr_inodes", "uid"]), numbers), max_size=3).map(
    lambda parts: {"type": "tmpfs", "device": "tmpfs", "o": ",".join(f"{key}={value}" for key, value in parts)}
)
models = st.fixed_dictionaries(
    {"services": st.dictionaries(st.sampled_from(["web", "db"]), services, min_size=1)},
    optional={"volumes": st.fixed_dictionaries({"fast": st.fixed_dictionaries({"driver_opts": options})})},
).map(lambda model: {"volumes": {"fast": None}, **model})


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(models)
def test_what_is_admitted_stays_within_what_the_sum_says(model: dict[str, Any]) -> None:
    files = TextFiles({"desired-state/mini.yaml": document(budget="64GiB"), "shop.yaml": json.dumps(model)}, "0" * 40)
    preparer = Preparer(CanonicalRenderer(), RULES)
    prepared = preparer.prepare(files)
    event("denied" if prepared.denied else "admitted")
    if prepared.denied:
        return
    assert prepared.budget is not None
    for service in model["services"].values():
        modest(service)
    for volume in filter(None, model["volumes"].values()):
        assert footprint.volume(volume["driver_opts"]) is not None
    assert prepared.budget.peak_bytes >= least(model)
    assert prepared.budget.over_bytes == 0
    desired = preparer.lower(prepared, {}, "0" * 40)
    nothing = ObservedState(memory_total=64 << 30, complete=True, log_driver="json-file")
    plan = planner.plan(desired, nothing, intent=Intent.ADVANCE, base=None)
    assert plan.peak == prepared.budget.peak_bytes
    assert not plan.violations


def modest(service: dict[str, Any]) -> None:
    """Independent of the rules' code: each value of an admitted service is within its cap."""
    memory, _ = service_memory(service, HostDocument("", ()).default_memory)
    assert int(service.get("memswap_limit") or 0) in (0, memory)
    assert 0 <= int(service.get("pids_limit") or 0) <= MOST_PIDS
    assert len({str(sorted(port.items())) for port in service.get("ports") or ()}) * replicas(service) <= MOST_PORTS
    logs = (service.get("logging") or {}).get("options") or {}
    if logs.get("max-size"):
        assert 0 < size(str(logs["max-size"])) * int(logs.get("max-file") or 1) <= LARGEST_LOG
    if logs.get("max-buffer-size"):
        assert 0 < size(str(logs["max-buffer-size"])) <= LARGEST_LOG_BUFFER
    check = service.get("healthcheck") or {}
    for key in ("interval", "start_interval"):
        if check.get(key) and check[key][-1:] in "sh":
            assert check[key].startswith("-") or not 0 < seconds(check[key]) < SHORTEST_PROBE


def least(model: dict[str, Any]) -> int:
    """The least that all containers use, counted in the simplest way: limit, shim, a proxy for each port, volumes."""
    found = 0
    for service in model["services"].values():
        memory, _ = service_memory(service, 64 * MIB)
        number = len({(port.get("host_ip"), port["published"], port["target"]) for port in service.get("ports") or ()})
        found += replicas(service) * (memory + 6 * MIB + number * MIB)
    used = any(service.get("volumes") and replicas(service) for service in model["services"].values())
    for volume in filter(None, model["volumes"].values() if used else ()):
        text = dict(part.split("=", 1) for part in volume["driver_opts"]["o"].split(","))["size"]
        found += size(text)
    return found
