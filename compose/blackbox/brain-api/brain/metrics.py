"""The metrics at /metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

requests = Counter("brain_http_requests_total", "Requests answered", ("method", "route", "status"))
seconds = Histogram("brain_http_request_seconds", "Time to the answer", ("method", "route"), buckets=_FAST)
embedded = Counter("brain_embedded_texts_total", "Texts embedded")
embedding_seconds = Histogram("brain_embedding_seconds", "Time of one batch", ("purpose",), buckets=_FAST)
ingested = Counter("brain_ingested_artifacts_total", "Artifacts taken in", ("result",))
model_calls = Counter("brain_model_calls_total", "Calls of the language model", ("outcome",))
up = Gauge("brain_dependency_up", "1 where the database or model answers", ("dependency",))
graph_pending = Gauge("brain_graph_pending", "Artifacts whose node in Neo4j is not yet as it should be")
embeddings_pending = Gauge("brain_embeddings_pending", "Pieces that have no embedding of the current model yet")
pool_waiting = Gauge("brain_pool_requests_waiting", "Requests that wait for a connection to PostgreSQL")
pool_size = Gauge("brain_pool_connections", "Connections to PostgreSQL")
