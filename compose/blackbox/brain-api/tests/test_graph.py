"""Links between artifacts: stored in PostgreSQL, copied to Neo4j."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from brain.settings import Settings

from tests.conftest import changed, eventually, put, serving


def drawn(api: httpx.Client) -> None:
    """Wait until Neo4j shows all that PostgreSQL holds."""
    eventually(lambda: api.get("/api/v1/stats").json()["graph_pending"] == 0)


@pytest.fixture
def chain(api: httpx.Client, place: str) -> dict[str, str]:
    """a -> b -> c -> d, and a -cites-> d. Each source is written before its target."""
    items: list[dict[str, Any]] = [
        {"title": "letter a", "links": [{"path": f"{place}b"}, {"path": f"{place}d", "kind": "cites"}]},
        {"title": "letter b", "links": [{"path": f"{place}c"}]},
        {"title": "letter c", "links": [{"path": f"{place}d"}]},
        {"title": "letter d"},
    ]
    ids = {}
    for name, item in zip("abcd", items, strict=True):
        ids[name] = put(api, {"path": place + name, "content": "", **item})[0]["id"]
    drawn(api)
    return ids


def reached(api: httpx.Client, start: str, **query: Any) -> dict[str, int]:
    """Title → distance in links."""
    answer = api.get(f"/api/v1/graph/neighbours/{start}", params=query)
    assert answer.status_code == 200, answer.text
    return {node["title"][-1]: node["distance"] for node in answer.json()["nodes"]}


def test_neighbours_are_limited_by_distance_and_kind(api: httpx.Client, chain: dict[str, str]) -> None:
    assert reached(api, chain["a"]) == {"a": 0, "b": 1, "d": 1}
    assert reached(api, chain["a"], kind="mentions") == {"a": 0, "b": 1}
    assert reached(api, chain["a"], kind="mentions", depth=3) == {"a": 0, "b": 1, "c": 2, "d": 3}
    assert reached(api, chain["c"], depth=2) == {"c": 0, "b": 1, "d": 1, "a": 2}


def test_an_artifact_without_links_is_its_own_neighbourhood(api: httpx.Client, place: str) -> None:
    alone = put(api, {"path": f"{place}z", "title": "letter z", "content": ""})[0]["id"]
    drawn(api)
    assert reached(api, alone, depth=3) == {"z": 0}


def test_the_shortest_path_between_two_artifacts(api: httpx.Client, chain: dict[str, str]) -> None:
    way = api.get("/api/v1/graph/path", params={"start": chain["b"], "end": chain["d"]}).json()
    assert [node["title"][-1] for node in way["nodes"]][1] in "ac"
    assert len(way["edges"]) == 2
    assert api.get("/api/v1/graph/path", params={"start": chain["a"], "end": chain["a"]}).status_code == 400
    none = api.get("/api/v1/graph/path", params={"start": chain["b"], "end": chain["d"], "longest": 1})
    assert none.status_code == 404


def test_links_can_be_added_and_removed(api: httpx.Client, chain: dict[str, str]) -> None:
    address = f"/api/v1/artifacts/{chain['d']}/links"
    assert api.post(address, json={"id": chain["b"], "kind": "answers"}).status_code == 204
    assert api.post(address, json={"id": chain["b"], "kind": "answers"}).status_code == 204
    drawn(api)
    assert reached(api, chain["d"], kind="answers") == {"d": 0, "b": 1}
    assert api.delete(f"{address}/answers/{chain['b']}").status_code == 204
    assert api.delete(f"{address}/answers/{chain['b']}").status_code == 404
    drawn(api)
    assert reached(api, chain["d"], kind="answers") == {"d": 0}


def test_a_target_that_is_removed_and_comes_again_is_linked_again(
    api: httpx.Client, chain: dict[str, str], place: str
) -> None:
    api.delete("/api/v1/artifacts", params={"path": f"{place}b"})
    drawn(api)
    assert reached(api, chain["a"]) == {"a": 0, "d": 1}
    put(api, {"path": f"{place}b", "title": "letter b", "content": ""})
    drawn(api)
    assert reached(api, chain["a"]) == {"a": 0, "b": 1, "d": 1}


def test_artifacts_are_found_by_words_of_titles_and_paths(api: httpx.Client, place: str) -> None:
    put(api, {"path": f"{place}x", "title": "Quarterly zebra report", "content": ""})
    drawn(api)
    found = api.get("/api/v1/graph/search", params={"q": "zebra"}).json()["nodes"]
    assert place + "x" in [node["path"] for node in found]


def test_the_nearest_artifacts_come_with_their_links(api: httpx.Client, place: str) -> None:
    put(
        api,
        {"path": f"{place}soup", "title": "Soup", "content": "Boil lentils with cumin and lemon."},
        {"path": f"{place}shop", "title": "Market", "content": "", "links": [{"path": f"{place}soup"}]},
    )
    drawn(api)
    answer = api.post("/api/v1/graph/around", json={"query": "recipe for a dish of pulses", "limit": 5, "depth": 1})
    titles = {node["title"]: node["distance"] for node in answer.json()["nodes"]}
    assert titles.get("Soup") == 0
    assert "Market" in titles
    assert len(answer.json()["edges"]) >= 1


def test_nothing_is_lost_while_neo4j_is_away(settings: Settings, api: httpx.Client, place: str) -> None:
    """A server without Neo4j stores everything. A later server with Neo4j copies it there."""
    with serving(changed(settings, neo4j_url="bolt://127.0.0.1:9")) as half:
        ready = half.get("/health/ready")
        assert (ready.status_code, ready.json()["down"]) == (503, ["neo4j"])
        made = put(half, {"path": f"{place}a", "title": "letter a", "content": "", "links": [{"path": f"{place}b"}]})
        put(half, {"path": f"{place}b", "title": "letter b", "content": ""})
        refused = half.get(f"/api/v1/graph/neighbours/{made[0]['id']}")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "neo4j_unavailable")
        assert refused.headers["Retry-After"]
        assert half.get("/health/live").status_code == 200
    put(api, {"path": f"{place}wake", "title": "t", "content": ""})
    drawn(api)
    assert reached(api, made[0]["id"]) == {"a": 0, "b": 1}


def test_a_server_starts_and_waits_while_postgresql_is_away(settings: Settings) -> None:
    with serving(changed(settings, postgres_host="127.0.0.1")) as half:
        ready = half.get("/health/ready")
        assert (ready.status_code, "postgres" in ready.json()["down"]) == (503, True)
        refused = half.get("/api/v1/artifacts")
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "postgres_unavailable")
        assert half.get("/health/live").status_code == 200
