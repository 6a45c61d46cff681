"""The pool of connections to PostgreSQL, and what its errors mean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from brain.errors import ApiError, Unavailable
from brain.settings import Settings

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]

OPTIONS = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s -c jit=off"
PING = 4.0
BUSY = (psycopg.errors.DeadlockDetected, psycopg.errors.LockNotAvailable, psycopg.errors.SerializationFailure)
EF_SEARCH = 100
"""Candidates that the HNSW index keeps. With the default, 40, it finds too few of the true neighbours."""


def new_pool(settings: Settings) -> Pool:
    """The pool, not opened yet. A request waits at most 3 s for a connection; at most 100 requests wait."""
    return AsyncConnectionPool(
        kwargs={
            "host": settings.postgres_host, "dbname": "brain", "user": "brain", "connect_timeout": 5,
            "password": settings.postgres_password, "application_name": "brain-api", "options": OPTIONS,
            "row_factory": dict_row, "keepalives_idle": 30,
        },
        min_size=1, max_size=settings.pool_size, max_waiting=100, timeout=3, open=False,
        configure=_configure, check=AsyncConnectionPool.check_connection, reconnect_timeout=30,
    )  # fmt: skip


async def _configure(connection: Any) -> None:
    """If filters leave too few of the nearest pieces, the index continues to search and does not return fewer."""
    await connection.set_autocommit(True)
    await register_vector_async(connection)
    await connection.execute(f"SET hnsw.ef_search = {EF_SEARCH}")
    await connection.execute("SET hnsw.iterative_scan = strict_order")


@asynccontextmanager
async def connected(pool: Pool) -> AsyncIterator[Connection]:
    """A connection in autocommit. Unavailable (postgres) if there is none or it breaks; ApiError for bad values."""
    try:
        async with pool.connection() as connection:
            yield connection
    except (PoolTimeout, TooManyRequests) as error:
        raise Unavailable(f"PostgreSQL has no free connection: {error}", "postgres_unavailable") from error
    except psycopg.DataError as error:
        raise ApiError(f"a value cannot be stored: {error.diag.message_primary}") from error
    except BUSY as error:
        raise Unavailable("another writer holds the same artifacts; try again", "busy") from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"PostgreSQL does not answer: {error}".strip(), "postgres_unavailable") from error


async def ping(pool: Pool) -> None:
    """Raises if PostgreSQL does not answer within PING seconds."""
    async with asyncio.timeout(PING), pool.connection(timeout=PING) as connection:
        await connection.execute("SELECT 1")
