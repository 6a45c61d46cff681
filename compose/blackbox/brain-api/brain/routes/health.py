"""Liveness, readiness and metrics: for programs, without a key."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from brain import metrics
from brain.postgres import PING, ping

router = APIRouter(tags=["health"])


@router.get("/health/live")
async def live() -> dict[str, str]:
    """The process answers. Says nothing about databases: their outage is no reason to restart this."""
    return {"status": "alive"}


@router.get("/health/ready", responses={503: {"description": "`checks` names what does not answer"}})
async def ready(request: Request, response: Response) -> dict[str, Any]:
    """Whether everything that requests need answers: 200, or 503 naming what does not."""
    state = request.app.state
    results = await asyncio.gather(_problem(ping(state.pool)), _problem(state.graph.ping()), _embeddings(state))
    checks = dict(zip(("postgres", "neo4j", "embeddings"), results, strict=True))
    for name, problem in checks.items():
        metrics.up.labels(name).set(not problem)
    if any(checks.values()):
        response.status_code = 503
    down = [name for name, problem in checks.items() if problem]
    return {
        "status": "unavailable" if down else "ready",
        "down": down,
        "checks": {name: problem or "ok" for name, problem in checks.items()},
    }


@router.get("/metrics", include_in_schema=False)
async def measured(request: Request) -> Response:
    stats = request.app.state.pool.get_stats()
    metrics.pool_waiting.set(stats.get("requests_waiting", 0))
    metrics.pool_size.set(stats.get("pool_size", 0))
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _problem(check: Awaitable[None]) -> str:
    try:
        await check
    except Exception as error:
        return f"{type(error).__name__}: {error}".strip(": ")[:300]
    return ""


async def _embeddings(state: Any) -> str:
    """The first check asks the model, which may take longer than the health check waits."""
    try:
        async with asyncio.timeout(PING):
            await state.embeddings.check()
    except TimeoutError:
        return f"the model gives no answer within {PING:g} s"
    return str(state.embeddings.problem)
