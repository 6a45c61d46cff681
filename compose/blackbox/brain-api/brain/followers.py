"""The followers of PostgreSQL: one adds missing embeddings, one copies artifacts and links to Neo4j.

Both compare with PostgreSQL and do what is missing, whatever the reason: a model or a database that did not answer, a
crash, a new model. They can be stopped at any moment, and doing the same work twice changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from psycopg import sql

from brain import metrics
from brain.embedding import Vectors
from brain.embeddings import Embeddings
from brain.errors import ApiError, Refused
from brain.graph import GraphStore
from brain.postgres import Connection, Pool, connected
from brain.queries import PENDING
from brain.search import Searcher

PAUSE = 30.0
"""Seconds after which a follower looks for work although nobody has woken it."""

AGAIN = 2.0
"""Seconds after a failure until it tries again."""

TEXTS = 64
NODES = 200
EMBED_LOCK, GRAPH_LOCK = 7106, 7107
"""Keys of advisory locks: of several processes only one at a time writes embeddings, and one draws."""

_log = logging.getLogger("brain.followers")
_MISSING = "FROM chunks c WHERE NOT EXISTS (SELECT FROM {table} e WHERE e.chunk_id = c.id)"
_COUNT = sql.SQL("SELECT count(*) AS left " + _MISSING)


class Follower:
    """Calls `work` until nothing is left to do, then waits until it is woken."""

    def __init__(self, name: str, work: Callable[[], Awaitable[int]]) -> None:
        """`work` does a part of the work and returns how many items it has done; 0: nothing is left."""
        self._name, self._work = name, work
        self._woken = asyncio.Event()

    def wake(self) -> None:
        self._woken.set()

    async def run(self) -> None:
        while True:
            self._woken.clear()
            try:
                while await self._work():
                    pass
                pause = PAUSE
            except ApiError as error:
                _log.warning("%s waits: %s", self._name, error)
                pause = AGAIN
            except Exception:
                _log.exception("%s failed", self._name)
                pause = AGAIN
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass


class Followers:
    def __init__(self, pool: Pool, embeddings: Embeddings, graph: GraphStore, searcher: Searcher) -> None:
        self._pool, self._embeddings, self._graph, self._searcher = pool, embeddings, graph, searcher
        self._refused: set[int] = set()
        """Ids of pieces that the model refuses: only found by words until they change or the process restarts."""
        self.all = (Follower("embedding", self._embed), Follower("graph", self._draw))

    def wake(self) -> None:
        for follower in self.all:
            follower.wake()

    async def _embed(self) -> int:
        """Embed up to TEXTS pieces that have no embedding of the current model. Returns how many were tried."""
        if not await self._embeddings.check():
            raise ApiError(self._embeddings.problem)
        model = self._embeddings.model
        async with connected(self._pool) as connection:
            query = sql.SQL(
                "SELECT c.id, c.artifact_id, c.heading, c.body " + _MISSING + " AND NOT c.id = ANY(%s) "
                "ORDER BY c.id LIMIT %s"
            ).format(table=model.table)
            rows = await (await connection.execute(query, (list(self._refused), TEXTS))).fetchall()
            if not rows:
                self._searcher.complete = not await self._left(connection)
                return 0
        self._searcher.complete = False
        vectors = await self._vectors(rows)
        async with connected(self._pool) as connection, connection.transaction():
            await _lock(connection, EMBED_LOCK)
            # A piece may have been deleted meanwhile.
            insert = sql.SQL(
                "INSERT INTO {} (chunk_id, embedding) SELECT id, %s FROM chunks WHERE id = %s ON CONFLICT DO NOTHING"
            ).format(model.table)
            for identity, vector in vectors.items():
                await connection.execute(insert, (vector, identity))
            await connection.execute(PENDING, (sorted({row["artifact_id"] for row in rows}),))
            await self._left(connection)
        self.all[1].wake()
        return len(rows)

    async def _vectors(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, Vectors]:
        """Id of a piece → its vector. A piece that the model refuses is left out; the others are embedded."""
        texts = {row["id"]: f"{row['heading']}\n{row['body']}" for row in rows}
        try:
            return dict(zip(texts, await self._embeddings.documents(list(texts.values())), strict=True))
        except Refused:
            # If the model refuses even an ordinary text, this raises: then no piece is at fault.
            await self._embeddings.query()
        found = {}
        for identity, text in texts.items():
            try:
                found[identity] = (await self._embeddings.documents([text]))[0]
            except Refused as error:
                self._refused.add(identity)
                _log.warning("piece %s stays without an embedding: %s", identity, error)
        return found

    async def _left(self, connection: Connection) -> int:
        row = await (await connection.execute(_COUNT.format(table=self._embeddings.model.table))).fetchone()
        left = int(row["left"]) if row else 0
        metrics.embeddings_pending.set(left)
        return left

    async def _draw(self) -> int:
        """Bring the nodes of up to NODES changed artifacts in line with PostgreSQL. Returns how many artifacts."""
        async with connected(self._pool) as connection, connection.transaction():
            await _lock(connection, GRAPH_LOCK)
            query = "SELECT artifact_id, version FROM graph_pending ORDER BY version LIMIT %s"
            pending = await (await connection.execute(query, (NODES,))).fetchall()
            if not pending:
                metrics.graph_pending.set(0)
                return 0
            rows = await self._rows(connection, [item["artifact_id"] for item in pending])
            gone = {str(item["artifact_id"]) for item in pending} - {row["id"] for row in rows}
            await self._graph.draw(rows, sorted(gone), self._embeddings.model.node_property)
            # An artifact that has changed again since then has a higher version, and stays pending.
            await connection.execute(
                "DELETE FROM graph_pending p USING unnest(%s::uuid[], %s::bigint[]) AS drawn (id, version) "
                "WHERE p.artifact_id = drawn.id AND p.version = drawn.version",
                ([item["artifact_id"] for item in pending], [item["version"] for item in pending]),
            )
            left = await (await connection.execute("SELECT count(*) AS left FROM graph_pending")).fetchone()
        metrics.graph_pending.set(left["left"] if left else 0)
        return len(pending)

    async def _rows(self, connection: Connection, ids: list[Any]) -> list[dict[str, Any]]:
        query = sql.SQL(
            "SELECT a.id::text, a.path, a.title, a.kind, a.tags, "
            "(SELECT avg(e.embedding) FROM chunks c JOIN {} e ON e.chunk_id = c.id WHERE c.artifact_id = a.id) "
            "AS vector, "
            "coalesce((SELECT jsonb_agg(DISTINCT jsonb_build_object('id', l.target_id::text, 'kind', l.kind)) "
            "FROM links l WHERE l.source_id = a.id AND l.target_id IS NOT NULL), '[]') AS links "
            "FROM artifacts a WHERE a.id = ANY(%s)"
        ).format(self._embeddings.model.table)
        rows = await (await connection.execute(query, (ids,))).fetchall()
        return [{**row, "vector": None if row["vector"] is None else row["vector"].to_list()} for row in rows]


async def _lock(connection: Connection, key: int) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
