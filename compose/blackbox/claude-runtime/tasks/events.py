"""Turns the events of Claude Code's stream into text for a terminal. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

WIDTH = 160


def told(line: str) -> str:
    """The text for one line of the stream; '' for events that are not shown."""
    try:
        event = json.loads(line)
    except ValueError:
        return line.strip()[:WIDTH]
    return "\n".join(_lines(event)) if isinstance(event, dict) else ""


def _lines(event: Mapping[str, Any]) -> Iterator[str]:
    kind, subtype = event.get("type"), event.get("subtype")
    if kind == "attempt" and event.get("number", 1) > 1:
        yield f"-- attempt {event['number']}"
    elif kind == "system" and subtype == "init":
        servers = ", ".join(f"{item.get('name')} {item.get('status')}" for item in event.get("mcp_servers") or ())
        yield f"-- {event.get('model')} in {event.get('cwd')}" + (f"; MCP: {servers}" if servers else "")
    elif kind == "system" and subtype == "api_retry":
        seconds = float(event.get("retry_delay_ms") or 0) / 1000
        yield f"-- the API answers {event.get('error_status')}; again in {seconds:.0f} s"
    elif kind in ("assistant", "user"):
        content = (event.get("message") or {}).get("content")
        for block in content if isinstance(content, list) else ():
            yield from _block(block)
    elif kind == "result":
        usd = float(event.get("total_cost_usd") or 0)
        yield f"-- {event.get('subtype')}, {event.get('num_turns')} turns, {usd:.2f} USD"


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    if block.get("type") == "text":
        yield str(block.get("text"))
    elif block.get("type") == "tool_use":
        yield f"> {block.get('name')} {json.dumps(block.get('input'), ensure_ascii=False)}"[:WIDTH]
    elif block.get("type") == "tool_result" and block.get("is_error"):
        yield f"! {block.get('content')}"[:WIDTH]
