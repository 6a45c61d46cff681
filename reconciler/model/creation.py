"""The containers that one Compose call creates."""

from __future__ import annotations

from collections.abc import Mapping

from reconciler.model.desired import Service
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Creation:
    """`count` containers of `service`.

    `anonymous`: target → volume name, taken over from the predecessor. `sharing`: service → container id, for
    namespaces and volumes of another service's container. `name`: the first name of the container, if it is one; '':
    Compose's name.
    """

    service: Service
    count: int
    anonymous: Mapping[str, str]
    sharing: Mapping[str, str]
    name: str = ""
