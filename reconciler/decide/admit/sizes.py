"""Compares sizes that programs are told to use with the sizes that the engine allows. Reports only what is certain."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from reconciler.decide.admit.budget import service_memory
from reconciler.decide.admit.policies.subject import Finding, Json, ServiceSubject
from reconciler.formats.quantities import QuantityError, shown, size
from reconciler.model.documents import MIB

_JVM_OPTIONS = ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS")
_JVM_HEAP = re.compile(r"(?:^|\s)-Xmx(\d+[kmgKMG]?)(?=\s|$)")
_NODE_HEAP = re.compile(r"--max[-_]old[-_]space[-_]size=(\d+)")
_NEO4J_HEAP = re.compile(r"(?i)NEO4J_(?:server|dbms)_memory_heap_max__size")
_NEO4J_PAGES = re.compile(r"(?i)NEO4J_(?:server|dbms)_memory_pagecache_size")
_NEO4J_CLIENT = ("NEO4J_URI", "NEO4J_URL", "NEO4J_USER", "NEO4J_USERNAME", "NEO4J_PASSWORD")
_POSTGRES_IMAGES = ("postgres", "pgvector/pgvector", "postgis/postgis")
_POSTGRES_TUNING = re.compile(
    r"POSTGRES_(SHARED_BUFFERS|WORK_MEM|MAINTENANCE_WORK_MEM|EFFECTIVE_CACHE_SIZE|MAX_CONNECTIONS|WAL_BUFFERS|"
    r"MAX_WAL_SIZE|MIN_WAL_SIZE|CHECKPOINT_\w+|RANDOM_PAGE_COST|MAX_WORKER_PROCESSES|MAX_PARALLEL_WORKERS\w*)"
)


def findings(service: ServiceSubject) -> Iterator[Finding]:
    """Heaps and shared memory above the limit, and settings that the official images ignore or refuse."""
    environment: Mapping[str, str] = {
        name: str(value) for name, value in (service.model.get("environment") or {}).items() if value is not None
    }
    limit = service_memory(service.model, 0)[0]
    if limit:
        for name, wanted in _heaps(environment):
            if wanted >= limit:
                what = f"{name} asks for {shown(wanted)}, the limit is {shown(limit)}"
                yield service.finding("heap-over-limit", ("environment", name), what)
        shared = _bytes(service.model.get("shm_size"))
        if shared > limit:
            what = f"shm_size is {shown(shared)}, the limit is {shown(limit)}"
            yield service.finding("shm-over-limit", ("shm_size",), what)
    yield from _settings(service, environment)


def _heaps(environment: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Variable → bytes that its program allocates before it refuses or frees anything."""
    for name, value in environment.items():
        found = _JVM_HEAP.findall(value) if name in _JVM_OPTIONS else ()
        if found:
            yield name, _bytes(found[-1])
        if name == "NODE_OPTIONS" and (megabytes := _NODE_HEAP.findall(value)):
            yield name, int(megabytes[-1]) * MIB
    heap = next((name for name in environment if _NEO4J_HEAP.fullmatch(name)), None)
    pages = next((name for name in environment if _NEO4J_PAGES.fullmatch(name)), None)
    if heap:
        yield heap, _bytes(environment[heap]) + (_bytes(environment[pages]) if pages else 0)


def _settings(service: ServiceSubject, environment: Mapping[str, str]) -> Iterator[Finding]:
    image = _image(service.model)
    for name in sorted(environment):
        if image == "neo4j" and name in _NEO4J_CLIENT:
            yield service.finding("refused-setting", ("environment", name), f"{name} becomes a setting of Neo4j's")
        elif image in _POSTGRES_IMAGES and _POSTGRES_TUNING.fullmatch(name) and not _mentioned(service.model, name):
            yield service.finding("unread-setting", ("environment", name), f"{name} is read by nobody")


def _image(service: Json) -> str:
    """Name of an official or well-known image without registry, tag and digest; empty if the commit builds it."""
    if service.get("build"):
        return ""
    parts = str(service.get("image") or "").partition("@")[0].split("/")
    if len(parts) > 1 and (set(parts[0]) & {".", ":"} or parts[0] == "localhost"):
        del parts[0]
    if len(parts) > 1 and parts[0] == "library":
        del parts[0]
    return "/".join(parts).partition(":")[0]


def _mentioned(service: Json, variable: str) -> bool:
    """Whether a command contains the variable, and so may read it itself."""
    return variable in f"{service.get('command')}{service.get('entrypoint')}"


def _bytes(value: object) -> int:
    """The size in bytes; 0 if it is no size, which is then not judged."""
    try:
        return size(str(value))
    except QuantityError:
        return 0
