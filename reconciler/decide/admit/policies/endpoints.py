"""Addresses that the monitor asks. It runs on the host, and reaches what containers cannot reach."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.decide.admit.budget import replicas
from reconciler.decide.admit.policies.subject import Finding, ServiceSubject, Subject
from reconciler.decide.mounts.canonical import published_ports
from reconciler.formats.compose_names import SETTINGS
from reconciler.formats.endpoints import parse
from reconciler.model.ports import Port

RULE, KEY = "endpoint", "endpoint"


def findings(service: ServiceSubject) -> Iterator[Finding]:
    """An endpoint that leads to no port that the commit itself publishes."""
    written = (service.model.get(SETTINGS) or {}).get(KEY)
    if not written:
        return
    address = parse(str(written))
    if address.door(_published(service.of)) is None:
        what = f"endpoint {written} is no port that this commit publishes"
        yield service.finding(RULE, (SETTINGS, KEY), what, value=address.origin)


def _published(subject: Subject) -> Iterator[Port]:
    for stack in subject.host or (subject,):
        for service in stack.services():
            if replicas(service.model):
                yield from published_ports(service.model)
