"""The documents of the contract as text for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from reconciler.record.text.layout import Style, paragraph

__all__ = ["Style", "error", "render"]

Json = Mapping[str, Any]

_KINDS = {
    "Init": "init",
    "Validation": "validation",
    "Plan": "plan",
    "PolicyUse": "policy_use",
    "Turn": "turn",
    "Status": "status",
    "History": "history",
    "Request": "request",
    "Doctor": "doctor",
    "Hooks": "hooks",
    "Install": "install",
    "Key": "key",
    "Preview": "preview",
    "Upgrade": "upgrade",
    "Fleet": "fleet",
    "NetTest": "net_test",
    "Alerts": "alerts",
    "NotifyTest": "notify_test",
    "Bootstrap": "bootstrap",
    "LogExport": "log_export",
}
"""Kind → function."""

_MODULES = {
    "policy_use": "policy", "install": "service", "upgrade": "service", "fleet": "remote", "net_test": "remote",
    "notify_test": "notify", "log_export": "logs",
}  # fmt: skip
"""Function → module of this package, if that is not its name. A verb loads the module of its own kind alone."""


def render(document: Json, style: Style, now: float) -> str:
    """Lines without a newline at the end. `now`: seconds of the Unix epoch, for "2 h ago"."""
    name = _KINDS[document["kind"]]
    module = import_module(f"{__name__}.{_MODULES.get(name, name)}")
    lines: Sequence[str] = getattr(module, name)(document, style, now)
    return "\n".join(lines)


def error(document: Json, style: Style) -> str:
    """An Error document: what is wrong, then what to do."""
    lines = [f"{style.paint('error', 'bad')}: {document['message']}"]
    for detail in document["details"]:
        if detail != document["message"]:  # a single mistake is the message itself
            lines += paragraph(detail, style, "  ")
    if document["hint"]:
        lines += paragraph(f"hint: {document['hint']}", style)
    return "\n".join(lines)
