"""Full disks under working services: requests are refused, nothing is lost, and with room all services continue."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.e2e.host import eventually
from tests.stack.agents import FAST, Agents
from tests.stack.blackbox import FOLDER, blackbox
from tests.stack.harm import full_disk, on_small_volumes
from tests.stack.stubbed import SERVICE

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

OWNER = 10001
AGENTS = ("ralph-agent", "claude-runtime")
OF_AGENTS = dict.fromkeys(("ralph-data", "ralph-workspace", "claude-data", "workspace"), (OWNER, "64m"))
OF_WATCHER = dict.fromkeys(("watcher-state", "workspace"), (OWNER, "8m"))
WATCHED = ("postgres", "neo4j", "migrate", "brain-api", "file-watcher")
OFTEN = {"RESCAN_SECONDS": "3", "QUIET_SECONDS": "1"}


def test_agents_continue_after_full_disks(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        made = Agents(stack, *AGENTS)
        document = on_small_volumes(AGENTS, OF_AGENTS)
        document["services"] |= SERVICE
        stack.push({**made.stub.files(**FAST), f"{FOLDER}/compose.yaml": json.dumps(document)})
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout
        check_queue(made)
        check_loop(made)
        assert stack.once()["effects"] == 0, "nobody was restarted"


def check_queue(made: Agents) -> None:
    before = made.submit("hang", "--model stub-hang")
    eventually(lambda: made.task(before)["status"] == "running", 20)
    with full_disk(made.stack, "claude-runtime", "/data"):
        script = "task submit 'one more' 2>&1 || true"
        assert "No space left" in (refused := made.stack.host.exec("claude-runtime-1", script)), refused
        made.stack.host.exec("claude-runtime-1", f"task cancel {before} || true")
        time.sleep(8.0)
    made.stack.host.exec("claude-runtime-1", f"task cancel {before} || true")
    made.ended(before, "cancelled")
    with full_disk(made.stack, "claude-runtime", "/workspace"):
        made.ended(made.submit("write it"), "succeeded")
    assert made.ended(made.submit("write it again"), "succeeded")


def check_loop(made: Agents) -> None:
    made.prompt("Write another note.")
    for folder in ("/workspace", "/data"):
        eventually(lambda: made.agent()["results"].get("progress", 0) >= 1, 40)
        with full_disk(made.stack, "ralph-agent", folder):
            time.sleep(15.0)
            print("\n", folder, made.ralph("status || true"))
        made.ralph("close || true")
        before = made.agent()["results"].get("progress", 0)
        eventually(lambda n=before: made.agent()["results"].get("progress", 0) >= n + 2, 60)


def test_file_watcher_loses_no_change_on_a_full_disk(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        document = on_small_volumes(WATCHED, OF_WATCHER)
        document["services"]["file-watcher"]["environment"] |= OFTEN
        stack.push({f"{FOLDER}/compose.yaml": json.dumps(document)})
        turn = stack.once()
        assert turn["outcome"] == "Succeeded", turn.stdout

        def write(name: str) -> None:
            stack.host.exec("keeper-1", f"echo something >/workspace/{name}")

        def known() -> set[str]:
            return {item["path"] for item in stack.ask("GET", "/api/v1/artifacts?kind=file&limit=200")[1]["artifacts"]}

        write("before")
        eventually(lambda: known() >= {"workspace/before"}, 30)
        with full_disk(stack, "file-watcher", "/state"):
            write("meanwhile")
            stack.host.exec("keeper-1", "rm /workspace/before")
            time.sleep(20.0)
            print("\n", sorted(known()), stack.host.container("file-watcher")["State"]["Health"]["Status"])
        write("after")
        eventually(lambda: known() == {"workspace/meanwhile", "workspace/after"}, 60)
        assert stack.host.container("file-watcher")["RestartCount"] == 0
