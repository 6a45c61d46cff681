"""ralph-agent with Claude Code itself: it works, commits, fails and hangs; breakers open and close."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import eventually
from tests.stack.agents import Agents, agents

pytestmark = [pytest.mark.stack, pytest.mark.engine, pytest.mark.timeout(1800)]

PROMPT = "Write another note."


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, compose: Path) -> Iterator[Agents]:
    with agents(tmp_path_factory.mktemp("agents"), compose, "ralph-agent") as made:
        yield made


@pytest.fixture
def ready(started: Agents) -> Iterator[Agents]:
    """The loop works, and its breaker is closed."""
    started.stub.behave()
    started.prompt(PROMPT)
    started.ralph("close")
    started.ralph("resume")
    yield started
    started.stub.behave()
    started.ralph("pause")
    eventually(lambda: started.agent()["status"] == "paused", 20)


def test_without_a_prompt_the_agent_waits_says_so_and_is_healthy(started: Agents) -> None:
    agent = started.agent()
    assert (agent["status"], agent["turns"]) == ("waiting", 0)
    assert "PROMPT.md" in agent["reason"]
    turn = started.stack.once()
    assert (turn["outcome"], turn["effects"]) == ("Unchanged", 0)
    assert started.stack.host.status()["health"] == "Healthy"


def test_turns_work_and_each_is_committed(ready: Agents) -> None:
    before = ready.agent()  # the loop runs already
    eventually(lambda: ready.agent()["results"].get("progress", 0) >= before["results"].get("progress", 0) + 3, 40)
    ready.ralph("pause --reason 'to look at it'")
    eventually(lambda: ready.agent()["status"] == "paused", 20)
    agent = ready.agent()
    assert "to look at it" in agent["reason"]
    assert agent["turns"] >= before["turns"] + 3
    notes = [line for line in ready.git("log --format=%an:%s").splitlines() if line == "ralph-1:Another note"]
    assert len(notes) >= 3
    assert ready.git("status --porcelain") == ""
    assert agent["usdToday"] > 0
    assert ready.agent()["turns"] == agent["turns"]
    assert "claude" not in ready.processes("ralph-agent")
    assert ready.stack.host.exec("ralph-agent-1", "find /data/agents/1/home -type f") == ""


def test_the_work_is_fetched_through_docker_exec(ready: Agents, tmp_path: Path) -> None:
    container = f"{ready.stack.host.stack}-ralph-agent-1"
    address = f"ext::docker exec -i {container} git %s /workspace/1"
    command = ["git", "-c", "protocol.ext.allow=user", "clone", "--quiet", address, str(tmp_path / "work")]
    subprocess.run(command, check=True, timeout=60)
    assert (tmp_path / "work/PROMPT.md").read_text().strip() == PROMPT


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        ("no-change", "no-progress"), ("blocked", "same-error"), ("same-error", "same-error"), ("broken", "same-error"),
        ("overloaded", "same-error"), ("malformed", "same-error"), ("denied", "denials"), ("terse", "decline"),
    ],
)  # fmt: skip
def test_a_breaker_opens_is_seen_and_closes_by_a_good_turn(ready: Agents, behaviour: str, cause: str) -> None:
    started_at = ready.stack.host.container("ralph-agent")["State"]["StartedAt"]
    worked = ready.agent()["results"].get("progress", 0)
    eventually(lambda: ready.agent()["results"].get("progress", 0) >= worked + 2, 40)
    opened = ready.agent()["opens"].get(cause, 0)
    ready.stub.behave(behaviour)
    eventually(lambda: ready.agent()["opens"].get(cause, 0) == opened + 1, 90, 0.3)
    ready.stub.behave()
    seen = ready.stack.host.exec("ralph-agent-1", "curl -s http://127.0.0.1:9470/metrics")
    assert f'ralph_breaker_opens_total{{agent="ralph-1",cause="{cause}"}} {opened + 1}' in seen
    eventually(lambda: ready.agent()["breaker"]["state"] == "closed", 40, 0.3)
    container = ready.stack.host.container("ralph-agent")
    assert container["State"]["StartedAt"] == started_at, "nobody has restarted it"
    assert container["State"]["Health"]["Status"] == "healthy"


def test_an_open_breaker_survives_a_restart_and_a_person_closes_it(ready: Agents) -> None:
    ready.stub.behave("no-change")
    # The cool-down is short here, so the breaker opens again and again.
    eventually(lambda: ready.agent()["breaker"]["state"] == "open", 60)
    opens = ready.agent()["opens"]
    ready.stack.host.engine.restart(f"{ready.stack.host.stack}-ralph-agent-1", timeout=60)
    eventually(lambda: ready.agent()["container"] and ready.agent()["status"] == "paused", 20)
    after = ready.agent()
    assert all(after["opens"][cause] >= count for cause, count in opens.items())
    ready.stub.behave()
    assert "close done" in ready.ralph("close")
    assert ready.agent()["breaker"]["state"] == "closed"


def test_the_agent_waits_for_a_rate_limit_and_opens_no_breaker(ready: Agents) -> None:
    ready.stub.behave("rate-limit", retry_after=1)
    limited = ready.agent()["results"].get("limited", 0)
    eventually(lambda: ready.agent()["results"].get("limited", 0) >= limited + 3, 60)
    agent = ready.agent()
    assert agent["breaker"]["state"] == "closed"
    eventually(lambda: ready.agent()["status"] == "limited", 20)
    assert "429" in ready.agent()["reason"]
    ready.stub.behave()
    worked = ready.agent()["results"].get("progress", 0)
    eventually(lambda: ready.agent()["results"].get("progress", 0) > worked, 60)


def test_a_turn_that_hangs_is_ended_with_all_it_started(ready: Agents) -> None:
    ready.stub.behave("hang")
    eventually(lambda: ready.stub.stats()["under_way"] == 1, 30)
    assert "claude" in ready.processes("ralph-agent")
    ready.stub.behave("no-change")
    eventually(lambda: "no end within 30 s" in ready.agent()["lastTurn"].get("error", ""), 30, 0.2)
    eventually(lambda: ready.stub.stats()["under_way"] == 0, 10)


def test_a_finished_agent_waits_for_another_prompt(ready: Agents) -> None:
    ready.stub.behave("finished")
    eventually(lambda: ready.agent()["status"] == "finished", 40)
    turns = ready.agent()["turns"]
    ready.stub.behave()
    assert ready.stack.host.container("ralph-agent")["State"]["Health"]["Status"] == "healthy"
    assert ready.agent()["turns"] == turns
    ready.prompt("Something else.")
    eventually(lambda: ready.agent()["turns"] > turns, 20)


def test_a_state_that_cannot_be_read_begins_anew(ready: Agents) -> None:
    ready.ralph("pause")
    eventually(lambda: ready.agent()["status"] == "paused", 20)
    ready.stack.host.exec("ralph-agent-1", "printf '{\"turns\": 3' >/data/agents/1/state.json")
    ready.stack.host.engine.restart(f"{ready.stack.host.stack}-ralph-agent-1", timeout=60)
    eventually(lambda: 0 < ready.agent()["turns"] < 20, 30)
    assert ready.stack.host.exec("ralph-agent-1", "cat /data/agents/1/state.corrupt") == '{"turns": 3'


def test_a_stop_waits_for_the_turn(ready: Agents) -> None:
    ready.stub.behave("slow", seconds=0.15)
    eventually(lambda: ready.stub.stats()["under_way"] == 1, 20)
    turns = ready.agent()["turns"]
    ready.stack.host.engine.stop(f"{ready.stack.host.stack}-ralph-agent-1", timeout=90)
    assert ready.stack.host.container("ralph-agent")["State"]["ExitCode"] == 0
    ready.stub.behave()
    ready.stack.host.engine.start(f"{ready.stack.host.stack}-ralph-agent-1")
    eventually(lambda: ready.agent()["turns"] > turns, 30)
    last = json.loads(ready.ralph("turns --output json"))["turns"]
    assert "interrupted" not in {turn["result"] for turn in last}


# -- other commits. These tests are last, because they leave two agents. --------------------------------------------


def test_two_agents_run_side_by_side_with_their_own_limits(started: Agents) -> None:
    started.stub.behave()
    started.push(RALPH_REPLICAS="2", RALPH_CALLS_PER_HOUR="2", RALPH_USD_PER_DAY="10000")
    turn = started.stack.once()
    assert turn["outcome"] == "Succeeded", turn.stdout
    eventually(lambda: [item["agent"] for item in started.agents() if item["status"] != "not running"] == [1, 2], 20)
    started.prompt("The second one.", agent=2)
    eventually(lambda: started.agents()[1]["status"] == "limited", 60)
    second = started.agents()[1]
    assert (second["turns"], second["reason"]) == (2, "2 calls in an hour")
    assert started.git("show HEAD~2:PROMPT.md", agent=2) == "The second one."
    assert len({item["container"] for item in started.agents()}) == 2


def test_the_agent_waits_when_the_days_budget_is_spent(started: Agents) -> None:
    started.push(RALPH_REPLICAS="2", RALPH_USD_PER_DAY="0.1")
    turn = started.stack.once()
    assert turn["outcome"] == "Succeeded", turn.stdout
    started.prompt("The second one.", agent=2)
    eventually(lambda: started.agents()[1]["status"] == "limited", 60)
    assert "the day's budget of 0.1 USD is spent" in started.agents()[1]["reason"]
