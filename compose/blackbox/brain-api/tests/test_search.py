"""Search by meaning, by words, by both, and by similarity to an artifact."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conftest import eventually, put

TEXTS = {
    "cats": "Our kitten sleeps on the sofa all afternoon and purrs.",
    "engine": "The diesel motor of the truck needs new oil and a filter.",
    "bread": "Knead the dough, let it rise for an hour, and bake the loaf until golden.",
    "postgres": "A relational database keeps rows in tables and answers queries in SQL.",
    "orbit": "The spacecraft circles the planet every ninety minutes.",
}


@pytest.fixture
def stored(api: httpx.Client, place: str) -> dict[str, str]:
    """Name → id."""
    items = ({"path": place + name, "title": name, "content": text} for name, text in TEXTS.items())
    return {name: one["id"] for name, one in zip(TEXTS, put(api, *items), strict=True)}


def names(answer: httpx.Response, place: str) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [hit["path"].removeprefix(place) for hit in answer.json()["hits"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("a young cat at rest", "cats"),
        ("vehicle maintenance", "engine"),
        ("how do I make a sourdough", "bread"),
        ("where can structured data be stored", "postgres"),
        ("satellites in space", "orbit"),
    ],
)
def test_meaning_is_found_without_a_common_word(
    api: httpx.Client, stored: dict[str, str], place: str, query: str, found: str
) -> None:
    for way in ("semantic", "hybrid"):
        answer = api.post(f"/api/v1/search/{way}", json={"query": query, "path_prefix": place})
        assert names(answer, place)[0] == found


def test_a_rare_word_is_found_by_hybrid_search(api: httpx.Client, stored: dict[str, str], place: str) -> None:
    put(api, {"path": f"{place}odd", "title": "Code", "content": "See the entry xk4711qz of the register."})
    answer = api.post("/api/v1/search/hybrid", json={"query": "xk4711qz", "path_prefix": place})
    assert names(answer, place)[0] == "odd"
    assert "xk4711qz" in answer.json()["hits"][0]["text"]


def test_similar_artifacts_do_not_include_the_artifact_itself(
    api: httpx.Client, stored: dict[str, str], place: str
) -> None:
    put(api, {"path": f"{place}dogs", "title": "dogs", "content": "The puppy naps on the couch and snores."})
    answer = api.get(f"/api/v1/search/similar/{stored['cats']}", params={"path_prefix": place})
    assert names(answer, place)[0] == "dogs"
    assert "cats" not in names(answer, place)


def test_an_artifact_is_found_once_by_its_best_piece(api: httpx.Client, place: str) -> None:
    pieces = ["The weather is mild today.", "Volcanoes erupt lava and ash.", "Paper is made of wood."]
    put(api, {"path": f"{place}long", "title": "Mixed", "content": "", "chunks": pieces})
    answer = api.post("/api/v1/search/semantic", json={"query": "molten rock", "path_prefix": place})
    assert [hit["text"] for hit in answer.json()["hits"]] == [pieces[1]]


def test_results_are_filtered_and_paged(api: httpx.Client, stored: dict[str, str], place: str) -> None:
    put(api, {"path": f"{place}tagged", "title": "t", "content": "unrelated", "tags": ["x"], "kind": "note"})

    def found(**more: Any) -> list[str]:
        query = {"query": "cat", "path_prefix": place, **more}
        return names(api.post("/api/v1/search/semantic", json=query), place)

    assert found(tags=["x"]) == found(kind="note") == ["tagged"]
    assert found(tags=["x", "y"]) == []
    whole = found(limit=6)
    assert len(whole) == 6
    assert found(limit=2) + found(limit=2, offset=2) + found(limit=2, offset=4) == whole


def test_changed_or_deleted_content_is_not_found_any_more(
    api: httpx.Client, stored: dict[str, str], place: str
) -> None:
    put(api, {"path": f"{place}cats", "title": "cats", "content": "Concrete hardens within a day."})
    answer = api.post("/api/v1/search/semantic", json={"query": "kitten purring on a sofa", "path_prefix": place})
    assert all("kitten" not in hit["text"] for hit in answer.json()["hits"])
    api.delete("/api/v1/artifacts", params={"path": f"{place}orbit"})
    answer = api.post("/api/v1/search/hybrid", json={"query": "spacecraft", "path_prefix": place})
    assert "orbit" not in names(answer, place)


def test_a_piece_that_stays_is_not_embedded_again(api: httpx.Client, place: str) -> None:
    def embedded() -> float:
        lines = api.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith("brain_embedded_texts_total "))

    pieces = [f"Piece number {number} of {place}." for number in range(10)]
    put(api, {"path": f"{place}a", "title": "t", "content": "", "chunks": pieces})
    before = embedded()
    put(api, {"path": f"{place}a", "title": "t", "content": "", "chunks": ["A new beginning.", *pieces[1:]]})
    assert embedded() - before == 1


def test_words_that_are_no_query_find_nothing_and_break_nothing(api: httpx.Client, place: str) -> None:
    for query in ("'", '"', "-", "a & | ! b", "(((", "\\", "%s %(x)s", "😀"):
        for way in ("semantic", "hybrid"):
            assert api.post(f"/api/v1/search/{way}", json={"query": query, "path_prefix": place}).status_code == 200
        assert api.get("/api/v1/graph/search", params={"q": query}).status_code == 200


def test_pieces_beyond_the_limit_of_a_request_are_embedded_afterwards(api: httpx.Client, place: str) -> None:
    pieces = [f"Entry {number}: {'abcdefghij'[number % 10] * 3}." for number in range(300)]
    begun = put(api, {"path": f"{place}long", "title": "Entries", "content": "", "chunks": pieces})
    assert begun[0]["result"] == "created"
    eventually(lambda: api.get("/api/v1/stats").json()["embeddings_pending"] == 0, 60)
    query = {"query": pieces[-1], "path_prefix": place}
    hit = api.post("/api/v1/search/semantic", json=query).json()["hits"][0]
    assert hit["text"] == pieces[-1]
