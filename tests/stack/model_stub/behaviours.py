"""What the model says to a request: a function of the conversation so far, for each behaviour that can be asked for."""

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
    """One request, as a behaviour wants to see it. `number`: that of this request since the start."""

    def __init__(self, document: Json, number: int) -> None:
        self.number, self.tools = number, {tool["name"] for tool in document.get("tools") or ()}
        self.messages: list[Json] = list(document.get("messages") or ())
        self._all = json.dumps([document.get("system") or "", self.messages]).replace("\\n", "\n")

    @property
    def blocks(self) -> list[Json]:
        """Of what the client says since the model's last word that was no call."""
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
        """The client's working directory, from what it tells the model."""
        found = FOLDER.search(self._all)
        return found.group(1).rstrip("/") if found else "/tmp"


def status(signal: bool, state: str = "IN_PROGRESS", error: str = "") -> str:
    """The block with which a turn of an autonomous loop ends."""
    more = f"ERROR: {error}\n" if error else ""
    told = f"STATUS: {state}\n{more}EXIT_SIGNAL: {str(signal).lower()}\n"
    return f"{SAME_LENGTH}\n\n---RALPH_STATUS---\n{told}---END_RALPH_STATUS---"


def work(seen: Conversation) -> Message:
    """What the prompt orders by `stub-calls: [{"tool": …, "input": …}]`; else a file is written and committed."""
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
    # Each turn is a new conversation: its second request must not name another file.
    path = f"{seen.folder}/notes/{seen.number - seen.results:06}.md"
    commit = "git add --all . && git commit --quiet --message 'Another note'"
    return [Call("Write", {"file_path": path, "content": f"Note {seen.number}\n"}),
            Call("Bash", {"command": commit, "description": "Commit the note"})]  # fmt: skip


def no_change(seen: Conversation) -> Message:
    return Message(status(False))


def finished(seen: Conversation) -> Message:
    return Message("All tasks are complete.\n" + status(True, "COMPLETE"))


def blocked(seen: Conversation) -> Message:
    """A turn that runs, and tells each time that the same thing is in its way."""
    return Message(status(False, "BLOCKED", f"no module named 'colour' (line {seen.number})"))


def denied(seen: Conversation) -> Message:
    """Wants what no client should grant."""
    if seen.results == 0:
        return Message("", (Call("Write", {"file_path": "/etc/stub", "content": "no\n"}),))
    return Message(status(False))


def terse(seen: Conversation) -> Message:
    """Works, and says next to nothing about it."""
    said = work(seen)
    return said if said.calls else Message("ok")


def talks_alone(seen: Conversation) -> Message:
    """An answer with no status block at all."""
    return Message("I have looked around.")


BEHAVIOURS: dict[str, Callable[[Conversation], Message]] = {
    "work": work, "no-change": no_change, "finished": finished, "blocked": blocked, "denied": denied, "terse": terse,
    "talks-alone": talks_alone,
}  # fmt: skip
"""What is said with status 200."""

FAILURES = {
    "same-error": Failure(400, "messages.0: the same error as ever"),
    "unauthorised": Failure(401, "invalid x-api-key"),
    "rate-limit": Failure(429, "this key's limit of requests is reached", 2),
    "broken": Failure(500, "internal server error"),
    "overloaded": Failure(529, "overloaded"),
}
TRANSPORT = ("slow", "hang", "malformed", "cut")
"""What happens to the bytes of an answer. slow: `seconds` between two events. hang: nothing, until the client leaves.
malformed: status 200 and no message. cut: the connection ends in the middle of the message."""

NAMES = (*BEHAVIOURS, *FAILURES, *TRANSPORT)
