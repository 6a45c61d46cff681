"""One service or disk breaks while the stack works. docs/stack.md has the results as a table."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.host import eventually
from tests.stack.blackbox import FOLDER, Blackbox, blackbox, compose_document
from tests.stack.harm import Writer, cut_off, fill_memory, full_disk, kill, on_small_volumes, ooms, restarts
from tests.stack.stubbed import SERVICE, Stub

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

DATA = ("postgres", "neo4j", "brain-api")
ALL = tuple(name for name, item in compose_document()["services"].items() if item["restart"] != "no")
PATIENCE = 60.0
SMALL = {"postgres-data": (999, "700m"), "neo4j-data": (7474, "900m")}
"""Small volumes that tests can fill: name → owner's number, and size of the tmpfs."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Blackbox]:
    with blackbox(tmp_path_factory.mktemp("stress"), compose) as made:
        made.push(Stub(made).files(), services=SERVICE)
        turn = made.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        yield made


@pytest.fixture
def stub(stack: Blackbox) -> Iterator[Stub]:
    made = Stub(stack)
    yield made
    made.behave("work")


def ready(stack: Blackbox) -> bool:
    try:
        return stack.ask("GET", "/health/ready")[0] == 200
    except OSError:
        return False


def settled(stack: Blackbox) -> bool:
    """Whether embeddings and graph have caught up."""
    status, counted = stack.ask("GET", "/api/v1/stats")
    return status == 200 and counted["embeddings_pending"] == counted["graph_pending"] == 0


def healthy(stack: Blackbox, service: str) -> bool:
    state = stack.host.container(service)["State"]
    return bool(state["Running"] and state["Health"]["Status"] == "healthy")


def harmed(stack: Blackbox, service: str, harm: Callable[[], object]) -> None:
    """Harm a service while a writer works. No acknowledged document may be lost. Requests may fail only if the harmed
    service is a database or brain-api."""
    place = f"{service}-{time.time_ns()}"
    eventually(lambda: ready(stack), PATIENCE)
    with Writer(stack, place) as writer:
        eventually(writer.went_on, PATIENCE)
        begun = time.monotonic()
        harm()
        eventually(lambda: ready(stack) and healthy(stack, service), PATIENCE)
        eventually(writer.went_on, PATIENCE)
        lasted = time.monotonic() - begun
    eventually(lambda: settled(stack), PATIENCE)
    assert writer.lost() == []
    assert service in DATA or not writer.refused
    print(f"\n{service}: {lasted:.0f} s, {len(writer.acknowledged)} stored, {len(writer.refused)} refused", end=" ")
    print(sorted({problem[:70] for problem in writer.refused}))


@pytest.mark.parametrize("service", ALL)
def test_a_killed_service_comes_back_by_itself_and_nothing_is_lost(stack: Blackbox, service: str) -> None:
    before = restarts(stack, service)
    harmed(stack, service, lambda: kill(stack, service))
    assert restarts(stack, service) == before + 1
    assert stack.once()["effects"] == 0


@pytest.mark.parametrize("service", ALL)
def test_a_process_that_fills_the_memory_is_killed_and_the_service_keeps_running(stack: Blackbox, service: str) -> None:
    since, before = time.time(), restarts(stack, service)
    harmed(stack, service, lambda: fill_memory(stack, service))
    assert ooms(stack, service, since) >= 1
    assert restarts(stack, service) == before


@pytest.mark.parametrize("service", ALL)
def test_a_service_without_network_is_corrected_by_the_next_turn(stack: Blackbox, service: str) -> None:
    def harm() -> None:
        with cut_off(stack, service):
            if service in ("postgres", "neo4j"):
                eventually(lambda: stack.ask("GET", "/health/ready")[1]["down"] == [service], PATIENCE)
                assert stack.ask("GET", "/health/live")[0] == 200
            turn = stack.once()
            assert turn["outcome"] == "Succeeded", turn.stdout
            assert stack.host.container(service)["NetworkSettings"]["Networks"]

    harmed(stack, service, harm)


@pytest.mark.parametrize(
    ("behaviour", "how", "status"),
    [
        ("work", {}, 200),
        ("broken", {}, 503),
        ("overloaded", {}, 503),
        ("rate-limit", {"retry_after": 7}, 503),
        ("malformed", {}, 503),
        ("hang", {}, 503),
    ],
)
def test_a_failing_model_fails_only_questions(
    stack: Blackbox, stub: Stub, behaviour: str, how: dict[str, int], status: int
) -> None:
    stub.behave(behaviour, **how)
    begun = time.monotonic()
    answered, document = stack.ask("POST", "/api/v1/query/nl", {"question": "What is stored?"}, patience=90)
    print(f"\n{behaviour}: {answered} after {time.monotonic() - begun:.1f} s {json.dumps(document)[:150]}")
    assert answered == status
    assert ready(stack)
    assert stack.ask("POST", "/api/v1/search/hybrid", {"query": "number"})[0] == 200


def test_a_full_disk_loses_no_acknowledged_document(tmp_path: Path, compose: Path) -> None:
    document = on_small_volumes((*DATA, "migrate"), SMALL)
    with blackbox(tmp_path, compose) as stack:
        stack.push({f"{FOLDER}/compose.yaml": json.dumps(document)})
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        for service, folder in (("postgres", "/var/lib/postgresql/data"), ("neo4j", "/data")):
            harmed(stack, service, lambda s=service, f=folder: _full(stack, s, f))


def _full(stack: Blackbox, service: str, folder: str) -> None:
    """Fill the disk for a while. After that postgres works again by itself. Neo4j's database stays down: its health
    check shows that, and a turn of the agent restarts it."""
    with full_disk(stack, service, folder):
        time.sleep(20.0)
        print("\n", service, stack.ask("GET", "/health/ready"))
    eventually(lambda: ready(stack) or (stack.once(), ready(stack))[1], PATIENCE, every=5.0)
