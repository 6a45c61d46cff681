"""Makes objects at their first use, so that a turn without changes never imports their modules."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def later(make: Callable[[], Part]) -> Part:
    """The object that `make` returns, made when its first method is called."""
    return cast(Part, _Later(make))


class _Later:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
