"""The wire format of the Messages API: a message as one document or as server-sent events, or an error."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Json = Mapping[str, Any]

ERRORS = {400: "invalid_request_error", 401: "authentication_error", 429: "rate_limit_error", 500: "api_error",
          529: "overloaded_error"}  # fmt: skip
PIECE = 40
"""Most characters of one delta."""


@dataclass(frozen=True)
class Call:
    """A tool call of the model."""

    tool: str
    input: Json


@dataclass(frozen=True)
class Message:
    """A message of the model: a text, tool calls, or both."""

    text: str = ""
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An error as the answer. `retry_after`: seconds in the header of this name."""

    status: int
    text: str = "told to fail"
    retry_after: int | None = None

    def document(self, request_id: str) -> Json:
        error = {"type": ERRORS.get(self.status, "api_error"), "message": self.text}
        return {"type": "error", "error": error, "request_id": request_id}


@dataclass(frozen=True)
class Written:
    """A message with its number, ready to be sent."""

    message: Message
    number: int
    model: str
    asked: int
    """Characters of the request."""
    blocks: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        text = [{"type": "text", "text": self.message.text}] if self.message.text else []
        calls = [
            {"type": "tool_use", "id": f"toolu_{self.number:08}_{n}", "name": call.tool, "input": dict(call.input)}
            for n, call in enumerate(self.message.calls)
        ]
        object.__setattr__(self, "blocks", text + calls)

    @property
    def reason(self) -> str:
        return "tool_use" if self.message.calls else "end_turn"

    @property
    def usage(self) -> dict[str, int]:
        """The token counts. Four characters count as one token."""
        return {"input_tokens": self.asked // 4 + 1, "output_tokens": len(json.dumps(self.blocks)) // 4,
                "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}  # fmt: skip

    @property
    def document(self) -> dict[str, Any]:
        return {**self._head, "content": self.blocks, "stop_reason": self.reason, "usage": self.usage}

    @property
    def _head(self) -> dict[str, Any]:
        return {
            "id": f"msg_{self.number:08}", "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": {**self.usage, "output_tokens": 1},
        }  # fmt: skip

    def events(self) -> Iterator[bytes]:
        """The message as server-sent events."""
        yield event("message_start", message=self._head)
        yield event("ping")
        for index, block in enumerate(self.blocks):
            empty = {**block, "text": ""} if block["type"] == "text" else {**block, "input": {}}
            yield event("content_block_start", index=index, content_block=empty)
            for delta in _deltas(block):
                yield event("content_block_delta", index=index, delta=delta)
            yield event("content_block_stop", index=index)
        ended = {"stop_reason": self.reason, "stop_sequence": None}
        yield event("message_delta", delta=ended, usage={"output_tokens": self.usage["output_tokens"]})
        yield event("message_stop")


def event(name: str, **fields: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def _deltas(block: Json) -> Iterator[Json]:
    if block["type"] == "text":
        for piece in _pieces(block["text"]):
            yield {"type": "text_delta", "text": piece}
    else:
        for piece in _pieces(json.dumps(block["input"])):
            yield {"type": "input_json_delta", "partial_json": piece}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))
