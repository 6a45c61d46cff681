"""The systems that can be set up: a module for each, with the functions of `Part`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from reconciler.bootstrap import linux, mac
from reconciler.bootstrap.model import Bundle, Lines, Plan, Wanted
from reconciler.bootstrap.places import Places


class Part(Protocol):
    """One system. `script`: for sh as root; prints facts and changes nothing. `read`: facts from the script's output,
    of a class of the system's own that has `have` (`places.Have`). `python`: major and minor version of the Python that
    will run the program."""

    def places(self, wanted: Wanted) -> Places: ...

    def script(self, wanted: Wanted) -> str: ...

    def read(self, lines: Lines) -> Any: ...

    def python(self, facts: Any) -> tuple[int, int]: ...

    def plan(self, facts: Any, wanted: Wanted, bundle: Bundle) -> Plan: ...


PARTS: Mapping[str, Part] = {"Linux": linux, "Darwin": mac}
"""The output of `uname -s` → the system's module."""
