"""Loads modules that only a commit needs, and asks Compose for its version, while a push arrives and git fetches it."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import import_module

from reconciler.errors import ReconcilerError
from reconciler.observe.binary import compose_version

MODULES = (
    "gitdb",
    "reconciler.decide.read.host",
    "reconciler.decide.read.scan",
    "reconciler.decide.admit.admit",
    "reconciler.loop.advance",
    "reconciler.decide.lower.lower",
    "reconciler.observe.images",
    "reconciler.observe.engine",
    "reconciler.act.engine",
    "reconciler.act.compose",
)
"""In the order in which a new commit needs them. Each imports what it needs; loading all takes 0.3 s of a core."""


def preload(compose: str | None = None) -> None:
    """Begin to load MODULES in a thread. Code that needs one of them meanwhile waits for that module only. `compose`:
    path of the binary."""
    threading.Thread(target=_load, name="preload", daemon=True).start()
    if compose is not None:
        threading.Thread(target=_ask, args=(compose,), name="compose-version", daemon=True).start()


def _load() -> None:
    for name in MODULES:
        import_module(name)


def _ask(compose: str) -> None:
    with suppress(ReconcilerError):  # the renderer reports it
        compose_version(compose)
