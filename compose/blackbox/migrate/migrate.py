"""Migrates both databases to the schema that the programs of this commit need. It may run again at any time.

Steps only add. So the programs of the commit before continue to work, and a rollback need not touch the data.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import neo4j
import psycopg
from neo4j.exceptions import ServiceUnavailable
from psycopg import sql

HERE = Path(__file__).parent
PATIENCE = 60.0
"""Seconds to wait for a database that does not answer yet."""

LOCK = 7105
"""Key of the advisory lock: of two migrations at once, one waits for the other."""


def main() -> None:
    with _postgres() as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        _tables(connection)
        model, dimensions = _register(
            connection, os.environ["EMBEDDING_MODEL"], int(os.environ["EMBEDDING_DIMENSIONS"])
        )
    with _neo4j() as driver:
        _graph(driver, model, dimensions)
    print("both databases are as this commit needs them", flush=True)


def _tables(connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "name text PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
    )
    applied: dict[str, str] = dict(connection.execute("SELECT name, digest FROM schema_migrations").fetchall())
    for path in sorted((HERE / "postgres").glob("*.sql")):
        text = path.read_text()
        digest = hashlib.sha256(text.encode()).hexdigest()
        if path.name not in applied:
            with connection.transaction():
                connection.execute(text.encode())
                connection.execute("INSERT INTO schema_migrations (name, digest) VALUES (%s, %s)", (path.name, digest))
            print(f"postgres: {path.name} applied", flush=True)
        elif applied[path.name] != digest:
            sys.exit(f"postgres: {path.name} was applied in another form. Take the edit back and add a new file.")


def _register(connection: psycopg.Connection, name: str, dimensions: int) -> tuple[int, int]:
    """The model's number and its dimensions. A new model gets its own table; then brain-api embeds everything again
    into it. The vectors of the old model stay."""
    values = (name, dimensions)
    with connection.transaction():
        connection.execute(
            "INSERT INTO embedding_models (name, dimensions) VALUES (%s, %s) ON CONFLICT DO NOTHING", values
        )
        query = "SELECT id FROM embedding_models WHERE name = %s AND dimensions = %s"
        row = connection.execute(query, values).fetchone()
        assert row is not None
        names = {
            "table": sql.Identifier(f"embeddings_{row[0]}"),
            "index": sql.Identifier(f"embeddings_{row[0]}_nearest"),
        }
        for statement in (
            "CREATE TABLE IF NOT EXISTS {table} (chunk_id bigint PRIMARY KEY REFERENCES chunks ON DELETE CASCADE, "
            f"embedding vector({dimensions}) NOT NULL)",
            "CREATE INDEX IF NOT EXISTS {index} ON {table} USING hnsw (embedding vector_cosine_ops) "
            "WITH (m = 16, ef_construction = 128)",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO brain",
        ):
            connection.execute(sql.SQL(statement).format(**names))
    print(f"postgres: {name} with {dimensions} dimensions is model {row[0]}", flush=True)
    return int(row[0]), dimensions


def _graph(driver: neo4j.Driver, model: int, dimensions: int) -> None:
    for path in sorted((HERE / "neo4j").glob("*.cypher")):
        for statement in _statements(path.read_text()):
            driver.execute_query(statement)
    driver.execute_query(
        f"CREATE VECTOR INDEX artifact_embeddings_{model} IF NOT EXISTS FOR (a:Artifact) ON (a.embedding_{model}) "
        f"OPTIONS {{indexConfig: {{`vector.dimensions`: {dimensions}, `vector.similarity_function`: 'cosine'}}}}"
    )
    driver.execute_query("CALL db.awaitIndexes(300)")
    print("neo4j: constraints and indexes are online", flush=True)


def _statements(text: str) -> Iterator[str]:
    """The statements of a Cypher file. Each ends with ';' at the end of a line."""
    plain = re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE)
    yield from (part.strip() for part in re.split(r";\s*$", plain, flags=re.MULTILINE) if part.strip())


def _postgres() -> psycopg.Connection:
    password = _secret("postgres_brain_owner")
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return psycopg.connect(
                host=os.environ["POSTGRES_HOST"], dbname="brain", user="brain_owner", password=password,
                autocommit=True, connect_timeout=5, application_name="migrate",
            )  # fmt: skip
        except psycopg.OperationalError as error:
            if time.monotonic() > deadline:
                sys.exit(f"postgres: {error}")
            time.sleep(1)


def _neo4j() -> neo4j.Driver:
    driver = neo4j.GraphDatabase.driver(os.environ["NEO4J_URL"], auth=("neo4j", _secret("neo4j_password")))
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            driver.verify_connectivity()
            return driver
        except ServiceUnavailable as error:
            if time.monotonic() > deadline:
                sys.exit(f"neo4j: {error}")
            time.sleep(1)


def _secret(name: str) -> str:
    return Path("/run/secrets", name).read_text().strip()


if __name__ == "__main__":
    main()
