"""The stub answers as the model's API does. The tests of the agents depend on it."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.stack.model_stub.behaviours import BEHAVIOURS, FAILURES
from tests.stack.model_stub.server import Server

TOOLS = [{"name": "Write"}, {"name": "Bash"}]
ASKED = {"role": "user", "content": [{"type": "text", "text": "Primary working directory: /srv\nGo on"}]}


@pytest.fixture
def stub() -> Iterator[Server]:
    with Server() as server:
        yield server


def ask(stub: Server, model: str = "any", timeout: float = 10, **body: Any) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", stub.server_address[1], timeout=timeout)
    document = {"model": model, "max_tokens": 100, "messages": [ASKED], "tools": TOOLS, **body}
    connection.request("POST", "/v1/messages?beta=true", json.dumps(document), {"x-api-key": "any"})
    answer = connection.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def said(stub: Server, *messages: Any, model: str = "any") -> dict[str, Any]:
    document: dict[str, Any] = json.loads(ask(stub, model, messages=[ASKED, *messages])[2])
    return document


def events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.decode().splitlines() if line.startswith("data: ")]


def test_a_turn_writes_a_file_commits_and_reports(stub: Server) -> None:
    messages: list[Any] = []
    used = []
    for _ in range(3):
        answer = said(stub, *messages)
        block = answer["content"][0]
        if answer["stop_reason"] == "end_turn":
            break
        used.append((block["name"], block["input"]))
        result = {"type": "tool_result", "tool_use_id": block["id"], "content": "ok"}
        told = {"role": "system", "content": "what a client adds of its own"}
        messages += [{"role": "assistant", "content": [block]}, {"role": "user", "content": [result]}, told]
    assert [name for name, _ in used] == ["Write", "Bash"]
    assert used[0][1]["file_path"] == "/srv/notes/000001.md"
    assert "git commit" in used[1][1]["command"]
    assert "EXIT_SIGNAL: false" in block["text"]


def test_calls_can_be_ordered_by_the_prompt(stub: Server) -> None:
    order = 'Please\nstub-calls: [{"tool": "search", "input": {"query": "x"}}]\nnow'
    answer = json.loads(ask(stub, messages=[{"role": "user", "content": order}])[2])
    assert (answer["content"][0]["name"], answer["content"][0]["input"]) == ("search", {"query": "x"})


@pytest.mark.parametrize("model", ["any", "stub-finished"])
def test_a_streamed_message_is_the_same_message(stub: Server, model: str) -> None:
    whole, streamed = said(stub, model=model), events(ask(stub, model, stream=True)[2])
    assert streamed[0]["type"] == "message_start"
    assert streamed[-1]["type"] == "message_stop"
    deltas = [item["delta"] for item in streamed if item["type"] == "content_block_delta"]
    told = "".join(delta.get("text") or delta.get("partial_json") for delta in deltas)
    block = whole["content"][0]
    if block["type"] == "text":
        assert told == block["text"]
    else:
        assert json.loads(told) == {**block["input"], "file_path": "/srv/notes/000002.md", "content": "Note 2\n"}
    assert streamed[-2]["delta"]["stop_reason"] == whole["stop_reason"]


@pytest.mark.parametrize("name", FAILURES)
def test_failures_are_those_of_the_api(stub: Server, name: str) -> None:
    status, headers, body = ask(stub, f"stub-{name}")
    assert status == FAILURES[name].status
    assert json.loads(body)["type"] == "error"
    assert json.loads(body)["request_id"] == headers["request-id"] != ask(stub, f"stub-{name}")[1]["request-id"]
    assert headers.get("retry-after") == ("2" if status == 429 else None)


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_every_behaviour_answers(stub: Server, name: str) -> None:
    assert ask(stub, f"stub-{name}")[0] == 200


def test_a_behaviour_holds_for_the_requests_that_were_asked_for(stub: Server) -> None:
    control(stub, {"behaviour": "rate-limit", "times": 2, "retry_after": 7})
    answers = [ask(stub) for _ in range(3)]
    assert [status for status, _, _ in answers] == [429, 429, 200]
    assert answers[0][1]["retry-after"] == "7"
    assert idle(stub) == {
        "total": 3, "under_way": 0, "requests": {"rate-limit": 2, "work": 1}, "statuses": {"429": 2, "200": 1},
        "models": {"any": 3},
    }  # fmt: skip


def test_the_models_name_takes_precedence_over_the_chosen_behaviour(stub: Server) -> None:
    stub.behave("broken", times=1)
    assert [ask(stub, "stub-finished")[0], ask(stub)[0], ask(stub)[0]] == [200, 500, 200]


def test_an_unknown_behaviour_is_refused(stub: Server) -> None:
    assert control(stub, {"behaviour": "nonsense"}) == 400
    assert ask(stub)[0] == 200


def test_a_request_without_a_key_is_refused(stub: Server) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stub.server_address[1], timeout=10)
    connection.request("POST", "/v1/messages", "{}")
    assert connection.getresponse().status == 401


def test_a_hang_lasts_until_the_client_leaves(stub: Server) -> None:
    with pytest.raises(TimeoutError):
        ask(stub, "stub-hang", timeout=1.5)
    assert idle(stub)["under_way"] == 0


def test_answers_can_be_slow_malformed_or_cut(stub: Server) -> None:
    stub.behave("slow", seconds=0.02)
    began = time.monotonic()
    assert events(ask(stub, stream=True)[2])[-1]["type"] == "message_stop"
    assert time.monotonic() - began > 0.1
    stub.behave("malformed")
    with pytest.raises(json.JSONDecodeError):
        json.loads(ask(stub)[2])
    stub.behave("cut")
    with pytest.raises(http.client.IncompleteRead):
        ask(stub, stream=True)


def test_many_at_once_are_all_counted(stub: Server) -> None:
    threads = [threading.Thread(target=ask, args=(stub,)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told(stub)["statuses"] == {"200": 40}


def control(stub: Server, body: Any) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", stub.server_address[1], timeout=10)
    connection.request("POST", "/stub/behaviour", json.dumps(body))
    return connection.getresponse().status


def idle(stub: Server) -> dict[str, Any]:
    """The counters once no request runs. A request still counts as running for a moment after its answer."""
    ends = time.monotonic() + 40
    while (stats := told(stub))["under_way"] and time.monotonic() < ends:
        time.sleep(0.02)
    return stats


def told(stub: Server) -> dict[str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", stub.server_address[1], timeout=10)
    connection.request("GET", "/stub/stats")
    document: dict[str, Any] = json.loads(connection.getresponse().read())
    return document
