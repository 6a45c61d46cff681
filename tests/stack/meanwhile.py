"""Something that goes on in a thread of its own for as long as a block lasts."""

from __future__ import annotations

import threading
from typing import Self


class Meanwhile:
    """`_run` is called once the block is entered, and returns soon after `_stopped` is set, at the block's end."""

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
