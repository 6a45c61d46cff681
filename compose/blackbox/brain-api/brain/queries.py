"""SQL statements about artifacts and links. Each runs in the caller's transaction."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb

from brain.embedding import Vectors
from brain.embeddings import Model
from brain.errors import NotFound
from brain.pieces import artifact_digest
from brain.postgres import Connection
from brain.schemas import Artifact, ArtifactIn, LinkTo

HEAD = "id, path, kind, title, tags, metadata, digest, created_at, updated_at"

PENDING = (
    "INSERT INTO graph_pending (artifact_id) SELECT unnest(%s::uuid[]) "
    "ON CONFLICT (artifact_id) DO UPDATE SET version = nextval('graph_versions')"
)


async def read(connection: Connection, identity: UUID, lock: str = "") -> Artifact:
    query = f"SELECT {HEAD}, content FROM artifacts WHERE id = %s {lock}"  # noqa: S608 - ours
    row = await (await connection.execute(query, (identity,))).fetchone()
    if row is None:
        raise NotFound(f"there is no artifact {identity}")
    return Artifact(**row)


def values(item: ArtifactIn) -> dict[str, Any]:
    return {
        "path": item.path, "kind": item.kind, "title": item.title, "content": item.content, "tags": item.tags,
        "metadata": Jsonb(item.metadata), "digest": artifact_digest(item),
    }  # fmt: skip


async def insert(connection: Connection, item: ArtifactIn) -> UUID:
    row = await (
        await connection.execute(
            "INSERT INTO artifacts (path, kind, title, content, tags, metadata, digest) VALUES "
            "(%(path)s, %(kind)s, %(title)s, %(content)s, %(tags)s, %(metadata)s, %(digest)s) RETURNING id",
            values(item),
        )
    ).fetchone()
    assert row is not None
    identity: UUID = row["id"]
    return identity


async def known(connection: Connection, model: Model, digests: list[str]) -> dict[str, Vectors]:
    query = sql.SQL(
        "SELECT DISTINCT ON (c.digest) c.digest, e.embedding FROM chunks c JOIN {} e ON e.chunk_id = c.id "
        "WHERE c.digest = ANY(%s)"
    ).format(model.table)
    return {row["digest"]: row["embedding"] async for row in await connection.execute(query, (digests,))}


async def links(connection: Connection, identity: UUID, item: ArtifactIn) -> None:
    """Write the artifact's own links, and complete links of other artifacts that waited for its path."""
    if item.links is not None:
        await connection.execute("DELETE FROM links WHERE source_id = %s", (identity,))
        for link in item.links:
            await add_link(connection, identity, link)
    if item.path is not None:
        query = "UPDATE links SET target_id = %s WHERE target_path = %s AND target_id IS NULL RETURNING source_id"
        waited = [row["source_id"] async for row in await connection.execute(query, (identity, item.path))]
        await connection.execute(PENDING, (sorted(set(waited)),))


async def add_link(connection: Connection, source: UUID, link: LinkTo) -> None:
    """NotFound if the target's id is unknown."""
    try:
        await connection.execute(
            "INSERT INTO links (source_id, kind, target_id, target_path) VALUES (%(source)s, %(kind)s, "
            "coalesce(%(id)s, (SELECT id FROM artifacts WHERE path = %(path)s)), %(path)s) ON CONFLICT DO NOTHING",
            {"source": source, "kind": link.kind, "id": link.id, "path": link.path},
        )
    except psycopg.errors.ForeignKeyViolation as error:
        raise NotFound(f"a link names an artifact that does not exist: {link.id or source}") from error


async def remove_link(connection: Connection, source: UUID, kind: str, target: UUID) -> None:
    """NotFound if there is no such link."""
    query = "DELETE FROM links WHERE source_id = %s AND kind = %s AND target_id = %s"
    if not (await connection.execute(query, (source, kind, target))).rowcount:
        raise NotFound(f"{source} has no such link")
