"""Readers that search at a steady rate. The time of a search starts when it is due, so that it includes waiting."""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor

from benchmarks.stack.corpus import questions
from benchmarks.stack.load import Load

PER_SECOND = 5.0
READERS = 16


def run(load: Load) -> None:
    """Search until the end of the load. A search that is still due then counts with the time that it has waited."""
    asked = itertools.cycle(questions(load.documents))
    kinds = itertools.cycle(("semantic", "hybrid", "semantic", "around"))
    due = time.monotonic()
    with ThreadPoolExecutor(READERS) as readers:
        while not load.pause(max(0.0, due - time.monotonic())):
            readers.submit(_search, load, next(kinds), next(asked), due)
            due += 1 / PER_SECOND


def _search(load: Load, kind: str, question: str, due: float) -> None:
    path = "/api/v1/graph/around" if kind == "around" else f"/api/v1/search/{kind}"
    if load.stop.is_set() or load.ask("POST", path, {"query": question}):
        what = "graph" if kind == "around" else "search"
        phase = "after the ingest" if load.ingested.is_set() else "during the ingest"
        load.counts[f"{what} requests"] += 1
        load.times[f"{what} {phase}"].append(time.monotonic() - due)
