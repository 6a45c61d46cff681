"""recall@10: the share of an exact search's ten results that the index finds. Computed in brain-api's container."""

from __future__ import annotations

import json

from benchmarks.stack.corpus import questions
from benchmarks.stack.load import Load

SCRIPT = """
import asyncio, json, sys
import psycopg
from brain.embedding import embedder
from brain.postgres import EF_SEARCH
from brain.settings import Settings
from pgvector.psycopg import register_vector
settings = Settings.from_environment()
connection = psycopg.connect(host=settings.postgres_host, dbname="brain", user="brain",
                             password=settings.postgres_password, autocommit=True)
register_vector(connection)
model = embedder(settings)
def nearest(vector, exact):
    with connection.transaction():
        connection.execute(f"SET LOCAL enable_{'indexscan' if exact else 'seqscan'} = off")
        connection.execute(f"SET LOCAL enable_{'bitmapscan' if exact else 'sort'} = off")
        connection.execute(f"SET LOCAL hnsw.ef_search = {EF_SEARCH}")
        query = "SELECT chunk_id FROM embeddings_1 ORDER BY embedding <=> %s LIMIT 10"
        plan = str(connection.execute(f"EXPLAIN {query}", (vector,)).fetchall())
        assert ("embeddings_1_nearest" in plan) == (not exact), plan
        return {row[0] for row in connection.execute(query, (vector,)).fetchall()}
found = []
for question in json.load(sys.stdin):
    vector = asyncio.run(model.query(question))
    found.append(len(nearest(vector, True) & nearest(vector, False)) / 10)
print(sum(found) / len(found))
"""


def recall(load: Load, count: int = 100) -> float:
    """Mean over `count` questions, between 0 and 1."""
    asked = json.dumps(questions(load.documents)[:count])
    script = f"cat >/tmp/questions <<'EOF'\n{asked}\nEOF\npython - 3</tmp/questions <<'EOF'\n"
    script += SCRIPT.replace("sys.stdin", "open(3)") + "\nEOF\nrm /tmp/questions"
    return float(load.stack.host.exec("brain-api-1", script).splitlines()[-1])
