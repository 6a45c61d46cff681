"""Observations that only a real engine can show: foreign memory, ports of this machine, logs, probes."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import docker
import pytest

from reconciler.observe.containers import LEAST_COUNTED
from reconciler.observe.engine import EngineObserver
from tests.conftest import project_labels

pytestmark = pytest.mark.engine

MEBIBYTE = 1 << 20
Make = Callable[..., str]


@pytest.fixture
def observer(engine: docker.APIClient) -> EngineObserver:
    return EngineObserver(engine, "mini")


@pytest.fixture
def make(engine: docker.APIClient, images: dict[str, str], stack_name: str) -> Make:
    """Start a container of this test's stack: `make(program, host={...}, **create_options)` → id."""

    def started(program: str, host: dict[str, Any] | None = None, **options: Any) -> str:
        labels = project_labels(stack_name) | options.pop("labels", {})
        config = engine.create_host_config(**(host or {}))
        made = engine.create_container(
            images["actor"], ["sh", "-c", program], labels=labels, host_config=config, **options
        )
        engine.start(made["Id"])
        return str(made["Id"])

    return started


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 40
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def test_a_container_that_only_inherits_labels_belongs_to_no_stack(
    engine: docker.APIClient, observer: EngineObserver, images: dict[str, str], stack_name: str
) -> None:
    """Compose labels what it builds, and every container of such an image has these labels."""
    labels = {"com.docker.compose.project": stack_name, "com.docker.compose.service": "web"}
    id = str(engine.create_container(images["actor"], ["sleep", "60"], labels=labels)["Id"])
    engine.start(id)
    whole = observer.inspect([stack_name])
    assert (whole.containers, observer.look([stack_name]).containers) == ((), ())
    assert id in {item.id for item in whole.foreign}
    assert observer.look([stack_name, "another"]).containers == ()


def test_foreign_container_counts_with_its_limit(observer: EngineObserver, make: Make) -> None:
    container = make("sleep 60", {"mem_limit": "48m"})
    [found] = [item for item in observer.inspect(["another"]).foreign if item.id == container]
    assert found.memory == 48 * MEBIBYTE


def test_foreign_container_without_limit_counts_at_least_a_little(observer: EngineObserver, make: Make) -> None:
    container = make("sleep 60")
    [found] = [item for item in observer.inspect(["another"]).foreign if item.id == container]
    assert found.memory == LEAST_COUNTED


def test_foreign_container_without_limit_counts_with_what_it_holds(observer: EngineObserver, make: Make) -> None:
    container = make("head -c 100000000 /dev/zero | tail | sleep 60")
    assert eventually(lambda: observer.usage([container]).get(container, 0) > 90 * MEBIBYTE)
    [found] = [item for item in observer.inspect(["another"]).foreign if item.id == container]
    assert found.memory > 90 * MEBIBYTE


def test_stopped_foreign_container_counts_nothing(
    observer: EngineObserver, make: Make, engine: docker.APIClient
) -> None:
    container = make("sleep 60", {"mem_limit": "48m"})
    engine.stop(container, timeout=0)
    assert eventually(lambda: container not in {item.id for item in observer.inspect(["another"]).foreign})
    assert observer.usage([container]) == {}


def test_inspect_is_complete(observer: EngineObserver, make: Make, stack_name: str) -> None:
    container = make("sleep 60", {"mem_limit": "48m"})
    state = observer.inspect([stack_name])
    assert state.complete
    assert state.memory_total > 256 * MEBIBYTE
    assert [item.id for item in state.containers] == [container]
    assert container not in {item.id for item in state.foreign}
    assert container in state.networks["bridge"].containers
    assert state.networks["bridge"].digest is None


def test_log_is_decoded_whatever_it_holds(observer: EngineObserver, make: Make) -> None:
    container = make(r"printf 'to stdout\n'; printf 'broken \377 byte\n' >&2; sleep 0.3; printf 'no end'")
    assert eventually(lambda: len(observer.logs(container, 20)) == 3)
    assert set(observer.logs(container, 20)) == {"to stdout", "broken \ufffd byte", "no end"}


def test_log_is_cut_to_the_last_lines(observer: EngineObserver, make: Make) -> None:
    container = make("seq 100; sleep 60")
    assert eventually(lambda: observer.logs(container, 3) == ("98", "99", "100"))
    assert observer.logs(container, 0) == ()


def test_log_of_a_terminal(observer: EngineObserver, make: Make) -> None:
    container = make("echo in colour; sleep 60", tty=True)
    assert eventually(lambda: observer.logs(container, 5) == ("in colour",))


def test_log_of_an_earlier_life_is_not_shown(observer: EngineObserver, make: Make, engine: docker.APIClient) -> None:
    container = make("n=$(cat /n 2>/dev/null || echo 1); echo life $n; echo $((n+1)) > /n; sleep 60")
    assert eventually(lambda: observer.logs(container, 5) == ("life 1",))
    engine.stop(container, timeout=0)
    engine.start(container)
    assert eventually(lambda: observer.logs(container, 5) == ("life 2",))


def test_log_of_a_short_life_is_shown_though_its_start_was_noted_late(
    observer: EngineObserver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.observe.engine.STARTED_AT_LAG", -60.0)
    container = make("echo last words; exit 3")
    assert eventually(lambda: observer.logs(container, 5) == ("last words",))


def test_unreadable_log_is_empty(observer: EngineObserver, make: Make) -> None:
    container = make("echo lost; sleep 60", {"log_config": {"type": "none"}})
    assert observer.logs(container, 5) == ()


def test_failed_probe_without_output_shows_its_exit_code(observer: EngineObserver, make: Make) -> None:
    container = make("sleep 60", healthcheck={"test": ["CMD-SHELL", "exit 22"], "interval": 10**9, "retries": 1})
    assert eventually(lambda: observer.health_output(container) == "no output, exit code 22")


def test_probe_of_an_earlier_life_is_not_shown(observer: EngineObserver, make: Make, engine: docker.APIClient) -> None:
    check = {"test": ["CMD-SHELL", 'echo "as of $(cat /n)"'], "interval": 10**9, "retries": 1}
    container = make("echo x >> /n; sleep 60", healthcheck=check)
    assert eventually(lambda: observer.health_output(container) == "as of x")
    engine.stop(container, timeout=0)
    engine.start(container)
    told: list[str | None] = []
    assert eventually(lambda: told.append(observer.health_output(container)) or told[-1] == "as of x\nx")
    assert set(told) <= {None, "as of x\nx"}


def test_process_of_this_machine_holds_a_port(observer: EngineObserver) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = ("0.0.0.0", held.getsockname()[1], "tcp")
        assert observer.ports_taken([port]) == {port: "another process of this machine"}
    assert observer.ports_taken([port]) == {}


def test_container_of_another_host_holds_its_port(observer: EngineObserver, make: Make, stack_name: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number = probe.getsockname()[1]
    bind = {"port_bindings": {80: ("127.0.0.1", number)}}
    make("sleep 60", bind, ports=[80], name=f"{stack_name}-holder", labels={"dev.reconciler.host": "other"})
    port = ("127.0.0.1", number, "tcp")
    assert observer.ports_taken([port]) == {port: f"container {stack_name}-holder"}
