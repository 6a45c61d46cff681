"""Parts that a turn with nothing to do never uses: what they need is imported when they are used first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def later(make: Callable[[], Part]) -> Part:
    """What `make` returns, made when its first method is called."""
    return cast(Part, _Later(make))


class _Later:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
