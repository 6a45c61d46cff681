"""`ralph status|turns|close|pause|resume|prompt`. The command and the loop share only files."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ralph.settings import Settings
from ralph.slots import Slot, known
from ralph.state import HOUR, State, load

VERBS = {
    "status": "every agent there is, or one: what it does and why",
    "turns": "the last 20 turns",
    "close": "close the breaker, forget what led to it, and go on at once",
    "pause": "begin no further turn",
    "resume": "go on after `pause`, or after the work was called finished",
    "prompt": "a new prompt, from stdin: it becomes PROMPT.md in the agent's workspace",
}
PATIENCE = 10.0


def main(settings: Settings, given: argparse.Namespace) -> int:
    """Exit code. 0: done. 1: the loop has not done it, or not yet; stderr says why. 2: there is no such agent."""
    slots = known(settings.data / "agents")
    if given.verb == "status" and given.agent is None:
        chosen = slots
    else:
        number = given.agent or _own(settings)
        chosen = [slot for slot in slots if slot.number == number]
        if not chosen:
            print(f"there is no agent {number}; there are: {', '.join(str(s.number) for s in slots)}", file=sys.stderr)
            return 2
    if given.verb == "status":
        return _status(chosen, given.output, settings)
    if given.verb == "turns":
        return _turns(chosen[0], given.output)
    text = sys.stdin.read() if given.verb == "prompt" else getattr(given, "reason", "")
    if given.verb == "prompt" and not text.strip():
        print("an empty prompt is none: give one on stdin", file=sys.stderr)
        return 1
    return _ask(chosen[0], given.verb, text)


def _own(settings: Settings) -> int:
    path = settings.own / "agent"
    return int(path.read_text()) if path.exists() else 1


def _ask(slot: Slot, verb: str, text: str) -> int:
    path, until = slot.ask(verb, text), time.monotonic() + PATIENCE
    while path.exists() and time.monotonic() < until:
        time.sleep(0.1)
    if path.exists():
        why = "a turn is under way; it is done when that ends" if slot.held() else "no container runs this agent now"
        print(f"asked, and not done yet: {why}", file=sys.stderr)
        return 1
    print(f"{slot.name}: {verb} done")
    return 0


def described(slot: Slot, settings: Settings) -> dict[str, Any]:
    """One agent, as an entry of `ralph status --output json`."""
    # Not `load`: it moves an unreadable file aside, which only the loop may do.
    readable = bool(slot.read("state.json"))
    state, told, now = (
        load(slot.folder / "state.json")[0] if readable else State(),
        slot.read("status.json"),
        time.time(),
    )
    breaker = state.breaker.at(now, settings.limits)
    return {
        "agent": slot.number, "status": told.get("status", "unknown") if slot.held() else "not running",
        "reason": told.get("reason", ""), "until": told.get("until", 0), "container": told.get("container", ""),
        "breaker": {"state": breaker.state, "cause": breaker.cause, "reason": breaker.reason},
        "turns": state.turns, "results": dict(state.results), "opens": dict(state.opens),
        "callsLastHour": sum(now - HOUR < at <= now for at in state.calls),
        "usdToday": round(state.at(now).usd_today, 4), "usdTotal": round(state.usd_total, 4),
        "lastTurn": dict(state.last_turn),
    }  # fmt: skip


def _status(slots: list[Slot], output: str, settings: Settings) -> int:
    agents = [described(slot, settings) for slot in slots]
    if output == "json":
        print(json.dumps({"agents": agents}))
        return 0
    print(f"{'AGENT':6}{'STATUS':12}{'BREAKER':10}{'TURNS':>6}{'HOUR':>5}{'USD TODAY':>10}  WHY")
    for item in agents:
        until = f" (until {time.strftime('%H:%M:%S', time.gmtime(item['until']))} UTC)" if item["until"] else ""
        numbers = f"{item['turns']:6}{item['callsLastHour']:5}{item['usdToday']:10.2f}"
        print(f"{item['agent']:<6}{item['status']:12}{item['breaker']['state']:10}{numbers}  {item['reason']}{until}")
    return 0


def _turns(slot: Slot, output: str) -> int:
    path = slot.folder / "turns.jsonl"
    lines = path.read_text().splitlines()[-20:] if path.exists() else []
    turns = [json.loads(line) for line in lines]
    if output == "json":
        print(json.dumps({"turns": turns}))
        return 0
    for turn in turns:
        at = time.strftime("%m-%d %H:%M", time.gmtime(turn["ended"]))
        usd = "      ?" if turn["usd"] is None else f"{turn['usd']:7.3f}"
        print(f"{turn['number']:6} {at} {turn['seconds']:7.1f} s {usd} USD  {turn['result']}  {turn['error']}"[:120])
    return 0
