"""Work in a thread of its own during a `with` block."""

from __future__ import annotations

import threading
from typing import Self


class Meanwhile:
    """`_run` starts with the block. `_stopped` is set at the end of the block; then `_run` must return soon."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        raise NotImplementedError
