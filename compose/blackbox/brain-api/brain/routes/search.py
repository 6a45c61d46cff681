"""Search: by meaning, by meaning and words, by similarity to an artifact, and by a question."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from brain.keys import OPENAPI, reader
from brain.schemas import Answer, Ask, Filters, Hits, Kind, Path, Search, Tag

router = APIRouter(prefix="/api/v1", tags=["search"], responses=OPENAPI, dependencies=[Depends(reader)])


@router.post("/search/semantic")
async def semantic(search: Search, request: Request) -> Hits:
    """By meaning. `score`: cosine similarity, 1 is the same."""
    hits: Hits = await request.app.state.searcher.semantic(search)
    return hits


@router.post("/search/hybrid")
async def hybrid(search: Search, request: Request) -> Hits:
    """By meaning and by words (\"phrases\", -without). `score`: reciprocal rank fusion, only to compare."""
    hits: Hits = await request.app.state.searcher.hybrid(search)
    return hits


@router.get("/search/similar/{identity}")
async def similar(
    identity: UUID,
    request: Request,
    kind: Kind | None = None,
    tag: Annotated[list[Tag] | None, Query()] = None,
    path_prefix: Path | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Hits:
    """Artifacts like this one, without itself."""
    filters = Filters(kind=kind, tags=tag or [], path_prefix=path_prefix, limit=limit)
    hits: Hits = await request.app.state.searcher.similar(identity, filters)
    return hits


@router.post("/query/nl", responses={501: {"description": "No model key is given"}})
async def ask(question: Ask, request: Request) -> Answer:
    """A question in natural language, answered from what is stored. 501 where no model key is given."""
    answer: Answer = await request.app.state.answerer.answer(question.question)
    return answer
