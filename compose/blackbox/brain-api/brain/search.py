"""Search by meaning, by words, and by both. Pieces are compared; the artifacts that they belong to are returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from psycopg import sql

from brain.embedding import Vectors
from brain.embeddings import Embeddings
from brain.errors import NotFound
from brain.postgres import Pool, connected
from brain.schemas import Filters, Hit, Hits, Search

PIECES_PER_HIT = 3
"""Pieces that are compared per requested artifact: several pieces of one artifact may be near."""

DEEP = 60
"""The constant of reciprocal rank fusion: the larger it is, the less the rank counts."""

_FILTERS = (
    "(%(kind)s::text IS NULL OR a.kind = %(kind)s) AND (%(tags)s::text[] = '{{}}' OR a.tags @> %(tags)s) "
    "AND (%(prefix)s::text IS NULL OR starts_with(a.path, %(prefix)s))"
)
# "near" is the answer of the index. After that the best piece of each artifact is chosen.
_NEAR = (
    "near AS MATERIALIZED (SELECT c.id AS chunk, c.artifact_id, 1 - (e.embedding <=> %(vector)s) AS score "  # noqa: S608 - ours
    "FROM {table} e JOIN chunks c ON c.id = e.chunk_id JOIN artifacts a ON a.id = c.artifact_id "
    "WHERE " + _FILTERS + " AND a.id IS DISTINCT FROM %(not)s ORDER BY e.embedding <=> %(vector)s LIMIT %(pieces)s)"
)
_BEST = "SELECT DISTINCT ON (artifact_id) artifact_id, chunk, score FROM {} ORDER BY artifact_id, score DESC"
_SHOWN = (
    "SELECT a.id, a.path, a.kind, a.title, a.tags, found.score, c.body AS text FROM found "
    "JOIN artifacts a ON a.id = found.artifact_id JOIN chunks c ON c.id = found.chunk "
    "ORDER BY found.score DESC, a.id LIMIT %(limit)s OFFSET %(offset)s"
)
_SEMANTIC = "WITH " + _NEAR + ", found AS (" + _BEST.format("near") + ") " + _SHOWN
_WORDS = (
    "words AS MATERIALIZED (SELECT c.id AS chunk, c.artifact_id, ts_rank_cd(c.words, asked) AS score "
    "FROM websearch_to_tsquery('english', %(query)s) asked JOIN chunks c ON c.words @@ asked "
    "JOIN artifacts a ON a.id = c.artifact_id WHERE " + _FILTERS + " ORDER BY score DESC, c.id LIMIT %(pieces)s)"
)
_RANKED = "SELECT *, row_number() OVER (ORDER BY score DESC, artifact_id) AS rank FROM ({}) best"
_HYBRID = (
    "WITH " + _NEAR + ", " + _WORDS + ", ranked AS ("
    + _RANKED.format(_BEST.format("near")) + " UNION ALL " + _RANKED.format(_BEST.format("words"))
    + "), found AS (SELECT artifact_id, min(chunk) AS chunk, sum(1.0 / (%(deep)s + rank)) AS score "
    "FROM ranked GROUP BY artifact_id) " + _SHOWN
)  # fmt: skip


class Searcher:
    def __init__(self, pool: Pool, embeddings: Embeddings) -> None:
        self._pool, self._embeddings = pool, embeddings
        self.complete = False
        """Whether each piece has an embedding of the current model. Set by the follower that makes embeddings."""

    async def semantic(self, search: Search) -> Hits:
        vector = await self._embeddings.query(search.query)
        return await self._hits(_SEMANTIC, {**_values(search), "vector": vector, "not": None})

    async def hybrid(self, search: Search) -> Hits:
        """By meaning and by words: an artifact with a high rank in either list has a high rank in the result."""
        vector = await self._embeddings.query(search.query)
        values = {**_values(search), "vector": vector, "not": None, "query": search.query, "deep": DEEP}
        values["pieces"] = max(values["pieces"], 50)
        return await self._hits(_HYBRID, values)

    async def similar(self, identity: UUID, filters: Filters) -> Hits:
        """Artifacts similar to this one. NotFound if it does not exist or has no embedding yet."""
        vector = await self.vector_of(identity)
        return await self._hits(_SEMANTIC, {**_values(filters), "vector": vector, "not": identity})

    async def vector_of(self, identity: UUID) -> Vectors:
        """The mean of the vectors of its pieces."""
        query = sql.SQL(
            "SELECT avg(e.embedding) AS vector FROM {} e JOIN chunks c ON c.id = e.chunk_id WHERE c.artifact_id = %s"
        ).format(self._embeddings.model.table)
        async with connected(self._pool) as connection:
            row = await (await connection.execute(query, (identity,))).fetchone()
        if row is None or row["vector"] is None:
            raise NotFound(f"there is no artifact {identity}, or it has no embedding yet")
        vector: Vectors = row["vector"]
        return vector

    async def _hits(self, query: str, values: Mapping[str, Any]) -> Hits:
        statement = sql.SQL(query).format(table=self._embeddings.model.table)
        async with connected(self._pool) as connection:
            rows = await (await connection.execute(statement, values)).fetchall()
        return Hits(hits=[Hit(**row) for row in rows], complete=self.complete)


def _values(filters: Filters) -> dict[str, Any]:
    return {
        "kind": filters.kind, "tags": filters.tags, "prefix": filters.path_prefix, "limit": filters.limit,
        "offset": filters.offset, "pieces": (filters.limit + filters.offset) * PIECES_PER_HIT,
    }  # fmt: skip
