"""Addresses that the machine uses."""

from __future__ import annotations

from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """`range`: addresses in CIDR form, or one address. `what` uses them, in words for a sentence."""

    range: str
    what: str
