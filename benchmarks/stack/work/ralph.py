"""All agents of ralph-agent run their loops. At the end each must have taken turns, and none may have stopped."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.stack.load import Load

PROMPT = "Write another note into notes/ and commit it."


def run(load: Load) -> None:
    exec_ = load.stack.host.exec
    count = len([name for name in load.stack.host.states() if name.startswith("ralph-agent-")])
    while len(_agents(load)) < count:
        if load.pause(1.0):
            return
    for agent in _agents(load):
        exec_("ralph-agent-1", f"echo '{PROMPT}' | ralph prompt {agent['agent']}")
    load.stop.wait()
    for agent in _agents(load):
        name, number = f"ralph-{agent['agent']}", agent["agent"]
        load.counts[f"turns of {name}"] = agent["turns"]
        if not agent["turns"] or agent["status"] != "running" or agent["breaker"]["state"] != "closed":
            load.problems.append(f"{name} has done {agent['turns']} turns and is {agent['status']}: {agent['reason']}")
        turns = json.loads(exec_("ralph-agent-1", f"ralph turns {number} --output json"))["turns"]
        load.times["ralph's last turns"] += [turn["seconds"] for turn in turns]


def _agents(load: Load) -> list[dict[str, Any]]:
    told = json.loads(load.stack.host.exec("ralph-agent-1", "ralph status --output json"))
    agents: list[dict[str, Any]] = told["agents"]
    return agents
