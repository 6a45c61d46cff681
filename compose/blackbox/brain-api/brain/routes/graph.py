"""Links between artifacts. A change shows here a moment after it was made."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request

from brain.keys import OPENAPI, reader
from brain.schemas import Around, Graph, Kind, Question

router = APIRouter(prefix="/api/v1/graph", tags=["graph"], responses=OPENAPI, dependencies=[Depends(reader)])


@router.get("/neighbours/{identity}")
async def neighbours(
    identity: UUID,
    request: Request,
    depth: Annotated[int, Query(ge=1, le=3)] = 1,
    kind: Annotated[list[Kind] | None, Query()] = None,
) -> Graph:
    """What is linked with it in either direction. `kind`: only over such links."""
    graph: Graph = await request.app.state.graph.neighbours(identity, depth, kind or [])
    return graph


@router.get("/path")
async def path(start: UUID, end: UUID, request: Request, longest: Annotated[int, Query(ge=1, le=10)] = 6) -> Graph:
    """The shortest way between two artifacts; 404 where there is none of at most `longest` links."""
    graph: Graph = await request.app.state.graph.path(start, end, longest)
    return graph


@router.get("/search")
async def words(q: Question, request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 10) -> Graph:
    """By the words of titles and paths."""
    graph: Graph = await request.app.state.graph.words(q, limit)
    return graph


@router.post("/around")
async def around(asked: Around, request: Request) -> Graph:
    """The nearest artifacts by meaning, and what is linked with them."""
    state = request.app.state
    vector = await state.embeddings.query(asked.query)
    graph: Graph = await state.graph.around(state.embeddings.model, vector.tolist(), asked.limit, asked.depth)
    return graph
