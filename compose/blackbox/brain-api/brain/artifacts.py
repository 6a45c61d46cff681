"""Artifacts in PostgreSQL, which is authoritative. The followers add missing embeddings and update Neo4j."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from brain import metrics, queries
from brain.embedding import Vectors
from brain.embeddings import Embeddings
from brain.errors import Conflict, NotFound, Refused, Unavailable
from brain.paging import Cursor
from brain.pieces import Piece, artifact_digest, pieces
from brain.postgres import Connection, Pool, connected
from brain.schemas import Artifact, ArtifactChange, ArtifactHead, ArtifactIn, Counts, LinkTo, Page, Written

AT_ONCE = 256
"""Most pieces that one request embeds before it answers (about 4 s on a quiet machine)."""


class Artifacts:
    """`wake` is called after each change, so that the followers update embeddings and graph."""

    def __init__(self, pool: Pool, embeddings: Embeddings, wake: Callable[[], None]) -> None:
        self._pool, self._embeddings, self._wake = pool, embeddings, wake

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Connection]:
        """One transaction. The followers are woken after the commit."""
        async with connected(self._pool) as connection, connection.transaction():
            yield connection
        self._wake()

    async def create(self, item: ArtifactIn) -> Artifact:
        """Conflict if the path is taken."""
        work = await self._prepared([item])
        try:
            async with self._writing() as connection:
                identity = await queries.insert(connection, item)
                await self._fill(connection, identity, item, work)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(f"there is an artifact with the path {item.path}") from error
        metrics.ingested.labels("created").inc()
        return await self.get(identity)

    async def ingest(self, items: Sequence[ArtifactIn]) -> list[Written]:
        """Create or replace by path; an artifact without a path is always created. All of the batch or nothing.

        Conflict if the batch names a path twice. Unavailable (busy) if another writer makes one of the paths meanwhile.
        """
        by_path = {item.path: item for item in items if item.path}
        if len(by_path) != sum(1 for item in items if item.path):
            raise Conflict("the batch names a path twice")
        work = await self._prepared(await self._changed(items))
        # Sorted, so that two batches with the same paths wait for each other and do not deadlock.
        ordered = sorted(enumerate(items), key=lambda entry: entry[1].path or "")
        try:
            async with self._writing() as connection:
                written = {number: await self._put(connection, item, work) for number, item in ordered}
        except psycopg.errors.UniqueViolation as error:
            raise Unavailable("another writer has just made one of these paths; try again", "busy") from error
        for result in written.values():
            metrics.ingested.labels(result.result).inc()
        return [written[number] for number in range(len(items))]

    async def get(self, identity: UUID) -> Artifact:
        async with connected(self._pool) as connection:
            return await queries.read(connection, identity)

    async def change(self, identity: UUID, change: ArtifactChange) -> Artifact:
        """NotFound; Conflict if the new path is taken."""
        work = await self._prepared([_changed(await self.get(identity), change)])
        try:
            async with self._writing() as connection:
                # Another client may have changed it while the model worked. Then the follower embeds the new pieces.
                item = _changed(await queries.read(connection, identity, "FOR UPDATE"), change)
                await self._update(connection, identity, item, work)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(f"there is an artifact with the path {item.path}") from error
        return await self.get(identity)

    async def delete(self, identity: UUID) -> None:
        if not await self._delete("id = %s", (identity,)):
            raise NotFound(f"there is no artifact {identity}")

    async def delete_paths(self, path: str | None, prefix: str | None) -> int:
        """Delete by exact path, or all whose path begins with `prefix`. Returns how many."""
        if path is not None:
            return await self._delete("path = %s", (path,))
        return await self._delete("starts_with(path, %s)", (prefix,))

    async def link(self, identity: UUID, to: LinkTo) -> None:
        """NotFound if either artifact is unknown. An existing link stays."""
        async with self._writing() as connection:
            await queries.add_link(connection, identity, to)
            await connection.execute(queries.PENDING, ([identity],))

    async def unlink(self, identity: UUID, kind: str, target: UUID) -> None:
        """NotFound if there is no such link."""
        async with self._writing() as connection:
            await queries.remove_link(connection, identity, kind, target)
            await connection.execute(queries.PENDING, ([identity],))

    async def page(self, where: Mapping[str, Any], limit: int, after: Cursor | None) -> Page:
        """Newest first. `where`: kind, tag, path, path_prefix; None: any."""
        query = (
            f"SELECT {queries.HEAD} FROM artifacts WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) "  # noqa: S608 - ours
            "AND (%(tag)s::text IS NULL OR tags @> ARRAY[%(tag)s]) AND (%(path)s::text IS NULL OR path = %(path)s) "
            "AND (%(path_prefix)s::text IS NULL OR starts_with(path, %(path_prefix)s)) "
            "AND (%(at)s::timestamptz IS NULL OR (created_at, id) < (%(at)s, %(id)s)) "
            "ORDER BY created_at DESC, id DESC LIMIT %(limit)s"
        )
        place = {"at": after.at if after else None, "id": after.id if after else None, "limit": limit + 1}
        async with connected(self._pool) as connection:
            rows = await (await connection.execute(query, {**where, **place})).fetchall()
        heads = [ArtifactHead(**row) for row in rows[:limit]]
        more = Cursor(heads[-1].created_at, heads[-1].id).text() if len(rows) > limit else None
        return Page(artifacts=heads, next=more)

    async def counts(self) -> Counts:
        model = self._embeddings.model
        query = sql.SQL(
            "SELECT (SELECT count(*) FROM artifacts) AS artifacts, (SELECT count(*) FROM chunks) AS chunks, "
            "(SELECT count(*) FROM links) AS links, (SELECT count(*) FROM graph_pending) AS graph_pending, "
            "(SELECT count(*) FROM chunks) - (SELECT count(*) FROM {}) AS embeddings_pending"
        ).format(model.table)
        async with connected(self._pool) as connection:
            row = await (await connection.execute(query)).fetchone()
        assert row is not None
        return Counts(**row, embedding_model=model.name, dimensions=model.dimensions)

    async def _changed(self, items: Sequence[ArtifactIn]) -> list[ArtifactIn]:
        async with connected(self._pool) as connection:
            paths = [item.path for item in items if item.path]
            query = "SELECT path, digest FROM artifacts WHERE path = ANY(%s)"
            known = {row["path"]: row["digest"] async for row in await connection.execute(query, (paths,))}
        return [item for item in items if item.path is None or known.get(item.path) != artifact_digest(item)]

    async def _prepared(self, items: Iterable[ArtifactIn]) -> dict[str, Vectors]:
        """Digest of a piece → its vector. Called outside the transaction, because it takes long.

        New pieces are embedded, at most AT_ONCE of them; the vectors of known pieces are read. The result is empty if
        the model does not answer or refuses a text: the write succeeds all the same. The follower embeds the rest.
        """
        wanted = {piece.digest: piece for item in items for piece in pieces(item.title, item.content, item.chunks)}
        try:
            async with connected(self._pool) as connection:
                known = await queries.known(connection, self._embeddings.model, list(wanted))
            missing = [piece for key, piece in wanted.items() if key not in known][:AT_ONCE]
            vectors = await self._embeddings.documents([piece.text for piece in missing])
        except Unavailable as error:
            if error.code != "embeddings_unavailable":
                raise
            return {}
        except Refused:
            return {}
        return {piece.digest: vector for piece, vector in zip(missing, vectors, strict=True)} | known

    async def _put(self, connection: Connection, item: ArtifactIn, work: Mapping[str, Vectors]) -> Written:
        if item.path is None:
            identity = await queries.insert(connection, item)
            await self._fill(connection, identity, item, work)
            return Written(id=identity, path=None, result="created")
        query = "SELECT id, digest FROM artifacts WHERE path = %s FOR UPDATE"
        row = await (await connection.execute(query, (item.path,))).fetchone()
        if row is None:
            identity = await queries.insert(connection, item)
            await self._fill(connection, identity, item, work)
            return Written(id=identity, path=item.path, result="created")
        if row["digest"] == artifact_digest(item):
            return Written(id=row["id"], path=item.path, result="unchanged")
        await self._update(connection, row["id"], item, work)
        return Written(id=row["id"], path=item.path, result="updated")

    async def _update(
        self, connection: Connection, identity: UUID, item: ArtifactIn, work: Mapping[str, Vectors]
    ) -> None:
        done = await connection.execute(
            "UPDATE artifacts SET path = %(path)s, kind = %(kind)s, title = %(title)s, content = %(content)s, "
            "tags = %(tags)s, metadata = %(metadata)s, digest = %(digest)s, updated_at = now() WHERE id = %(id)s",
            {**queries.values(item), "id": identity},
        )
        if not done.rowcount:
            raise NotFound(f"there is no artifact {identity}")
        await self._fill(connection, identity, item, work)

    async def _fill(
        self, connection: Connection, identity: UUID, item: ArtifactIn, work: Mapping[str, Vectors]
    ) -> None:
        """Write the pieces, vectors and links of an artifact that has just been written, and mark it for the graph."""
        wanted = pieces(item.title, item.content, item.chunks)
        await connection.execute(
            "DELETE FROM chunks WHERE artifact_id = %s AND NOT digest = ANY(%s)",
            (identity, [piece.digest for piece in wanted]),
        )
        query = "SELECT digest, id FROM chunks WHERE artifact_id = %s"
        there = {row["digest"]: row["id"] async for row in await connection.execute(query, (identity,))}
        for position, piece in enumerate(wanted):
            if piece.digest in there:
                move = "UPDATE chunks SET position = %s WHERE id = %s AND position <> %s"
                await connection.execute(move, (position, there[piece.digest], position))
            else:
                await self._piece(connection, identity, position, piece, work.get(piece.digest))
        await queries.links(connection, identity, item)
        await connection.execute(queries.PENDING, ([identity],))

    async def _piece(
        self, connection: Connection, identity: UUID, position: int, piece: Piece, vector: Vectors | None
    ) -> None:
        row = await (
            await connection.execute(
                "INSERT INTO chunks (artifact_id, position, heading, body, digest) VALUES (%s, %s, %s, %s, %s) "
                "RETURNING id",
                (identity, position, piece.heading, piece.body, piece.digest),
            )
        ).fetchone()
        if vector is not None and row is not None:
            insert = sql.SQL("INSERT INTO {} (chunk_id, embedding) VALUES (%s, %s)")
            await connection.execute(insert.format(self._embeddings.model.table), (row["id"], vector))

    async def _delete(self, condition: str, values: tuple[Any, ...]) -> int:
        async with self._writing() as connection:
            query = f"SELECT id FROM artifacts WHERE {condition} ORDER BY id FOR UPDATE"  # noqa: S608 - ours, above
            doomed = [row["id"] async for row in await connection.execute(query, values)]
            # A link by path stays and waits for that path. A link by id has lost its target and is deleted.
            await connection.execute("DELETE FROM links WHERE target_id = ANY(%s) AND target_path IS NULL", (doomed,))
            await connection.execute("DELETE FROM artifacts WHERE id = ANY(%s)", (doomed,))
            await connection.execute(queries.PENDING, (doomed,))
        return len(doomed)


def _changed(old: Artifact, change: ArtifactChange) -> ArtifactIn:
    kept = old.model_dump(include={"path", "kind", "title", "content", "tags", "metadata"})
    return ArtifactIn(**{**kept, **change.model_dump(exclude_unset=True)})
