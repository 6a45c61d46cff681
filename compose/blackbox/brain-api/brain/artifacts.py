"""Artifacts in PostgreSQL, the truth. What of Neo4j and embeddings is not done at once is found by the followers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from brain import metrics
from brain.chunks import digest, split
from brain.embedding import Vectors
from brain.embeddings import Embeddings, Model
from brain.errors import Conflict, NotFound, Refused, Unavailable
from brain.paging import Cursor
from brain.postgres import Connection, Pool, connected
from brain.schemas import Artifact, ArtifactChange, ArtifactHead, ArtifactIn, Counts, LinkTo, Page, Written

HEAD = "id, path, kind, title, tags, metadata, digest, created_at, updated_at"
AT_ONCE = 256
"""Pieces that a request waits for (about 4 s on a quiet machine)."""

PENDING = (
    "INSERT INTO graph_pending (artifact_id) SELECT unnest(%s::uuid[]) "
    "ON CONFLICT (artifact_id) DO UPDATE SET version = nextval('graph_versions')"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """One text that is embedded and found."""

    heading: str
    body: str
    digest: str

    @property
    def text(self) -> str:
        return f"{self.heading}\n{self.body}"


def pieces(title: str, content: str, chunks: Sequence[str] | None) -> list[Piece]:
    """At least one, so that an artifact without content is found by its title. The same text twice is one piece."""
    bodies = [body.strip() for body in (split(content) if chunks is None else chunks)]
    texts = dict.fromkeys(body for body in bodies if body) or {"": None}
    return [Piece(title, body, digest(title, body)) for body in texts]


def artifact_digest(item: ArtifactIn) -> str:
    document = item.model_dump(mode="json", exclude={"path"})
    return hashlib.sha256(json.dumps(document, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Artifacts:
    def __init__(self, pool: Pool, embeddings: Embeddings) -> None:
        self._pool, self._embeddings = pool, embeddings

    async def create(self, item: ArtifactIn) -> Artifact:
        """Conflict where the path is taken."""
        work = await self._prepared([item])
        try:
            async with connected(self._pool) as connection, connection.transaction():
                identity = await _insert(connection, item)
                await self._fill(connection, identity, item, work)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(f"there is an artifact with the path {item.path}") from error
        metrics.ingested.labels("created").inc()
        return await self.get(identity)

    async def ingest(self, items: Sequence[ArtifactIn]) -> list[Written]:
        """Create or replace by path; without a path always create. All of the batch or nothing."""
        by_path = {item.path: item for item in items if item.path}
        if len(by_path) != sum(1 for item in items if item.path):
            raise Conflict("the batch names a path twice")
        work = await self._prepared(await self._changed(items))
        # In one order, so that two batches with the same paths wait for each other instead of both giving up.
        ordered = sorted(enumerate(items), key=lambda entry: entry[1].path or "")
        try:
            async with connected(self._pool) as connection, connection.transaction():
                written = {number: await self._put(connection, item, work) for number, item in ordered}
        except psycopg.errors.UniqueViolation as error:
            raise Unavailable("another writer has just made one of these paths; try again", "busy") from error
        for result in written.values():
            metrics.ingested.labels(result.result).inc()
        return [written[number] for number in range(len(items))]

    async def get(self, identity: UUID) -> Artifact:
        async with connected(self._pool) as connection:
            return await _read(connection, identity)

    async def change(self, identity: UUID, change: ArtifactChange) -> Artifact:
        """NotFound; Conflict where the new path is taken."""
        work = await self._prepared([_changed(await self.get(identity), change)])
        try:
            async with connected(self._pool) as connection, connection.transaction():
                # Somebody else may have changed it while the model worked: what the follower has to embed, then.
                item = _changed(await _read(connection, identity, "FOR UPDATE"), change)
                await self._update(connection, identity, item, work)
        except psycopg.errors.UniqueViolation as error:
            raise Conflict(f"there is an artifact with the path {item.path}") from error
        return await self.get(identity)

    async def delete(self, identity: UUID) -> None:
        if not await self._delete("id = %s", (identity,)):
            raise NotFound(f"there is no artifact {identity}")

    async def delete_paths(self, path: str | None, prefix: str | None) -> int:
        """By exact path, or all below a prefix."""
        if path is not None:
            return await self._delete("path = %s", (path,))
        return await self._delete("starts_with(path, %s)", (prefix,))

    async def page(self, where: Mapping[str, Any], limit: int, after: Cursor | None) -> Page:
        """Newest first. `where`: kind, tag, path, path_prefix; None where it does not matter."""
        query = (
            f"SELECT {HEAD} FROM artifacts WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) "  # noqa: S608 - ours
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
        """Piece's digest → vector, for pieces that nobody has embedded yet. Outside the transaction: it takes long.

        Empty where the model does not answer or refuses one of them: nothing is refused for that. The follower embeds
        what is not here, as it does beyond AT_ONCE pieces, so that no request lasts for minutes.
        """
        wanted = {piece.digest: piece for item in items for piece in pieces(item.title, item.content, item.chunks)}
        try:
            async with connected(self._pool) as connection:
                known = await _known(connection, self._embeddings.model, list(wanted))
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
            identity = await _insert(connection, item)
            await self._fill(connection, identity, item, work)
            return Written(id=identity, path=None, result="created")
        query = "SELECT id, digest FROM artifacts WHERE path = %s FOR UPDATE"
        row = await (await connection.execute(query, (item.path,))).fetchone()
        if row is None:
            identity = await _insert(connection, item)
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
            {**_values(item), "id": identity},
        )
        if not done.rowcount:
            raise NotFound(f"there is no artifact {identity}")
        await self._fill(connection, identity, item, work)

    async def _fill(
        self, connection: Connection, identity: UUID, item: ArtifactIn, work: Mapping[str, Vectors]
    ) -> None:
        """What belongs to an artifact that has just been written: pieces, vectors, links, and a mark for the graph."""
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
        await _links(connection, identity, item)
        await connection.execute(PENDING, ([identity],))

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
        async with connected(self._pool) as connection, connection.transaction():
            query = f"SELECT id FROM artifacts WHERE {condition} ORDER BY id FOR UPDATE"  # noqa: S608 - ours, above
            doomed = [row["id"] async for row in await connection.execute(query, values)]
            # A link by path goes on waiting for that path; one by id points nowhere any more.
            await connection.execute("DELETE FROM links WHERE target_id = ANY(%s) AND target_path IS NULL", (doomed,))
            await connection.execute("DELETE FROM artifacts WHERE id = ANY(%s)", (doomed,))
            await connection.execute(PENDING, (doomed,))
        return len(doomed)


def _changed(old: Artifact, change: ArtifactChange) -> ArtifactIn:
    kept = old.model_dump(include={"path", "kind", "title", "content", "tags", "metadata"})
    return ArtifactIn(**{**kept, **change.model_dump(exclude_unset=True)})


async def _read(connection: Connection, identity: UUID, lock: str = "") -> Artifact:
    query = f"SELECT {HEAD}, content FROM artifacts WHERE id = %s {lock}"  # noqa: S608 - ours
    row = await (await connection.execute(query, (identity,))).fetchone()
    if row is None:
        raise NotFound(f"there is no artifact {identity}")
    return Artifact(**row)


def _values(item: ArtifactIn) -> dict[str, Any]:
    return {
        "path": item.path, "kind": item.kind, "title": item.title, "content": item.content, "tags": item.tags,
        "metadata": Jsonb(item.metadata), "digest": artifact_digest(item),
    }  # fmt: skip


async def _insert(connection: Connection, item: ArtifactIn) -> UUID:
    row = await (
        await connection.execute(
            "INSERT INTO artifacts (path, kind, title, content, tags, metadata, digest) VALUES "
            "(%(path)s, %(kind)s, %(title)s, %(content)s, %(tags)s, %(metadata)s, %(digest)s) RETURNING id",
            _values(item),
        )
    ).fetchone()
    assert row is not None
    identity: UUID = row["id"]
    return identity


async def _known(connection: Connection, model: Model, digests: list[str]) -> dict[str, Vectors]:
    query = sql.SQL(
        "SELECT DISTINCT ON (c.digest) c.digest, e.embedding FROM chunks c JOIN {} e ON e.chunk_id = c.id "
        "WHERE c.digest = ANY(%s)"
    ).format(model.table)
    return {row["digest"]: row["embedding"] async for row in await connection.execute(query, (digests,))}


async def _links(connection: Connection, identity: UUID, item: ArtifactIn) -> None:
    """Its own links, and those of others that have waited for its path."""
    if item.links is not None:
        await connection.execute("DELETE FROM links WHERE source_id = %s", (identity,))
        for link in item.links:
            await add_link(connection, identity, link)
    if item.path is not None:
        query = "UPDATE links SET target_id = %s WHERE target_path = %s AND target_id IS NULL RETURNING source_id"
        waited = [row["source_id"] async for row in await connection.execute(query, (identity, item.path))]
        await connection.execute(PENDING, (sorted(set(waited)),))


async def add_link(connection: Connection, source: UUID, link: LinkTo) -> None:
    """NotFound where the target's id is unknown."""
    try:
        await connection.execute(
            "INSERT INTO links (source_id, kind, target_id, target_path) VALUES (%(source)s, %(kind)s, "
            "coalesce(%(id)s, (SELECT id FROM artifacts WHERE path = %(path)s)), %(path)s) ON CONFLICT DO NOTHING",
            {"source": source, "kind": link.kind, "id": link.id, "path": link.path},
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise NotFound(f"a link names an artifact that does not exist: {link.id or source}") from error
