"""What would let a denied commit pass: entries that the operator writes on the host, or into the Host document."""

from __future__ import annotations

from reconciler.model.documents import BindGrant, Grant
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Export:
    """A stack shares an object that it owns with the others. `kind`: networks or volumes; `key`: its name below
    these."""

    stack: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A stack uses a variable without a value."""

    stack: str
    name: str


Need = Grant | BindGrant | Export | Variable
