"""Turns text into vectors of length 1. No other part of the stack does this."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import httpx
import numpy
import onnxruntime
from tokenizers import Tokenizer

from brain import metrics
from brain.errors import Refused, Unavailable
from brain.settings import Settings

Vectors = numpy.ndarray
"""float32, one row per text."""

REFUSES = frozenset({400, 413, 422})
"""Status codes that mean that the texts are at fault: trying again does not help."""

BATCH = 8
"""Texts per run of the model. More are hardly faster on two cores, and a query would wait longer."""

_log = logging.getLogger("brain.embedding")


class Embedder(Protocol):
    async def documents(self, texts: Sequence[str]) -> Vectors:
        """Vectors of the texts to be stored. Unavailable (embeddings) if the model does not answer; Refused."""
        ...

    async def query(self, text: str) -> Vectors:
        """The vector of a search text. It does not wait for documents that are being embedded."""
        ...

    async def close(self) -> None: ...


def embedder(settings: Settings) -> Embedder:
    """ValueError if the settings name another model than the image has."""
    if settings.embedding_url:
        return RemoteEmbedder(settings)
    about = json.loads((settings.model_folder / "model.json").read_text())
    if about["name"] != settings.embedding_model:
        raise ValueError(f"EMBEDDING_MODEL is {settings.embedding_model}, the image has {about['name']}")
    return LocalEmbedder(settings.model_folder, about["max_tokens"])


class LocalEmbedder:
    """The model in the image. One thread embeds documents, another one queries, so that queries do not wait."""

    def __init__(self, folder: Path, max_tokens: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # The arena would keep as much memory as the longest batch ever needed.
        options.enable_cpu_mem_arena = False
        model = str(folder / "model.onnx")
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.enable_padding()
        self._threads = {
            "documents": ThreadPoolExecutor(1, "documents", initializer=_give_way),
            "query": ThreadPoolExecutor(1, "query"),
        }

    async def documents(self, texts: Sequence[str]) -> Vectors:
        # Sorted by length: each text of a batch is padded to the longest one.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        parts = []
        for start in range(0, len(order), BATCH):
            parts.append(await self._run("documents", [texts[number] for number in order[start : start + BATCH]]))
        result = numpy.concatenate(parts) if parts else numpy.empty((0, 0), numpy.float32)
        back: Vectors = numpy.empty_like(result)
        back[order] = result
        return back

    async def query(self, text: str) -> Vectors:
        vector: Vectors = (await self._run("query", [text]))[0]
        return vector

    async def _run(self, purpose: str, texts: Sequence[str]) -> Vectors:
        with metrics.embedding_seconds.labels(purpose).time():
            loop = asyncio.get_running_loop()
            vectors = await loop.run_in_executor(self._threads[purpose], self._compute, list(texts))
        metrics.embedded.inc(len(texts))
        return vectors

    def _compute(self, texts: list[str]) -> Vectors:
        encoded = self._tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": numpy.array([item.ids for item in encoded], numpy.int64),
            "attention_mask": numpy.array([item.attention_mask for item in encoded], numpy.int64),
        }
        result: Vectors = self._session.run(None, inputs)[0]
        return result

    async def close(self) -> None:
        for thread in self._threads.values():
            thread.shutdown(wait=False, cancel_futures=True)


def _give_way() -> None:
    """Lower the priority of this thread alone: clients wait for the other threads."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


class RemoteEmbedder:
    """An endpoint that speaks OpenAI's `POST /embeddings`."""

    def __init__(self, settings: Settings) -> None:
        headers = {"Authorization": f"Bearer {settings.embedding_key}"} if settings.embedding_key else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=30)
        self._url = f"{settings.embedding_url}/embeddings"
        self._model = settings.embedding_model

    async def documents(self, texts: Sequence[str]) -> Vectors:
        parts = [await self._ask("documents", texts[start : start + 64]) for start in range(0, len(texts), 64)]
        return numpy.concatenate(parts) if parts else numpy.empty((0, 0), numpy.float32)

    async def query(self, text: str) -> Vectors:
        vector: Vectors = (await self._ask("query", [text]))[0]
        return vector

    async def _ask(self, purpose: str, texts: Sequence[str]) -> Vectors:
        body = {"model": self._model, "input": list(texts), "encoding_format": "float"}
        try:
            with metrics.embedding_seconds.labels(purpose).time():
                answer = await self._client.post(self._url, json=body)
            if answer.status_code in REFUSES:
                raise Refused(f"the embedding endpoint refuses a text with status {answer.status_code}")
            answer.raise_for_status()
            rows = sorted(answer.json()["data"], key=lambda row: row["index"])
            vectors = numpy.array([row["embedding"] for row in rows], numpy.float32)
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the embedding endpoint gives no answer: {error}", "embeddings_unavailable") from error
        if vectors.ndim != 2 or len(vectors) != len(texts):
            raise Unavailable("the embedding endpoint answers with another number of rows", "embeddings_unavailable")
        metrics.embedded.inc(len(texts))
        unit: Vectors = vectors / numpy.maximum(numpy.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return unit

    async def close(self) -> None:
        await self._client.aclose()
