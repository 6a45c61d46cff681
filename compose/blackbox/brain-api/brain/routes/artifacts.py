"""Artifacts: create, read, change, delete, list, ingest in batches; and the links between them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from brain.artifacts import Artifacts
from brain.errors import ApiError
from brain.keys import OPENAPI, reader, writer
from brain.paging import Cursor
from brain.schemas import (
    Artifact,
    ArtifactChange,
    ArtifactIn,
    Batch,
    BatchResult,
    Counts,
    Deleted,
    Kind,
    LinkTo,
    Page,
    Path,
    Tag,
)

router = APIRouter(prefix="/api/v1", tags=["artifacts"], responses=OPENAPI)
READ, WRITE = [Depends(reader)], [Depends(writer)]


def artifacts(request: Request) -> Artifacts:
    store: Artifacts = request.app.state.artifacts
    return store


Store = Annotated[Artifacts, Depends(artifacts)]


@router.post("/artifacts", status_code=201, dependencies=WRITE)
async def create(item: ArtifactIn, store: Store) -> Artifact:
    return await store.create(item)


@router.post("/artifacts/batch", dependencies=WRITE)
async def ingest(batch: Batch, store: Store) -> BatchResult:
    """Create or replace by path: all of the batch or nothing. What has not changed costs nothing."""
    return BatchResult(artifacts=await store.ingest(batch.artifacts))


@router.get("/artifacts", dependencies=READ)
async def listed(
    store: Store,
    kind: Kind | None = None,
    tag: Tag | None = None,
    path: Path | None = None,
    path_prefix: Path | None = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: str | None = None,
) -> Page:
    """Newest first, without contents. `cursor`: the `next` of the page before."""
    where = {"kind": kind, "tag": tag, "path": path, "path_prefix": path_prefix}
    return await store.page(where, limit, Cursor.parse(cursor) if cursor else None)


@router.delete("/artifacts", dependencies=WRITE)
async def delete_paths(store: Store, path: Path | None = None, path_prefix: Path | None = None) -> Deleted:
    """By exact path, or all whose path begins with a prefix."""
    if (path is None) == (path_prefix is None):
        raise ApiError("name either path or path_prefix")
    return Deleted(deleted=await store.delete_paths(path, path_prefix))


@router.get("/artifacts/{identity}", dependencies=READ)
async def read(identity: UUID, store: Store) -> Artifact:
    return await store.get(identity)


@router.patch("/artifacts/{identity}", dependencies=WRITE)
async def change(identity: UUID, item: ArtifactChange, store: Store) -> Artifact:
    """What is left out stays as it is."""
    return await store.change(identity, item)


@router.delete("/artifacts/{identity}", status_code=204, dependencies=WRITE)
async def delete(identity: UUID, store: Store) -> Response:
    await store.delete(identity)
    return Response(status_code=204)


@router.post("/artifacts/{identity}/links", status_code=204, dependencies=WRITE)
async def link(identity: UUID, to: LinkTo, store: Store) -> Response:
    """Add a link to another artifact; one that is there already stays."""
    await store.link(identity, to)
    return Response(status_code=204)


@router.delete("/artifacts/{identity}/links/{kind}/{target}", status_code=204, dependencies=WRITE)
async def unlink(identity: UUID, kind: Kind, target: UUID, store: Store) -> Response:
    await store.unlink(identity, kind, target)
    return Response(status_code=204)


@router.get("/stats", dependencies=READ)
async def counts(store: Store) -> Counts:
    return await store.counts()
