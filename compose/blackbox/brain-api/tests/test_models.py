"""Other models: for embeddings, with the change to another model and back; and for questions in natural language.

The models' APIs are stubs with the real wire format. Migrations run as in the stack.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from brain.settings import Settings

from tests.conftest import changed, eventually, put, serving

OTHER = ("other-model", 8)


@contextmanager
def endpoint(answer: Callable[[str, dict[str, Any]], tuple[int, Any]]) -> Iterator[str]:
    """An HTTP server; `answer(path, body)` gives status and document."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, document = answer(self.path, {**body, "headers": dict(self.headers)})
            data = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            # The client may have closed the connection.
            with suppress(BrokenPipeError):
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def vectors(path: str, body: dict[str, Any]) -> tuple[int, Any]:
    """OpenAI's POST /embeddings. The rows come in another order than the texts."""
    assert path == "/v1/embeddings"
    rows = [
        {"index": index, "embedding": [byte - 127.5 for byte in hashlib.sha256(text.encode()).digest()[: OTHER[1]]]}
        for index, text in enumerate(body["input"])
    ]
    return 200, {"object": "list", "data": rows[::-1], "model": body["model"]}


def migrate(settings: Settings) -> None:
    environ = {**os.environ, "EMBEDDING_MODEL": settings.embedding_model}
    environ["EMBEDDING_DIMENSIONS"] = str(settings.embedding_dimensions)
    subprocess.run([sys.executable, "/opt/migrate/migrate.py"], env=environ, check=True)


def ready(client: httpx.Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/health/ready").json()
    return document


def test_another_model_embeds_everything_anew_and_the_old_one_still_works(
    settings: Settings, api: httpx.Client, place: str
) -> None:
    before = put(api, {"path": f"{place}old", "title": "Old", "content": "Written under the first model."})
    with endpoint(vectors) as url:
        other = changed(
            settings, embedding_url=f"{url}/v1", embedding_key="k", embedding_model=OTHER[0],
            embedding_dimensions=OTHER[1],
        )  # fmt: skip
        with serving(other) as unregistered:
            assert ready(unregistered)["down"] == ["embeddings"]
            assert "the migration has not run" in ready(unregistered)["checks"]["embeddings"]
            refused = unregistered.post("/api/v1/search/semantic", json={"query": "x"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "embeddings_unavailable")
        migrate(other)
        with serving(other) as second:
            eventually(lambda: ready(second)["status"] == "ready")
            eventually(lambda: second.get("/api/v1/stats").json()["embeddings_pending"] == 0)
            put(second, {"path": f"{place}new", "title": "New", "content": "Written under the second."})
            exact = {"query": "Old\nWritten under the first model.", "path_prefix": place}
            hits = second.post("/api/v1/search/semantic", json=exact).json()["hits"]
            assert (hits[0]["id"], round(hits[0]["score"], 3)) == (before[0]["id"], 1.0)
            assert second.get("/api/v1/stats").json()["embedding_model"] == OTHER[0]
    # Back to the first model: its server finds what was written under the second one, after it has embedded it.
    put(api, {"path": f"{place}wake", "title": "t", "content": ""})
    eventually(lambda: api.get("/api/v1/stats").json()["embeddings_pending"] == 0)
    found = api.post("/api/v1/search/semantic", json={"query": "Written under the second.", "path_prefix": place})
    assert found.json()["hits"][0]["path"] == f"{place}new"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"embedding_dimensions": 385}, "gives vectors of 384 dimensions, EMBEDDING_DIMENSIONS is 385"),
        ({"embedding_model": "another"}, "the image has all-MiniLM-L6-v2"),
        ({"embedding_url": "http://127.0.0.1:9/v1"}, "gives no answer"),
    ],
)
def test_a_model_that_does_not_fit_is_reported_and_causes_no_crash_loop(
    settings: Settings, values: dict[str, Any], told: str
) -> None:
    with serving(changed(settings, **values)) as client:
        assert ready(client)["down"] == ["embeddings"]
        assert told in ready(client)["checks"]["embeddings"]
        assert client.get("/health/live").status_code == 200


def test_pieces_that_a_failing_model_left_out_are_embedded_later(settings: Settings, place: str) -> None:
    broken = threading.Event()

    def sometimes(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (500, {}) if broken.is_set() else vectors(path, body)

    with endpoint(sometimes) as url:
        other = changed(settings, embedding_url=f"{url}/v1", embedding_model=OTHER[0], embedding_dimensions=OTHER[1])
        migrate(other)
        with serving(other) as client:
            eventually(lambda: ready(client)["status"] == "ready")
            broken.set()
            item = {"path": f"{place}a", "title": "A", "content": "Taken in while the model was away."}
            assert put(client, item)[0]["result"] == "created"
            assert client.post("/api/v1/search/semantic", json={"query": "x"}).status_code == 503
            broken.clear()
            eventually(lambda: client.get("/api/v1/stats").json()["embeddings_pending"] == 0)
            found = client.post("/api/v1/search/semantic", json={"query": "x", "path_prefix": place}).json()
            assert [hit["path"] for hit in found["hits"]] == [f"{place}a"]


def test_a_text_that_the_model_refuses_does_not_block_others(settings: Settings, place: str) -> None:
    def picky(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        return (400, {}) if any("too long" in text for text in body["input"]) else vectors(path, body)

    with endpoint(picky) as url:
        other = changed(settings, embedding_url=f"{url}/v1", embedding_model=OTHER[0], embedding_dimensions=OTHER[1])
        migrate(other)
        with serving(other) as client:
            eventually(lambda: ready(client)["status"] == "ready")
            bad = {"path": f"{place}bad", "title": "Bad", "content": "This is too long."}
            assert [one["result"] for one in put(client, bad, {**bad, "path": f"{place}good", "content": "Short."})]
            eventually(lambda: client.get("/api/v1/stats").json()["embeddings_pending"] == 1)
            put(client, {"path": f"{place}later", "title": "Later", "content": "Written after it."})
            query = {"query": "x", "path_prefix": place}
            hits = client.post("/api/v1/search/semantic", json=query).json()
            assert ({hit["path"] for hit in hits["hits"]}, hits["complete"]) == (
                {f"{place}good", f"{place}later"}, False,
            )  # fmt: skip
            refused = client.post("/api/v1/search/semantic", json={"query": "too long"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (422, "embeddings_refused")
            client.delete("/api/v1/artifacts", params={"path": f"{place}bad"})
            eventually(lambda: client.post("/api/v1/search/semantic", json=query).json()["complete"])


def test_a_model_that_hangs_is_named_before_the_health_check_gives_up(settings: Settings) -> None:
    ended = threading.Event()

    def hanging(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        ended.wait(20)
        return vectors(path, body)

    with endpoint(hanging) as url, serving(changed(settings, embedding_url=f"{url}/v1")) as client:
        began = time.monotonic()
        document = ready(client)
        assert time.monotonic() - began < 7
        ended.set()
    assert (document["down"], document["checks"]["postgres"]) == (["embeddings"], "ok")
    assert "no answer within 4 s" in document["checks"]["embeddings"]


def test_questions_need_a_key(api: httpx.Client) -> None:
    answer = api.post("/api/v1/query/nl", json={"question": "Where is it?"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (501, "no_model_key")


def test_a_question_is_looked_up_and_answered(settings: Settings, api: httpx.Client, place: str) -> None:
    put(api, {"path": f"{place}k", "title": "Keys", "content": f"The spare key of {place} lies under the fern."})
    asked: list[dict[str, Any]] = []

    def model(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        assert path == "/v1/messages"
        asked.append(body)
        if len(asked) == 1:
            call = {"type": "tool_use", "id": "t1", "name": "search", "input": {"query": f"spare key of {place}"}}
            return 200, reply([call, {"type": "tool_use", "id": "t2", "name": "linked", "input": {"id": "no"}}])
        found = json.loads(body["messages"][-1]["content"][0]["content"])
        return 200, reply([{"type": "text", "text": f"{found[0]['title']}: {found[0]['text']}"}])

    with (
        endpoint(model) as url,
        serving(changed(settings, anthropic_url=url, anthropic_key="sk-test", anthropic_model="m")) as client,
    ):
        eventually(lambda: ready(client)["status"] == "ready")
        answer = client.post("/api/v1/query/nl", json={"question": "Where is the spare key?"}).json()
    assert "under the fern" in answer["answer"]
    assert answer["sources"][0]["path"] == f"{place}k"
    assert (answer["input_tokens"], answer["output_tokens"]) == (20, 10)
    assert {key.lower(): value for key, value in asked[0]["headers"].items()}["x-api-key"] == "sk-test"
    results = asked[1]["messages"][-1]["content"]
    assert [(one["tool_use_id"], one["is_error"]) for one in results] == [("t1", False), ("t2", True)]


def reply(content: list[dict[str, Any]]) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    stop = "tool_use" if content[0]["type"] == "tool_use" else "end_turn"
    return {"type": "message", "role": "assistant", "content": content, "stop_reason": stop, "usage": usage}


@pytest.mark.parametrize("status", [401, 429, 529])
def test_a_model_that_refuses_is_named(settings: Settings, status: int) -> None:
    with (
        endpoint(lambda path, body: (status, {"type": "error"})) as url,
        serving(changed(settings, anthropic_url=url, anthropic_key="sk-test", anthropic_model="m")) as client,
    ):
        answer = client.post("/api/v1/query/nl", json={"question": "x"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_unavailable")
        assert str(status) in answer.json()["error"]["message"]
        assert "sk-test" not in answer.text


def test_a_model_that_never_comes_to_an_end_is_stopped(settings: Settings, api: httpx.Client) -> None:
    calls: list[dict[str, Any]] = []

    def model(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        calls.append(body)
        return 200, reply([{"type": "tool_use", "id": "t", "name": "search", "input": {"query": "again"}}])

    with (
        endpoint(model) as url,
        serving(changed(settings, anthropic_url=url, anthropic_key="sk-test", anthropic_model="m")) as client,
    ):
        eventually(lambda: ready(client)["status"] == "ready")
        answer = client.post("/api/v1/query/nl", json={"question": "x"})
    assert answer.status_code == 503
    assert len(calls) == 6
    assert calls[-1]["tool_choice"] == {"type": "none"}
