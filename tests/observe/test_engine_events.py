"""The event stream of the real engine: what wakes, what is remembered, and the effect of a break."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from reconciler.engine import connect
from reconciler.errors import Away
from reconciler.observe.engine import EngineObserver
from reconciler.observe.events import EventWatch
from tests.conftest import engine_address
from tests.e2e.host import eventually
from tests.observe.proxy import Proxy

pytestmark = pytest.mark.engine

REMEMBERED = 256
"""The engine sends its last events again, of any kind (moby, daemon/events, eventsLimit)."""


@pytest.fixture
def proxy(engine: docker.APIClient, tmp_path: Path) -> Iterator[Proxy]:
    if not engine_address().startswith("unix://"):
        pytest.skip("the engine is not behind a socket of this machine")
    with Proxy(tmp_path, engine_address()) as made:
        yield made


@pytest.fixture
def through(proxy: Proxy) -> Iterator[docker.APIClient]:
    """A client that reaches the engine through the proxy."""
    client = connect(proxy.address, timeout=10)
    yield client
    client.close()


@pytest.fixture
def container(engine: docker.APIClient, images: dict[str, str], stack_name: str) -> str:
    return make(engine, images["actor"], stack_name)


def labelled(stack: str) -> dict[str, str]:
    """Every test is a host of its own, so that nobody else's containers wake it."""
    return {"com.docker.compose.project": stack, "dev.reconciler.host": stack}


def make(engine: docker.APIClient, image: str, stack: str, program: str = "sleep 60") -> str:
    labels = labelled(stack)
    return str(engine.create_container(image, ["sh", "-c", program], labels=labels)["Id"])


def waits(watch: EventWatch, timeout: float) -> float:
    began = time.monotonic()
    watch.wait(timeout)
    return time.monotonic() - began


def test_event_between_two_waits_wakes_the_next(engine: docker.APIClient, container: str, stack_name: str) -> None:
    with EventWatch(engine, stack_name) as watch:
        engine.start(container)
        time.sleep(0.5)
        assert waits(watch, 20) < 10
        assert waits(watch, 0.2) >= 0.2


def test_signals_that_somebody_sends_are_remembered(engine: docker.APIClient, container: str, stack_name: str) -> None:
    engine.start(container)
    with EventWatch(engine, stack_name) as watch:
        engine.stop(container, timeout=0)
        watch.wait(5)
        assert watch.events() == {container: {"kill"}}


def test_others_containers_wake_nobody(engine: docker.APIClient, images: dict[str, str], stack_name: str) -> None:
    labels = {"com.docker.compose.project": stack_name, "dev.reconciler.host": "another"}
    other = engine.create_container(images["actor"], ["sleep", "60"], labels=labels)["Id"]
    with EventWatch(engine, stack_name) as watch:
        engine.start(other)
        assert waits(watch, 0.7) >= 0.7


def test_break_is_told_once_and_events_go_on(
    engine: docker.APIClient, through: docker.APIClient, proxy: Proxy, container: str, stack_name: str
) -> None:
    with EventWatch(through, stack_name) as watch:
        proxy.cut()
        assert not watch.wait(5)
        assert watch.wait(0.1)
        time.sleep(0.5)
        engine.start(container)
        assert waits(watch, 20) < 10


def test_oom_while_the_stream_was_broken_is_not_lost(
    engine: docker.APIClient, through: docker.APIClient, proxy: Proxy, images: dict[str, str], stack_name: str
) -> None:
    limit = engine.create_host_config(mem_limit="24m", memswap_limit="24m")
    program = ["sh", "-c", "tail /dev/zero; sleep 60"]
    for _ in range(10):
        labels = labelled(stack_name)
        eater = engine.create_container(images["actor"], program, labels=labels, host_config=limit)["Id"]
        with EventWatch(through, stack_name) as watch:
            proxy.refuse()
            begun = int(time.time())
            engine.start(eater)
            eventually(lambda id=eater: engine.inspect_container(id)["State"]["OOMKilled"])
            assert watch.events() == {}
            proxy.answer()
            deadline = time.monotonic() + 10
            while not watch.events() and time.monotonic() < deadline:
                watch.wait(1)
            crowd = list(engine.events(since=begun, until=int(time.time()) + 1))
            if watch.events() or len(crowd) < REMEMBERED:
                break
    assert watch.events() == {eater: {"oom"}}
    assert engine.inspect_container(eater)["State"]["Running"]


def test_engine_that_is_away_is_told_at_once(through: docker.APIClient, proxy: Proxy, stack_name: str) -> None:
    proxy.refuse()
    with pytest.raises(Away) as away, EventWatch(through, stack_name):
        pytest.fail("there is nothing to watch")
    assert away.value.hint


def test_engine_that_hangs_is_away_after_the_timeout(through: docker.APIClient, proxy: Proxy) -> None:
    observer = EngineObserver(through, "test")
    assert observer.look(["nothing"]).containers == ()
    through.timeout = 2
    proxy.hang()
    proxy.cut()
    began = time.monotonic()
    with pytest.raises(Away, match="does not answer"):
        observer.look(["nothing"])
    assert time.monotonic() - began < 10


def test_watching_leaves_no_thread_and_no_descriptor(engine: docker.APIClient, stack_name: str) -> None:
    with EventWatch(engine, stack_name):
        pass
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        with EventWatch(engine, stack_name) as watch:
            watch.wait(0.01)
    assert threading.active_count() <= threads
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_leaving_does_not_wait_for_an_event(engine: docker.APIClient, stack_name: str) -> None:
    began = time.monotonic()
    with EventWatch(engine, stack_name):
        entered = time.monotonic()
    assert time.monotonic() - entered < 4, "less than it waits for its thread"
    assert entered - began < 30


def test_leaving_while_the_engine_is_away(through: docker.APIClient, proxy: Proxy, stack_name: str) -> None:
    with EventWatch(through, stack_name) as watch:
        proxy.refuse()
        assert not watch.wait(5)
    assert not [thread for thread in threading.enumerate() if thread.name == "engine-events"]
