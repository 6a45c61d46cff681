"""The little that a turn with nothing to do asks for, without the engine's library: it is half of the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from reconciler.engine import containers_of, plain_inspect
from reconciler.model.images import ImageDefaults, defaults_of
from reconciler.model.observed import Container, ObservedState
from reconciler.observe.containers import inspected, label_filter, listed_state


class QuickObserver:
    """`loop.ports.Observer` that looks and compares cheaply; for all else `full` is called once to make the real one.

    `address`: the engine's URL.
    """

    def __init__(self, address: str, full: Callable[[], Any]) -> None:
        self._address, self._full = address, full
        self._images: dict[str, ImageDefaults] = {}

    def look(self, stacks: Iterable[str]) -> ObservedState:
        wanted = frozenset(stacks)
        if not wanted:
            return ObservedState()
        answers = containers_of(self._address, label_filter(wanted))
        return listed_state(wanted, answers) if answers is not None else self._full().look(wanted)

    def details(self, ids: Iterable[str]) -> Mapping[str, Container]:
        wanted, found = list(ids), {}
        for container in wanted:
            known, answer = plain_inspect(self._address, "containers", container)
            # What runs without a limit has to be measured.
            if not known or (answer is not None and not answer["HostConfig"].get("Memory")):
                full: Mapping[str, Container] = self._full().details(wanted)
                return full
            if answer is not None:
                found[answer["Id"]] = inspected(answer)
        return found

    def defaults(self, images: Iterable[str]) -> Mapping[str, ImageDefaults]:
        """Each is asked for once: an id is its content."""
        wanted = list(dict.fromkeys(images))
        for image in wanted:
            if image not in self._images:
                known, answer = plain_inspect(self._address, "images", image)
                if not known:
                    full: Mapping[str, ImageDefaults] = self._full().defaults(wanted)
                    return full
                if answer is not None:
                    self._images[image] = defaults_of(answer)
        return {image: self._images[image] for image in wanted if image in self._images}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._full(), name)
