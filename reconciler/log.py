"""The log. loguru is loaded with the first line, because most short commands log nothing and loading it takes longer
than they do."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from loguru import Logger


class _Log:
    """Stands for loguru's logger."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._prepare: Callable[[Logger], None] | None = None

    def prepare(self, prepare: Callable[[Logger], None]) -> None:
        """`prepare` sets up the logger: now if loguru is loaded, else before the first line."""
        with self._lock:
            self._prepare = prepare
        if "loguru" in sys.modules:
            self._logger()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._logger(), name)

    def _logger(self) -> Logger:
        from loguru import logger as real

        with self._lock:
            if self._prepare is not None:
                prepare, self._prepare = self._prepare, None
                prepare(real)
        return real


_log = _Log()
prepare = _log.prepare
logger = cast("Logger", _log)
