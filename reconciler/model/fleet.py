"""The machines that are reached from a laptop."""

from __future__ import annotations

from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class RemoteHost:
    """One machine. `ssh`: the destination for ssh. The other fields are '' if they are not set."""

    name: str
    ssh: str
    address: str = ""
    repository: str = ""
    branch: str = "main"
    user: str = ""
    program: str = ""
