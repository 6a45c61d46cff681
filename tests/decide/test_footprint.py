"""Memory beside limits: the same sum from the file, from the create-file and from the engine's answer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.decide import footprint
from reconciler.decide.admit.budget import volumes
from reconciler.decide.defaults import PIDS, missing, with_defaults
from reconciler.decide.drift.facts import differences
from reconciler.decide.footprint import CONTAINER, INODE, PROXY
from reconciler.decide.plan import planner
from reconciler.decide.plan.builder import PlanBuilder
from reconciler.model.desired import DesiredState, Volume
from reconciler.model.documents import GIB, MIB, Memory
from reconciler.model.images import ImageDefaults
from reconciler.model.observed import Container, Mount, ObservedState, ObservedVolume
from reconciler.model.outcome import Intent, Outcome, Reason
from tests.fakes.behaviour import one_shot
from tests.fakes.life import Life, document, service

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=64m"}


@pytest.mark.parametrize(
    ("keys", "beside"),
    [
        ({}, 0),
        ({"ports": [{"target": 80, "published": "80"}]}, 2 * PROXY),
        ({"ports": [{"target": 80, "published": "80"}] * 2}, 2 * PROXY),
        ({"ports": [{"target": 80, "published": "80", "host_ip": f"127.0.0.{n}"} for n in range(9)]}, 9 * PROXY),
        ({"ports": [{"target": n, "published": str(n)} for n in range(1, 101)]}, 200 * PROXY),
        ({"ports": [{"target": 80}]}, 2 * PROXY),
        ({"logging": {"options": {"mode": "non-blocking"}}}, 3 * MIB),
        ({"logging": {"options": {"mode": "non-blocking", "max-buffer-size": "4m"}}}, 12 * MIB),
        ({"logging": {"options": {"max-buffer-size": "4m"}}}, 0),
        ({"ipc": "shareable"}, 128 * MIB),
        ({"ipc": "shareable", "shm_size": str(MIB)}, 2 * MIB),
        ({"ipc": "private", "shm_size": str(GIB)}, 0),
        ({"pid": "service:x"}, 256 * MIB),
        ({"pid": "container:x", "shm_size": str(MIB)}, 193 * MIB),
        ({"pid": "host"}, 0),
    ],
)
def test_what_a_container_takes_beside_its_limit(keys: dict[str, Any], beside: int) -> None:
    assert footprint.overhead(keys) == CONTAINER + beside


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ("size=64m", 64 * MIB + 16384 * INODE),
        ("size=64m,nr_inodes=10", 64 * MIB + 10 * INODE),
        ("size=4096", 4096 + 1024 * INODE),
        ("size=1G,uid=3", GIB + (GIB // 4096) * INODE),
        ("size=1m,size=2m", 2 * MIB + 1024 * INODE),
        *((text, None) for text in ("", "size=0", "size=50%", "size=-1", "size=", "size", "size=0x10", "size=1e9",
                                    "size=1mb", "size=64m,nr_inodes=0", "size=64m,nr_inodes=x", "uid=1000",
                                    f"size={'9' * 40}")),
    ],
)  # fmt: skip
def test_a_volume_in_memory_takes_its_size_and_its_files(options: str, size: int | None) -> None:
    assert footprint.volume({**TMPFS, "o": options}) == size


def test_a_plain_volume_takes_no_memory() -> None:
    fast = {"driver_opts": TMPFS}
    mounts = [{"type": "volume", "source": name, "target": f"/{name}"} for name in "abcd"]
    model = {
        "services": {"web": {"volumes": mounts}, "none": {"scale": 0, "volumes": [{**mounts[0], "source": "e"}]}},
        "volumes": {"a": None, "b": {}, "c": {"external": True, **fast}, "d": fast, "e": fast, "unused": fast},
    }
    assert [(item.volume, item.size) for item in volumes("shop", model)] == [("d", footprint.volume(TMPFS))]


def test_the_files_of_a_volume_in_memory_are_bounded_when_it_is_made() -> None:
    volume = Volume("shop", "v", "shop_v", {"driver_opts": TMPFS})
    made = footprint.as_made(volume)
    assert made.definition["driver_opts"]["o"] == "size=64m,nr_inodes=16384"
    assert footprint.as_made(made) is made
    plain = replace(volume, definition={})
    assert footprint.as_made(plain) is plain


SERVICES = {
    "web": service("web:1", ports=[{"target": 80, "published": "80"}, {"target": 81, "published": "81"}], scale=2),
    "db": service("db:1", ipc="shareable", volumes=[{"type": "volume", "source": "fast", "target": "/t"}]),
    "job": service("job:1", restart="no", health=False, volumes=[{"type": "volume", "source": "fast", "target": "/t"}]),
    "late": service("late:1", after={"job": "service_completed_successfully"}),
    "loud": service("loud:1", logging={"options": {"mode": "non-blocking", "max-buffer-size": "2m"}}),
}
MODEL = {"services": {**SERVICES, "web": SERVICES["web"] | {"ports": SERVICES["web"]["ports"][:1], "scale": 1}},
         "volumes": {"fast": {"driver_opts": TMPFS}}}  # fmt: skip


def test_validate_plan_and_status_tell_the_same() -> None:
    life = Life()
    life.behave("job:1", one_shot(0.1))
    sha = life.push_model(MODEL)
    prepared = life.ports().preparer.prepare(life.source.files(sha))
    assert prepared.budget is not None
    steady = prepared.budget.steady_bytes
    assert steady == 4 * (64 * MIB + CONTAINER) + 2 * PROXY + 128 * MIB + 6 * MIB + (footprint.volume(TMPFS) or 0)
    desired = life.ports().preparer.lower(prepared, life.machine.image_list.local(prepared.wants), sha)
    assert footprint.steady(desired) == steady
    before = life.machine.observer.inspect(["shop"])
    planned = planner.plan(desired, before, intent=Intent.ADVANCE, base=None)
    assert planned.steps[-1].memory_after == prepared.budget.peak_bytes, "on paper the one-shot runs on"
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert footprint.committed(life.machine.observer.inspect(["shop"])) == steady
    assert life.machine.volumes["shop_fast"].options["o"] == "size=64m,nr_inodes=16384"
    assert life.turn().outcome is Outcome.UNCHANGED


def test_a_service_that_nobody_waits_for_counts_as_staying_for_validate_and_for_status() -> None:
    """Its exit 0 is no failure, but nothing says that it ends."""
    life = Life()
    life.behave("job:1", one_shot(0.1))
    sha = life.push(web=service("web:1"), job=service("job:1", restart="no", health=False))
    prepared = life.ports().preparer.prepare(life.source.files(sha))
    assert prepared.budget is not None
    assert prepared.budget.steady_bytes == 2 * (64 * MIB + CONTAINER)
    desired = life.ports().preparer.lower(prepared, life.machine.image_list.local(prepared.wants), sha)
    assert desired.services()["shop", "job"].completes
    assert footprint.steady(desired) == prepared.budget.steady_bytes
    assert life.turn().outcome is Outcome.SUCCEEDED


def test_a_volume_in_memory_counts_while_somebody_mounts_it() -> None:
    options = {**TMPFS, "o": "size=64m"}
    volumes_there = {"shop_fast": ObservedVolume(options=options)}
    mount = (Mount("volume", "shop_fast", "/t"),)
    one = Container("1", "a", "shop", "a", 1, "running", mounts=mount, memory=MIB)
    two, off = replace(one, id="2"), replace(one, id="3", state="exited")
    size = footprint.volume(options) or 0
    for containers, number in (((), 0), ((off,), 0), ((one,), 1), ((one, two, off), 2)):
        seen = ObservedState(containers, volumes=volumes_there)
        assert footprint.committed(seen) == number * (MIB + CONTAINER) + min(number, 1) * size
        builder = PlanBuilder(DesiredState("mini", "", "", Memory(), ()), seen)
        assert builder.memory.total == footprint.committed(seen)
        for item in containers:
            builder.memory.stop(item.id)
        assert builder.memory.total == 0


def test_what_was_good_before_this_counted_is_still_corrected() -> None:
    """A budget that the limits alone fill to the byte, as was allowed before."""
    life = Life()
    life.document = document(budget="1GiB")
    life.push(web=service("web:1", mem_limit=str(700 * MIB)))
    assert life.turn().outcome is Outcome.SUCCEEDED
    good = life.store.load(life.cycle.history.last_good.content)  # type: ignore[union-attr]
    assert good is not None
    tight = replace(good, memory=Memory(700 * MIB, 1.0, 0))
    life.store.states[good.content] = tight
    life.machine.vanishes("shop-web-1")
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.SUCCEEDED, Reason.DRIFT_CORRECTED), turn
    plan = planner.plan(tight, life.machine.observer.inspect(["shop"]), intent=Intent.ADVANCE, base=None)
    assert not plan.violations, "it runs already"
    life.machine.vanishes("shop-web-1")
    there = life.machine.observer.inspect(["shop"])
    rules = [item.rule for item in planner.plan(tight, there, intent=Intent.ADVANCE, base=None).violations]
    assert rules == ["memory-peak"]


# -- what the file leaves open -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "driver", "closed"),
    [
        ({}, "json-file", {"pids_limit", "logging.options.max-size", "logging.options.max-file"}),
        ({}, "local", {"pids_limit"}),
        ({}, "journald", {"pids_limit"}),
        ({"pids_limit": 100}, "local", set()),
        ({"deploy": {"resources": {"limits": {"pids": 100}}}}, "local", set()),
        ({"pids_limit": 0}, "local", {"pids_limit"}),
        ({"logging": {"driver": "local"}, "pids_limit": 1}, "json-file", set()),
        ({"logging": {"driver": "json-file"}, "pids_limit": 1}, "journald",
         {"logging.options.max-size", "logging.options.max-file"}),
        ({"logging": {"options": {"max-size": "1m"}}, "pids_limit": 1}, "json-file", set()),
        ({"logging": {"options": {"max-file": "5"}}, "pids_limit": 1}, "json-file", {"logging.options.max-size"}),
        ({"ipc": "shareable", "pids_limit": 1}, "local", {"sysctls.kernel.shmall"}),
    ],
)  # fmt: skip
def test_what_the_file_leaves_open(keys: dict[str, Any], driver: str, closed: set[str]) -> None:
    assert missing(keys, driver).keys() == closed


def test_defaults_are_said_and_no_reason_to_replace_what_runs_without_them() -> None:
    life = Life()
    life.push(web=service("web:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    made = life.machine.named("shop-web-1")
    assert made.facts["pids"] == PIDS
    assert made.facts["log options"] == {"max-size": "10m", "max-file": "3"}
    made.facts = {**made.facts, "pids": 0, "log options": {}}  # as an older version made it
    assert life.turn().outcome is Outcome.UNCHANGED
    assert life.effects == 0
    life.push(web=service("web:1"), db=service("db:1"))
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert life.machine.named("shop-web-1") is made
    desired = life.store.load(life.cycle.history.last_good.content)  # type: ignore[union-attr]
    assert desired is not None
    life.machine.vanishes("shop-db-1")
    plan = planner.plan(desired, life.machine.observer.inspect(["shop"]), intent=Intent.REPAIR, base=desired)
    assert {(item.key, item.services) for item in plan.defaults} == {
        (key, (("shop", "db"),)) for key in ("pids_limit", "logging.options.max-size", "logging.options.max-file")
    }


def test_a_limit_of_processes_that_somebody_changed_is_drift() -> None:
    life = Life()
    life.push(web=service("web:1"))
    life.turn()
    desired = life.store.load(life.cycle.history.last_good.content)  # type: ignore[union-attr]
    assert desired is not None
    web = desired.services()["shop", "web"]
    there = life.machine.observer.inspect(["shop"]).containers[0]
    for found, drift in ((PIDS, []), (0, []), (7, ["pids"]), (10**6, ["pids"])):
        changed = replace(there, facts={**there.facts, "pids": found})
        assert [item.fact for item in differences(web, changed, ImageDefaults())] == drift
    assert with_defaults(web, "json-file").spec == web.spec
