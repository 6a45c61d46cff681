"""Puts the parts together. The API starts without its databases; readiness says what is missing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from brain import __doc__ as about
from brain.answers import Answerer
from brain.artifacts import Artifacts
from brain.embedding import Embedder, embedder
from brain.embeddings import Embeddings
from brain.errors import ApiError
from brain.followers import Followers
from brain.graph import GraphStore
from brain.keys import Keys
from brain.logs import request_id
from brain.postgres import new_pool
from brain.requests import Requests
from brain.routes import artifacts, graph, health, search
from brain.search import Searcher
from brain.settings import Settings

_log = logging.getLogger("brain")


def create_app(settings: Settings) -> FastAPI:
    """ValueError if the API keys cannot be read: no client could make a request."""
    keys = Keys(settings.api_keys)
    app = FastAPI(title="Brain API", version="1.0.0", description=about, lifespan=_lifespan)
    app.state.settings, app.state.keys = settings, keys
    for routes in (health.router, artifacts.router, search.router, graph.router):
        app.include_router(routes)
    app.add_middleware(Requests)
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    pool = new_pool(settings)
    await pool.open(wait=False)
    made, problem = await asyncio.to_thread(_embedder, settings)
    embeddings = Embeddings(settings, pool, made, problem)
    store, searcher = GraphStore(settings), Searcher(pool, embeddings)
    answerer = Answerer(settings, searcher, store)
    followers = Followers(pool, embeddings, store, searcher)
    state = app.state
    state.pool, state.embeddings, state.graph, state.searcher = pool, embeddings, store, searcher
    state.artifacts, state.answerer, state.followers = Artifacts(pool, embeddings, followers.wake), answerer, followers
    tasks = [asyncio.create_task(follower.run()) for follower in followers.all]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
        for part in (answerer, store, embeddings, pool):
            await part.close()


def _embedder(settings: Settings) -> tuple[Embedder | None, str]:
    """The embedder, or None and why. It raises nothing: readiness reports the problem; an exit would cause restarts."""
    try:
        return embedder(settings), ""
    except (ValueError, KeyError, OSError) as error:
        _log.error("no embeddings: %s", error)
        return None, str(error)


def _answer(status: int, code: str, message: str, **more: object) -> JSONResponse:
    error = {"code": code, "message": message, "request_id": request_id.get(), **more}
    headers = {"Retry-After": "2"} if status == 503 else {}
    return JSONResponse({"error": error}, status, headers)


async def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    if error.status >= 500:
        _log.warning("%s", error, extra={"fields": {"code": error.code}})
    return _answer(error.status, error.code, str(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}.get(error.status_code, "bad_request")
    return _answer(error.status_code, code, str(error.detail))


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """Says where a value is wrong and why. It leaves the value out: contents may be large or confidential."""
    assert isinstance(error, RequestValidationError)
    details = [{"at": ".".join(map(str, item["loc"])), "message": item["msg"]} for item in error.errors()]
    return _answer(422, "invalid", "the request is not as the API describes it (/docs)", details=details)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected", exc_info=error)
    return _answer(500, "internal", "this is a mistake of the server; its log has the request id")
