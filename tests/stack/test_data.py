"""The real databases and brain-api: from nothing to Healthy, confined, and rolled back after a bad commit."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import docker
import pytest

from reconciler.engine import connect
from tests.conftest import engine_address
from tests.e2e.host import eventually
from tests.stack.blackbox import FOLDER, Blackbox, blackbox

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

LONG_RUNNING = ("brain-api", "neo4j", "postgres")
TESTS = {
    "build": {"context": "./brain-api", "target": "test"},
    "restart": "no",
    "networks": ["postgres", "neo4j"],
    "environment": {
        "POSTGRES_HOST": "postgres", "NEO4J_URL": "bolt://neo4j:7687", "EMBEDDING_MODEL": "${EMBEDDING_MODEL}",
        "EMBEDDING_DIMENSIONS": "${EMBEDDING_DIMENSIONS}",
    },
    "volumes": ["./migrate:/opt/migrate:ro"],
    "secrets": ["postgres_brain_owner", "postgres_brain", "neo4j_password", "brain_api_keys"],
    "depends_on": {"brain-api": {"condition": "service_healthy"}},
    "read_only": True,
    "tmpfs": ["/tmp"],
    "command": ["-q", "-s", "--tb=short", "--show-capture=no"],
    "mem_limit": "1g",
}  # fmt: skip
"""brain-api's own tests as a further service. The turn ends when they have started: no service waits for their end."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Blackbox]:
    """The stack of this repository, started from nothing until Healthy."""
    with blackbox(tmp_path_factory.mktemp("blackbox"), compose) as made:
        sha = made.push()
        judged = made.host.validate(sha)
        assert (judged.code, judged["violations"]) == (0, [])
        with watching(made):
            turn = made.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn.stdout
        yield made


SEEN: set[str] = set()
"""The arguments of each process that ran while the stack started."""


@contextmanager
def watching(stack: Blackbox) -> Iterator[None]:
    ended, engine = threading.Event(), connect(engine_address())

    def look() -> None:
        while not ended.wait(0.2):
            for item in engine.containers(filters={"label": f"com.docker.compose.project={stack.host.stack}"}):
                with suppress(docker.errors.APIError):
                    SEEN.update(" ".join(process) for process in engine.top(item["Id"])["Processes"] or ())

    with ThreadPoolExecutor() as pool:
        done = pool.submit(look)
        try:
            yield
        finally:
            ended.set()
        done.result()


def test_a_second_turn_has_nothing_to_do(stack: Blackbox) -> None:
    turn = stack.once()
    assert (turn["outcome"], turn["effects"]) == ("Unchanged", 0)
    status = stack.host.status()
    assert (status["sync"], status["health"]) == ("Synced", "Healthy")


def test_no_secret_is_an_argument_of_a_process(stack: Blackbox) -> None:
    """A program that runs for seconds, and only on a new volume, sets the first password of Neo4j. It is seen here."""
    assert [told for told in SEEN if "@/tmp/arguments" in told]
    assert not [told for told in SEEN if any(secret in told for secret in stack.secrets.values())]


def test_databases_are_reached_only_from_those_that_need_them(stack: Blackbox) -> None:
    prefix = f"{stack.host.stack}_"
    networks = {name.removeprefix(prefix): item for name, item in stack.host.networks().items()}
    assert {name for name, item in networks.items() if item["Internal"]} >= {"postgres", "neo4j", "brain"}
    reached = {
        name: {key.removeprefix(prefix) for key in stack.host.container(name)["NetworkSettings"]["Networks"]}
        for name in LONG_RUNNING
    }
    assert reached["postgres"] == {"postgres"}
    assert reached["neo4j"] == {"neo4j"}
    assert stack.host.container("postgres")["HostConfig"]["PortBindings"] == {}


def test_postgres_is_tuned_and_keeps_checksums(stack: Blackbox) -> None:
    shown = {name: stack.psql(f"SHOW {name}") for name in ("data_checksums", "shared_buffers", "max_connections")}
    assert shown == {"data_checksums": "on", "shared_buffers": "512MB", "max_connections": "40"}
    assert stack.psql("SELECT extname FROM pg_extension WHERE extname = 'vector'") == "vector"
    assert stack.psql("SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin") == "postgres"
    assert stack.psql("SELECT has_table_privilege('brain', 'artifacts', 'TRUNCATE')") == "f"


def test_neo4j_has_the_memory_of_its_settings(stack: Blackbox) -> None:
    arguments = stack.host.exec("neo4j-1", "cat /proc/*/cmdline | tr '\\0' '\\n'")
    assert {"-Xms768m", "-Xmx768m", "-XX:+ExitOnOutOfMemoryError"} <= set(arguments.splitlines())
    assert "pagecache.size=384m" in stack.host.exec("neo4j-1", "cat /tmp/conf/neo4j.conf")


def test_brain_apis_own_tests_pass_inside_the_stack(stack: Blackbox) -> None:
    before = stack.running()
    stack.push(services={"tests": TESTS})
    turn = stack.once()
    assert turn["outcome"] == "Succeeded", turn.stdout
    tests = f"{stack.host.stack}-tests-1"
    ended = stack.host.engine.wait(tests, timeout=900)
    told = stack.host.engine.logs(tests).decode()
    print(told)
    assert ended["StatusCode"] == 0, told
    assert re.search(r"^\d+ passed", told.splitlines()[-1]), told
    after = stack.running()
    assert {name: after[name] for name in before} == before


def test_a_killed_database_is_named_and_restarted(stack: Blackbox) -> None:
    stack.push()
    stack.once()
    stack.host.engine.kill(f"{stack.host.stack}-postgres-1")
    status, document = stack.ask("GET", "/health/ready")
    assert (status, document["down"]) == (503, ["postgres"])
    assert stack.ask("GET", "/health/live")[0] == 200
    assert stack.once()["outcome"] == "Succeeded"
    eventually(lambda: stack.ask("GET", "/health/ready")[0] == 200, 60)


def test_a_changed_line_of_brain_api_restarts_brain_api_alone(stack: Blackbox) -> None:
    stack.push()
    stack.once()
    before = stack.running()
    stack.push({f"{FOLDER}/brain-api/brain/__init__.py": '"""Another line."""\n'})
    turn = stack.once()
    assert turn["outcome"] == "Succeeded", turn.stdout
    print(f"\nbuilt, switched and proven in {turn['durationSeconds']} s")
    after = stack.running()
    assert [name for name in before if after[name] != before[name]] == [f"{stack.host.stack}-brain-api-1"]


def test_a_broken_brain_api_is_rolled_back_and_the_old_code_works_with_the_migrated_tables(
    stack: Blackbox,
) -> None:
    stack.push()
    stack.once()
    before = stack.running()
    item = {"title": "Kept", "content": "What was stored before a bad commit.", "path": "kept"}
    assert stack.ask("POST", "/api/v1/artifacts/batch", {"artifacts": [item]})[0] == 200
    table = "CREATE TABLE IF NOT EXISTS later (id int);\nALTER TABLE artifacts ADD COLUMN IF NOT EXISTS note text;\n"
    stack.push(
        {
            f"{FOLDER}/migrate/postgres/9999-later.sql": table,
            f"{FOLDER}/brain-api/brain/__main__.py": 'raise SystemExit("broken")\n',
        }
    )
    turn = stack.once()
    assert turn["outcome"] == "RolledBack", turn.stdout
    assert "migrate already ran" in turn["message"]
    after = stack.running()
    for name in ("postgres", "neo4j", "brain-api"):
        container = f"{stack.host.stack}-{name}-1"
        assert after[container][0] == before[container][0], name
    for name in ("postgres", "neo4j"):
        assert after[f"{stack.host.stack}-{name}-1"] == before[f"{stack.host.stack}-{name}-1"], name
    assert stack.psql("SELECT count(*) FROM later") == "0"
    eventually(lambda: stack.ask("GET", "/health/ready")[0] == 200, 60)
    status, found = stack.ask("POST", "/api/v1/search/hybrid", {"query": "stored before a bad commit"})
    assert (status, found["hits"][0]["path"]) == (200, "kept")
    again = {**item, "content": "Written by the old code on the new tables."}
    written = stack.ask("POST", "/api/v1/artifacts/batch", {"artifacts": [again]})[1]
    assert written["artifacts"][0]["result"] == "updated"
