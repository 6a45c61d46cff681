"""What would let a commit pass that is refused: what the operator writes on the host, or into the Host document."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.model.documents import BindGrant, Grant


@dataclass(frozen=True, slots=True)
class Export:
    """A stack lends what it owns to the others. `kind`: networks or volumes; `key`: its name below these."""

    stack: str
    kind: str
    key: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A stack uses a variable that nobody has set."""

    stack: str
    name: str


Need = Grant | BindGrant | Export | Variable
