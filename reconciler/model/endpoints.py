"""Endpoints: addresses of services that the monitor asks whether they answer. Times are seconds of the Unix epoch."""

from __future__ import annotations

from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Watched:
    """An endpoint of a service that should run. `granted`: the operator allows its address, wherever it leads.
    Otherwise the monitor asks it only while a container of ours has published its port."""

    stack: str
    service: str
    url: str
    granted: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`fault`: why it counts as down; '' if it answers. `expires`: when its certificate ends; None: it has none, or it
    is not known."""

    fault: str = ""
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """The result of a question at `at`. `since`: since when the endpoint answers, or does not."""

    watched: Watched
    answer: Answer
    at: float
    since: float
