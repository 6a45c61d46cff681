"""The systems that can be set up. Each part is a module with these functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from reconciler.bootstrap import linux, mac
from reconciler.bootstrap.model import Bundle, Lines, Plan, Wanted
from reconciler.bootstrap.places import Places


class Part(Protocol):
    """`script`: of the facts, for sh as root; it changes nothing. `read`: its output as facts, a value of the part's
    own with `have` (`places.Have`). `python`: major and minor version of the Python that the program gets there."""

    def places(self, wanted: Wanted) -> Places: ...

    def script(self, wanted: Wanted) -> str: ...

    def read(self, lines: Lines) -> Any: ...

    def python(self, facts: Any) -> tuple[int, int]: ...

    def plan(self, facts: Any, wanted: Wanted, bundle: Bundle) -> Plan: ...


PARTS: Mapping[str, Part] = {"Linux": linux, "Darwin": mac}
"""By the name that `uname -s` says."""
