"""A writer: it ingests all documents as fast as possible, then changes one batch of them every two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.stack.corpus import Document
from benchmarks.stack.load import Load

BATCH = 20
PATIENCE = 180.0
"""Most seconds for one batch: with few and busy cores, embedding it takes long."""


def run(load: Load) -> None:
    begun = time.monotonic()
    for batch in _batches(load.documents):
        _take_in(load, batch)
        if load.stop.is_set():
            return
    load.times["ingest of all documents"].append(time.monotonic() - begun)
    load.ingested.set()
    edition = 1
    while not load.stop.is_set():
        edition += 1
        for batch in _batches(load.documents):
            if load.pause(2.0):
                return
            _take_in(load, [{**item, "content": f"Edition {edition}.\n\n{item['content']}"} for item in batch])


def _batches(items: list[Document]) -> Iterator[list[Document]]:
    for start in range(0, len(items), BATCH):
        yield items[start : start + BATCH]


def _take_in(load: Load, batch: list[Document]) -> None:
    """Send the batch again and again until it is acknowledged."""
    begun = time.monotonic()
    while not (answer := load.ask("POST", "/api/v1/artifacts/batch", {"artifacts": batch}, PATIENCE)):
        if load.pause(1.0):
            return
    load.counts["documents taken in"] += len(answer["artifacts"])
    load.times["ingest of a batch"].append(time.monotonic() - begun)
