"""The links between artifacts in Neo4j: a copy of PostgreSQL's. The follower writes it, requests read it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import neo4j
from neo4j.exceptions import ClientError, DriverError, Neo4jError

from brain.embeddings import Model
from brain.errors import ApiError, NotFound, Unavailable
from brain.postgres import PING
from brain.schemas import Edge, Graph, Node
from brain.settings import Settings

LARGEST = 500
"""Most nodes of one answer."""

_NODE = "{.id, .path, .title, .kind}"
_DRAW = """
UNWIND $rows AS row
MERGE (a:Artifact {id: row.id})
SET a.path = row.path, a.title = row.title, a.kind = row.kind, a.tags = row.tags
WITH a, row
CALL (a, row) {
  WITH a, row.vector AS vector WHERE vector IS NOT NULL
  CALL db.create.setNodeVectorProperty(a, $property, vector)
}
CALL (a) { MATCH (a)-[old:LINKS]->() DELETE old }
WITH a, row UNWIND row.links AS link
MERGE (b:Artifact {id: link.id})
CREATE (a)-[:LINKS {kind: link.kind}]->(b)
"""
_FORGET = "UNWIND $ids AS id MATCH (a:Artifact {id: id}) DETACH DELETE a"
_START = f"MATCH (a:Artifact {{id: $id}}) RETURN a {_NODE} AS node"
_STEP = (
    "MATCH (a:Artifact)-[link:LINKS]-(b:Artifact) WHERE a.id IN $from AND NOT b.id IN $seen "
    f"AND ($kinds = [] OR link.kind IN $kinds) RETURN DISTINCT b {_NODE} AS node LIMIT $limit"
)
_BETWEEN = (
    "MATCH (a:Artifact)-[link:LINKS]->(b:Artifact) WHERE a.id IN $ids AND b.id IN $ids "
    "RETURN a.id AS source, b.id AS target, link.kind AS kind ORDER BY source, target, kind LIMIT 5000"
)
_PATH = f"""
MATCH (a:Artifact {{id: $from}}), (b:Artifact {{id: $to}})
MATCH way = shortestPath((a)-[:LINKS*..%d]-(b))
RETURN [node IN nodes(way) | node {_NODE}] AS nodes,
       [link IN relationships(way) | {{source: startNode(link).id, target: endNode(link).id, kind: link.kind}}] AS edges
"""
_WORDS = (
    "CALL db.index.fulltext.queryNodes('artifact_words', $words, {limit: $limit}) YIELD node, score "
    f"RETURN node {_NODE} AS node, score ORDER BY score DESC"
)
_NEAREST = (
    "CALL db.index.vector.queryNodes($index, $limit, $vector) YIELD node, score "
    f"RETURN node {_NODE} AS node, score ORDER BY score DESC"
)
_LUCENE = str.maketrans({char: f"\\{char}" for char in '+-&|!(){}[]^"~*?:\\/'})


class GraphStore:
    def __init__(self, settings: Settings) -> None:
        self._driver = neo4j.AsyncGraphDatabase.driver(
            settings.neo4j_url, auth=("neo4j", settings.neo4j_password), max_connection_pool_size=settings.pool_size,
            connection_timeout=3, connection_acquisition_timeout=3, max_transaction_retry_time=5,
            liveness_check_timeout=30, notifications_min_severity="OFF",
        )  # fmt: skip

    async def close(self) -> None:
        await self._driver.close()

    async def ping(self) -> None:
        """Raises if Neo4j does not answer within PING seconds."""
        async with asyncio.timeout(PING):
            await self._driver.execute_query("RETURN 1")

    async def draw(self, rows: Sequence[Mapping[str, Any]], gone: Sequence[str], property_name: str) -> None:
        """Write these nodes and their outgoing links as given, and delete the nodes `gone`. Twice is harmless."""
        if gone:
            await self._run(_FORGET, ids=list(gone))
        if rows:
            await self._run(_DRAW, rows=list(rows), property=property_name)

    async def neighbours(self, identity: UUID, depth: int, kinds: Sequence[str]) -> Graph:
        """The artifacts up to `depth` links away from this one, in either direction, and all links among them."""
        records = await self._run(_START, id=str(identity))
        if not records:
            raise NotFound(f"the graph has no artifact {identity} (a new one takes a moment)")
        return await self._spread({str(identity): Node(**records[0]["node"], distance=0)}, depth, kinds)

    async def path(self, start: UUID, end: UUID, longest: int) -> Graph:
        """The shortest path between two artifacts. NotFound if there is none of at most `longest` links."""
        if start == end:
            raise ApiError("a path needs two artifacts")
        records = await self._run(_PATH % longest, **{"from": str(start), "to": str(end)})
        if not records:
            raise NotFound(f"no path of at most {longest} links leads from {start} to {end}")
        nodes = [Node(**node, distance=distance) for distance, node in enumerate(records[0]["nodes"])]
        return Graph(nodes=nodes, edges=[Edge(**edge) for edge in records[0]["edges"]])

    async def words(self, words: str, limit: int) -> Graph:
        """Artifacts whose titles or paths have these words."""
        records = await self._run(_WORDS, words=words.translate(_LUCENE), limit=limit)
        return Graph(nodes=[Node(**record["node"], score=record["score"]) for record in records], edges=[])

    async def around(self, model: Model, vector: Sequence[float], limit: int, depth: int) -> Graph:
        """The artifacts nearest to `vector`, and those up to `depth` links away from them."""
        records = await self._run(_NEAREST, index=model.graph_index, limit=limit, vector=list(vector))
        nodes = {record["node"]["id"]: Node(**record["node"], score=record["score"], distance=0) for record in records}
        return await self._spread(nodes, depth, ())

    async def _spread(self, nodes: dict[str, Node], depth: int, kinds: Sequence[str]) -> Graph:
        """These nodes, those up to `depth` links away from any of them, and all links among them."""
        edge = list(nodes)
        for distance in range(1, depth + 1):
            values = {"from": edge, "seen": list(nodes), "kinds": list(kinds), "limit": LARGEST - len(nodes)}
            found = [record["node"] for record in await self._run(_STEP, **values)]
            nodes |= {node["id"]: Node(**node, distance=distance) for node in found}
            edge = [node["id"] for node in found]
        return await self._linked(list(nodes.values()))

    async def _linked(self, nodes: list[Node]) -> Graph:
        records = await self._run(_BETWEEN, ids=[str(node.id) for node in nodes])
        return Graph(nodes=nodes, edges=[Edge(**record) for record in records])

    async def _run(self, query: str, **values: Any) -> list[dict[str, Any]]:
        """Unavailable (neo4j) if Neo4j does not answer."""
        try:
            async with asyncio.timeout(20):
                result = await self._driver.execute_query(query, parameters_=values)
        except ClientError as error:
            raise ApiError(f"Neo4j refuses this: {error.message}") from error
        except (DriverError, Neo4jError, OSError, TimeoutError) as error:
            raise Unavailable(f"Neo4j does not answer: {error or type(error).__name__}", "neo4j_unavailable") from error
        return [record.data() for record in result.records]
