"""The model in use and the table of its vectors. Both are checked before anything is written or searched."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy
import psycopg
from psycopg import sql

from brain.embedding import Embedder, Vectors
from brain.errors import ApiError, Unavailable
from brain.postgres import Pool, connected
from brain.settings import Settings

ORDINARY = "one dimension from model to column"
"""A text that no model refuses, for the check."""

_log = logging.getLogger("brain.embeddings")


@dataclass(frozen=True, slots=True)
class Model:
    """A registered model. Its vectors are in `table`; Neo4j's nodes have one each in the property `node_property`."""

    id: int
    name: str
    dimensions: int

    @property
    def table(self) -> sql.Identifier:
        return sql.Identifier(f"embeddings_{self.id}")

    @property
    def node_property(self) -> str:
        return f"embedding_{self.id}"

    @property
    def graph_index(self) -> str:
        return f"artifact_embeddings_{self.id}"


class Embeddings:
    """The embedder and its registered model. `check` compares the two before they are used."""

    def __init__(self, settings: Settings, pool: Pool, embedder: Embedder | None, problem: str = "") -> None:
        """`problem`: why there is no embedder."""
        self._settings, self._pool, self._embedder = settings, pool, embedder
        self._model: Model | None = None
        self.problem = problem or "not checked yet"

    @property
    def model(self) -> Model:
        """Unavailable (embeddings) until the check has passed."""
        if self._model is None:
            raise Unavailable(f"no embeddings: {self.problem}", "embeddings_unavailable")
        return self._model

    async def check(self) -> bool:
        """Whether model, setting and column have the same dimension; if not, `problem` says what differs."""
        if self._embedder is None or self._model is not None:
            return self._model is not None
        try:
            self._model = await self._fitting(self._embedder)
        except (ApiError, psycopg.Error, ValueError) as error:
            self.problem = str(error)
        if self._model:
            self.problem = ""
            _log.info("embeddings", extra={"fields": {"model": self._model.name, "id": self._model.id}})
        return self._model is not None

    async def _fitting(self, embedder: Embedder) -> Model:
        name, dimensions = self._settings.embedding_model, self._settings.embedding_dimensions
        given = len(await embedder.query(ORDINARY))
        if given != dimensions:
            raise ValueError(f"{name} gives vectors of {given} dimensions, EMBEDDING_DIMENSIONS is {dimensions}")
        async with connected(self._pool) as connection:
            registered = "SELECT id FROM embedding_models WHERE name = %s AND dimensions = %s"
            row = await (await connection.execute(registered, (name, dimensions))).fetchone()
            if row is None:
                raise ValueError(f"{name} with {dimensions} dimensions is not registered: the migration has not run")
            column = (
                "SELECT atttypmod AS dimensions FROM pg_attribute "
                "WHERE attrelid = to_regclass(%s) AND attname = 'embedding'"
            )
            found = await (await connection.execute(column, (f"embeddings_{row['id']}",))).fetchone()
        if found is None or found["dimensions"] != dimensions:
            has = found["dimensions"] if found else "no"
            raise ValueError(f"embeddings_{row['id']} has {has} dimensions, {name} has {dimensions}")
        return Model(row["id"], name, dimensions)

    async def documents(self, texts: list[str]) -> Vectors:
        """Unavailable (embeddings) if the model does not answer; Refused if it refuses one of the texts."""
        embedder = self._ready()
        return await embedder.documents(texts) if texts else numpy.empty((0, self.model.dimensions), numpy.float32)

    async def query(self, text: str = ORDINARY) -> Vectors:
        return await self._ready().query(text)

    def _ready(self) -> Embedder:
        if self._embedder is None or self._model is None:
            raise Unavailable(f"no embeddings: {self.problem}", "embeddings_unavailable")
        return self._embedder

    async def close(self) -> None:
        if self._embedder:
            await self._embedder.close()
