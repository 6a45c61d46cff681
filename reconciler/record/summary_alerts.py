"""The Alerts document, and how it is read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from reconciler.model.alerts import RULES, Alert, Finding
from reconciler.model.times import instant
from reconciler.record.contract import Document, document, moment


def alerts(items: Iterable[Alert], at: float | None) -> Document:
    """The Alerts document. `at`: when the monitor looked last."""
    return document("Alerts") | {"evaluatedAt": moment(at), "alerts": [_alert(item) for item in items]}


def _alert(value: Alert) -> Document:
    finding = value.finding
    return {
        "name": finding.name,
        "stack": finding.stack,
        "service": finding.service,
        "about": finding.about or None,
        "since": moment(value.since),
        "message": finding.message,
        "value": None if finding.value is None else round(finding.value, 4),
        "threshold": finding.threshold,
    }


def read(found: Mapping[str, Any]) -> Iterator[Alert]:
    """The alerts of a document; entries in any other form are left out."""
    items = found.get("alerts")
    for item in items if isinstance(items, list) else ():
        try:
            name, told, since = (item[key] for key in ("name", "message", "since"))
            stack, service, about = (item[key] for key in ("stack", "service", "about"))
            if name in RULES and all(isinstance(text, str | None) for text in (stack, service, about)):
                yield Alert(Finding(name, str(told), stack, service, about or ""), instant(since))
        except (LookupError, TypeError, ValueError):
            continue
