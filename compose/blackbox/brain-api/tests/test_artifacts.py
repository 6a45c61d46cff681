"""Artifacts over HTTP: created, changed, listed, ingested in batches, deleted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import READ, put


def item(path: str | None = None, **more: Any) -> dict[str, Any]:
    return {"title": "A title", "content": "Some content.", "path": path, **more}


def test_an_artifact_lives_from_creation_to_removal(api: httpx.Client, place: str) -> None:
    made = api.post("/api/v1/artifacts", json=item(f"{place}a", tags=["x"], metadata={"size": 3}))
    assert made.status_code == 201
    address = f"/api/v1/artifacts/{made.json()['id']}"
    assert api.get(address).json() == made.json()
    changed = api.patch(address, json={"content": "Other content."}).json()
    assert (changed["content"], changed["title"], changed["tags"]) == ("Other content.", "A title", ["x"])
    assert changed["digest"] != made.json()["digest"]
    assert changed["updated_at"] > changed["created_at"]
    assert api.delete(address).status_code == 204
    assert api.get(address).status_code == api.delete(address).status_code == 404


def test_two_changes_at_once_both_stay(api: httpx.Client, place: str) -> None:
    """Each change reads, asks the model and writes. For the first change the model takes long."""
    address = f"/api/v1/artifacts/{put(api, item(f'{place}a'))[0]['id']}"
    many = "\n\n".join(f"Paragraph {number} of a long text. " * 30 for number in range(100))
    with ThreadPoolExecutor() as pool:
        slow = pool.submit(api.patch, address, json={"content": many})
        time.sleep(0.2)
        assert api.patch(address, json={"title": "Another", "path": f"{place}b"}).status_code == 200
        assert not slow.done()
        assert slow.result().status_code == 200
    found = api.get(address).json()
    assert (found["title"], found["path"], found["content"]) == ("Another", f"{place}b", many)


@pytest.mark.parametrize("name", ["kind", "title", "content", "tags", "metadata"])
def test_null_is_refused_except_for_a_path(api: httpx.Client, place: str, name: str) -> None:
    address = f"/api/v1/artifacts/{put(api, item(f'{place}a'))[0]['id']}"
    answer = api.patch(address, json={name: None})
    assert (answer.status_code, answer.json()["error"]["details"][0]["at"]) == (422, f"body.{name}")
    assert api.patch(address, json={"path": None}).json()["path"] is None
    assert api.delete(address).status_code == 204


def test_a_path_belongs_to_one_artifact_only(api: httpx.Client, place: str) -> None:
    assert api.post("/api/v1/artifacts", json=item(f"{place}a")).status_code == 201
    again = api.post("/api/v1/artifacts", json=item(f"{place}a"))
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")


def test_a_batch_creates_updates_and_leaves_alone(api: httpx.Client, place: str) -> None:
    first = put(api, item(f"{place}a"), item(f"{place}b"))
    assert [one["result"] for one in first] == ["created", "created"]
    second = put(api, item(f"{place}b", content="New."), item(f"{place}a"), item(f"{place}c"))
    assert [one["result"] for one in second] == ["updated", "unchanged", "created"]
    assert second[0]["id"] == first[1]["id"]


def test_a_batch_is_all_or_nothing(api: httpx.Client, place: str) -> None:
    nobody = "00000000-0000-0000-0000-000000000000"
    batch = [item(f"{place}a"), item(f"{place}b", links=[{"id": nobody}])]
    assert api.post("/api/v1/artifacts/batch", json={"artifacts": batch}).status_code == 404
    assert api.get("/api/v1/artifacts", params={"path_prefix": place}).json()["artifacts"] == []


def test_pages_hold_everything_once_while_more_is_written(api: httpx.Client, place: str) -> None:
    put(api, *(item(f"{place}{number}") for number in range(7)))
    query: dict[str, Any] = {"path_prefix": place, "limit": 3}
    seen: list[str] = []
    page = api.get("/api/v1/artifacts", params=query).json()
    put(api, item(f"{place}later"))
    while True:
        seen += [one["path"] for one in page["artifacts"]]
        if page["next"] is None:
            break
        page = api.get("/api/v1/artifacts", params={**query, "cursor": page["next"]}).json()
    assert sorted(seen) == [f"{place}{number}" for number in range(7)]


def test_lists_are_filtered(api: httpx.Client, place: str) -> None:
    put(api, item(f"{place}a", kind="note", tags=["x", "y"]), item(f"{place}b", tags=["x"]))

    def paths(**query: str) -> list[str]:
        found = api.get("/api/v1/artifacts", params={"path_prefix": place, **query}).json()["artifacts"]
        return sorted(one["path"].removeprefix(place) for one in found)

    assert (paths(), paths(tag="x"), paths(tag="y"), paths(kind="note")) == (["a", "b"], ["a", "b"], ["a"], ["a"])
    assert paths(path=f"{place}b") == ["b"]


def test_artifacts_are_removed_by_path_and_by_prefix(api: httpx.Client, place: str) -> None:
    put(api, item(f"{place}a"), item(f"{place}b/1"), item(f"{place}b/2"), item(f"{place}b_%"))
    assert api.delete("/api/v1/artifacts", params={"path": f"{place}a"}).json() == {"deleted": 1}
    assert api.delete("/api/v1/artifacts", params={"path_prefix": f"{place}b/"}).json() == {"deleted": 2}
    assert api.delete("/api/v1/artifacts").status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": ""}, {"kind": "Not A Kind"}, {"links": [{}]}, {"links": [{"id": "x", "path": "y"}]}, {"more": 1},
        {"title": "nul\x00"}, {"tags": ["x"] * 51},
    ],
)  # fmt: skip
def test_an_invalid_value_is_reported_with_its_place(api: httpx.Client, wrong: dict[str, Any]) -> None:
    answer = api.post("/api/v1/artifacts", json={**item(), **wrong})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["at"].startswith(f"body.{next(iter(wrong))}")


def test_metadata_that_cannot_be_stored_is_answered_with_400(api: httpx.Client) -> None:
    assert api.post("/api/v1/artifacts", json=item(metadata={"a": "\x00"})).status_code == 400


def test_too_much_at_once_is_refused(api: httpx.Client) -> None:
    answer = api.post("/api/v1/artifacts/batch", content=b" " * (9 << 20), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")

    def stream() -> Any:
        for _ in range(9):
            yield b" " * (1 << 20)

    answer = api.post("/api/v1/artifacts/batch", content=stream(), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_roles_limit_what_a_key_may_do(api: httpx.Client, place: str) -> None:
    none = httpx.Client(base_url=api.base_url)
    reading = httpx.Client(base_url=api.base_url, headers={"X-API-Key": READ})
    assert none.get("/api/v1/artifacts").status_code == 401
    assert none.post("/api/v1/search/semantic", json={"query": "x"}).status_code == 401
    assert none.get("/api/v1/artifacts", headers={"Authorization": "Bearer nobody"}).status_code == 401
    assert reading.get("/api/v1/artifacts").status_code == 200
    refused = reading.post("/api/v1/artifacts", json=item(f"{place}a"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    assert none.get("/health/live").status_code == none.get("/metrics").status_code == 200


def test_every_route_except_health_needs_a_key(api: httpx.Client) -> None:
    """A new route that forgets to ask for a key fails here."""
    described = api.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            assert bool(operation.get("security")) == path.startswith("/api/"), (method, path)
    assert len(described["paths"]) >= 15


def test_requests_have_ids(api: httpx.Client) -> None:
    assert api.get("/health/live", headers={"X-Request-ID": "mine-1"}).headers["X-Request-ID"] == "mine-1"
    made = api.get("/health/live", headers={"X-Request-ID": "not one; of ours"}).headers["X-Request-ID"]
    assert len(made) == 32
    missing = api.get("/api/v1/artifacts/00000000-0000-0000-0000-000000000000", headers={"X-Request-ID": "mine-2"})
    assert missing.json()["error"]["request_id"] == "mine-2"


def test_metrics_count_by_route(api: httpx.Client) -> None:
    api.get("/api/v1/artifacts")
    text = api.get("/metrics").text
    assert 'brain_http_requests_total{method="GET",route="/api/v1/artifacts",status="200"}' in text
    assert 'brain_dependency_up{dependency="postgres"} 1.0' in text
