"""The behaviours of the stub. Each is a function from the conversation so far to the model's next message."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .wire import Call, Failure, Message

Json = Mapping[str, Any]

FOLDER = re.compile(r"working directory:\s*(/\S+)", re.IGNORECASE)
ORDER = re.compile(r"^stub-calls: (\[.*\])$", re.MULTILINE)
SAME_LENGTH = "The work of this turn is described here at the length that a turn usually has. " * 16


class Conversation:
    """One request, prepared for the behaviours. `number`: of this request, counted from the start of the server."""

    def __init__(self, document: Json, number: int) -> None:
        self.number, self.tools = number, {tool["name"] for tool in document.get("tools") or ()}
        self.messages: list[Json] = list(document.get("messages") or ())
        self._all = json.dumps([document.get("system") or "", self.messages]).replace("\\n", "\n")

    @property
    def blocks(self) -> list[Json]:
        """The client's blocks since the model's last message without a tool call."""
        found: list[Json] = []
        for message in self.messages:
            content = message["content"]
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
            if message["role"] == "user":
                found += blocks
            elif message["role"] == "assistant" and not any(block["type"] == "tool_use" for block in blocks):
                found = []
        return found

    @property
    def results(self) -> int:
        return sum(block["type"] == "tool_result" for block in self.blocks)

    @property
    def prompt(self) -> str:
        return "\n".join(block["text"] for block in self.blocks if block["type"] == "text")

    @property
    def folder(self) -> str:
        """The client's working directory, which the client tells the model; else /tmp."""
        found = FOLDER.search(self._all)
        return found.group(1).rstrip("/") if found else "/tmp"


def status(signal: bool, state: str = "IN_PROGRESS", error: str = "") -> str:
    """The status block at the end of a turn of ralph-agent."""
    more = f"ERROR: {error}\n" if error else ""
    told = f"STATUS: {state}\n{more}EXIT_SIGNAL: {str(signal).lower()}\n"
    return f"{SAME_LENGTH}\n\n---RALPH_STATUS---\n{told}---END_RALPH_STATUS---"


def work(seen: Conversation) -> Message:
    """The calls that the prompt orders by `stub-calls: [{"tool": …, "input": …}]`; else write and commit a file."""
    calls = _ordered(seen) or _usual(seen)
    if seen.results < len(calls):
        return Message("", (calls[seen.results],))
    return Message(status(False))


def _ordered(seen: Conversation) -> list[Call]:
    found = ORDER.search(seen.prompt)
    return [Call(item["tool"], item["input"]) for item in json.loads(found.group(1))] if found else []


def _usual(seen: Conversation) -> list[Call]:
    if "search" in seen.tools:
        return [Call("search", {"query": seen.prompt[:200], "limit": 3})]
    if not {"Write", "Bash"} <= seen.tools:
        return []
    # All requests of a turn must name the same file. The number of its first request is in the name.
    path = f"{seen.folder}/notes/{seen.number - seen.results:06}.md"
    commit = "git add --all . && git commit --quiet --message 'Another note'"
    return [Call("Write", {"file_path": path, "content": f"Note {seen.number}\n"}),
            Call("Bash", {"command": commit, "description": "Commit the note"})]  # fmt: skip


def no_change(seen: Conversation) -> Message:
    return Message(status(False))


def finished(seen: Conversation) -> Message:
    return Message("All tasks are complete.\n" + status(True, "COMPLETE"))


def blocked(seen: Conversation) -> Message:
    """A turn that runs, and reports the same obstacle each time."""
    return Message(status(False, "BLOCKED", f"no module named 'colour' (line {seen.number})"))


def denied(seen: Conversation) -> Message:
    """Asks for a write that no client should permit."""
    if seen.results == 0:
        return Message("", (Call("Write", {"file_path": "/etc/stub", "content": "no\n"}),))
    return Message(status(False))


def terse(seen: Conversation) -> Message:
    """Works, but answers with one word."""
    said = work(seen)
    return said if said.calls else Message("ok")


def talks_alone(seen: Conversation) -> Message:
    """An answer without a status block."""
    return Message("I have looked around.")


BEHAVIOURS: dict[str, Callable[[Conversation], Message]] = {
    "work": work, "no-change": no_change, "finished": finished, "blocked": blocked, "denied": denied, "terse": terse,
    "talks-alone": talks_alone,
}  # fmt: skip
"""Behaviours that answer with status 200 and a whole message."""

FAILURES = {
    "same-error": Failure(400, "messages.0: the same error as ever"),
    "unauthorised": Failure(401, "invalid x-api-key"),
    "rate-limit": Failure(429, "this key's limit of requests is reached", 2),
    "broken": Failure(500, "internal server error"),
    "overloaded": Failure(529, "overloaded"),
}
TRANSPORT = ("slow", "hang", "malformed", "cut")
"""Behaviours that change how an answer is sent. slow: `seconds` between two events. hang: no answer until the client
disconnects. malformed: status 200 and no message. cut: the connection ends in the middle of the message."""

NAMES = (*BEHAVIOURS, *FAILURES, *TRANSPORT)
