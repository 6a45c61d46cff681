"""The whole stack at once: from nothing to Healthy, each service does its work once, and a bad commit is rejected."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker import APIClient

from tests.conftest import missing
from tests.e2e.host import eventually
from tests.stack.agents import Agents, agents
from tests.stack.blackbox import FOLDER, compose_document
from tests.stack.test_mcp import PORTS, Servers
from tests.stack.test_watcher import Watched

pytestmark = [pytest.mark.engine, pytest.mark.timeout(2400)]

SERVICES = tuple(compose_document()["services"])
SLOW_TO_BEGIN = r"""
[ -e /tmp/begun ] || { : >/tmp/begun; exec sleep 600; }
while read -r line; do
  id=${line#*\"id\":}
  said='"result": {"protocolVersion": "2025-06-18", "serverInfo": {"name": "second", "version": "1"}}'
  [ "$id" = "$line" ] || echo "{\"jsonrpc\": \"2.0\", \"id\": ${id%%,*}, $said}"
done
"""
"""An MCP server that answers nothing at its first start, and works from its second start on."""
NEEDED = 14 << 30
"""Bytes of memory that the engine must have: steady limits are 10 GiB, and a commit needs more for a while."""


@pytest.fixture(scope="module")
def whole(engine: APIClient, tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Agents]:
    if engine.info()["MemTotal"] < NEEDED:
        missing("the engine has less than 14 GiB of memory")
    with agents(tmp_path_factory.mktemp("whole"), compose, *SERVICES) as made:
        yield made


def test_the_stack_is_healthy_and_a_second_turn_has_nothing_to_do(whole: Agents) -> None:
    turn = whole.stack.once()
    assert (turn["outcome"], turn["effects"]) == ("Unchanged", 0)
    status = whole.stack.host.status()
    assert (status["sync"], status["health"]) == ("Synced", "Healthy")
    assert {row["service"] for item in status["stacks"] for row in item["services"]} == {*SERVICES, "model-stub"}


@pytest.mark.parametrize("service", SERVICES)
def test_every_container_is_confined(whole: Agents, service: str) -> None:
    found = whole.stack.host.container(service)
    limits, told = found["HostConfig"], json.dumps(found)
    assert limits["ReadonlyRootfs"]
    assert limits["Init"]
    assert not limits["Privileged"]
    assert limits["CapDrop"] == ["ALL"]
    assert not limits["CapAdd"]
    assert limits["SecurityOpt"] == ["no-new-privileges:true"]
    assert found["Config"]["User"] not in ("", "root", "0")
    assert 0 < limits["PidsLimit"] <= 400
    assert limits["Memory"] == limits["MemorySwap"] > 0
    assert limits["LogConfig"]["Type"] == "local"
    assert "max-size" in limits["LogConfig"]["Config"]
    assert all(port["HostIp"] == "127.0.0.1" for ports in limits["PortBindings"].values() for port in ports)
    placed = (whole.stack.host.secrets / whole.stack.host.stack).iterdir()
    secrets = [word for path in placed for word in path.read_text().split() if len(word) >= 16]
    assert len(secrets) > len(whole.stack.secrets)
    assert not any(secret in told for secret in secrets)


def test_the_databases_and_brain_api_find_what_is_taken_in(whole: Agents) -> None:
    item = {"title": "Quinces", "content": "Hard fruit that has to be cooked before it can be eaten.", "path": "quince"}
    pear = {"title": "Pears", "content": "Soft fruit.", "path": "pear", "links": [{"path": "quince", "kind": "near"}]}
    status, told = whole.stack.ask("POST", "/api/v1/artifacts/batch", {"artifacts": [item, pear]})
    assert status == 200, told
    near = f"/api/v1/graph/neighbours/{told['artifacts'][1]['id']}"

    def linked() -> bool:
        status, told = whole.stack.ask("GET", near)
        return status == 200 and "quince" in [node["path"] for node in told["nodes"]]

    def found() -> bool:
        status, told = whole.stack.ask("POST", "/api/v1/search/semantic", {"query": "what must be boiled first"})
        return status == 200 and bool(told["hits"]) and told["hits"][0]["path"] == "quince"

    eventually(found, 60, 0.5)
    eventually(linked, 60, 0.5)


def test_file_watcher_brings_files_to_brain_api(whole: Agents) -> None:
    watched = Watched(whole.stack)
    watched.write({"notes.md": "# Notes\n\nOf what was seen."})
    watched.becomes(lambda paths: "files/notes.md" in paths, 60)


def test_ralph_works_and_commits(whole: Agents) -> None:
    whole.prompt("Write another note.")
    eventually(lambda: whole.agent()["results"].get("progress", 0) >= 2, 120, 0.5)
    whole.ralph("pause")
    assert "ralph-1" in whole.git("log --format=%an")


def test_a_task_of_claude_code_uses_an_mcp_server(whole: Agents) -> None:
    calls = [{"tool": "mcp__filesystem__write_file", "input": {"path": "/workspace/told.txt", "content": "told"}}]
    id = whole.submit("stub-calls: " + json.dumps(calls))
    assert whole.ended(id, "succeeded")
    assert whole.stack.host.exec("mcp-filesystem-1", "cat /workspace/told.txt") == "told"


@pytest.mark.parametrize("service", PORTS)
def test_an_mcp_server_lists_its_tools(whole: Agents, service: str) -> None:
    assert "tools" in Servers(whole.stack).ask(service, "tools/list", {})[0]


def test_an_mcp_server_that_does_not_answer_initialize_is_restarted(whole: Agents) -> None:
    run = whole.stack.host.exec
    bridge = "env -u SECRET PATIENCE_SECONDS=2 node bridge.mjs 8999 sh /tmp/server.sh"
    start = f"{bridge} >/dev/null 2>&1 & echo $! >/tmp/bridge"
    run("mcp-supabase-1", f"cat >/tmp/server.sh <<'END'\n{SLOW_TO_BEGIN}END\n{start}")
    ask = "node ask.mjs 8999 2>&1 || true"
    eventually(lambda: "no answer within 2 s" in run("mcp-supabase-1", ask), 20, 0.2)
    assert run("mcp-supabase-1", ask) == "second 1"
    assert "sleep 600" not in Servers(whole.stack).processes("mcp-supabase")
    run("mcp-supabase-1", "kill $(cat /tmp/bridge)")


def test_a_commit_that_breaks_brain_api_ends_in_its_trial_and_touches_nothing(whole: Agents) -> None:
    before = whole.stack.running()
    whole.files = {f"{FOLDER}/brain-api/brain/__main__.py": 'raise SystemExit("broken")\n'}
    whole.push()
    turn = whole.stack.once()
    assert turn["outcome"] == "Rejected", turn.stdout
    assert whole.stack.running() == before
    eventually(lambda: whole.stack.ask("GET", "/health/ready")[0] == 200, 60)
