"""Makes objects at their first use, so that a turn without changes never imports their modules; names the command that
installs optional libraries."""

from __future__ import annotations

import functools
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

Part = TypeVar("Part")


def later(make: Callable[[], Part]) -> Part:
    """The object that `make` returns, made when its first method is called."""
    return cast(Part, _Later(make))


def extra(name: str) -> str:
    """The command that installs the libraries of this extra of pyproject.toml beside this program.

    It names the Python that runs: in another environment pip would install another program, because on PyPI the name
    `reconciler` belongs to somebody else.
    """
    return shlex.join([sys.executable, "-m", "pip", "install", f"reconciler[{name}]"])


class _Later:
    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = functools.cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
