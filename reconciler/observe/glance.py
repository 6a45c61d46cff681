"""The one list that a turn with nothing to do asks for, without the engine's library: it is half of the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from reconciler.engine import containers_of
from reconciler.model.observed import ObservedState
from reconciler.observe.containers import label_filter, listed_state


class Glance:
    """`loop.ports.Observer` whose `look` is cheap; for all else `full` is called once to make the real one.

    `address`: the engine's URL.
    """

    def __init__(self, address: str, full: Callable[[], Any]) -> None:
        self._address, self._full = address, full

    def look(self, stacks: Iterable[str]) -> ObservedState:
        wanted = frozenset(stacks)
        if not wanted:
            return ObservedState()
        answers = containers_of(self._address, label_filter(wanted))
        return listed_state(wanted, answers) if answers is not None else self._full().look(wanted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._full(), name)
