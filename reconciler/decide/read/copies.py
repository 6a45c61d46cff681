"""Sizes of services with `extends`: Compose copies the extended service into each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from reconciler.decide.read.places import ServiceIn

Extends = Mapping[ServiceIn, ServiceIn]
Size = Callable[[ServiceIn], int]


def first_over(extends: Extends, size: Size, most: int) -> ServiceIn | None:
    """The service at which the sizes of all extending services exceed `most` together; None if they do not.

    `size` is the size of a service as written. Circles count once.
    """
    sizes: dict[ServiceIn, int] = {}
    total = 0
    for service in extends:
        total += _copied(service, extends, size, sizes)
        if total > most:
            return service
    return None


def _copied(start: ServiceIn, extends: Extends, size: Size, sizes: dict[ServiceIn, int]) -> int:
    chain: list[ServiceIn] = []
    here: ServiceIn | None = start
    while here is not None and here not in sizes:
        sizes[here] = 0  # so that a circle ends
        chain.append(here)
        here = extends.get(here)
    below = sizes[here] if here is not None else 0
    for service in reversed(chain):
        below += size(service)
        sizes[service] = below
    return sizes[start]
