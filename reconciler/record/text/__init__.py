"""The documents of the contract as text for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from reconciler.record.text.doctor import doctor
from reconciler.record.text.history import history
from reconciler.record.text.hooks import hooks
from reconciler.record.text.init import init
from reconciler.record.text.key import key
from reconciler.record.text.layout import Style, paragraph
from reconciler.record.text.plan import plan
from reconciler.record.text.policy import policy_use
from reconciler.record.text.request import request
from reconciler.record.text.service import install
from reconciler.record.text.status import status
from reconciler.record.text.turn import turn
from reconciler.record.text.validation import validation

__all__ = ["Style", "error", "render"]

Json = Mapping[str, Any]

_KINDS: Mapping[str, Callable[[Json, Style, float], Sequence[str]]] = {
    "Init": init,
    "Validation": validation,
    "Plan": plan,
    "PolicyUse": policy_use,
    "Turn": turn,
    "Status": status,
    "History": history,
    "Request": request,
    "Doctor": doctor,
    "Hooks": hooks,
    "Install": install,
    "Key": key,
}


def render(document: Json, style: Style, now: float) -> str:
    """Lines without a newline at the end. `now`: seconds of the Unix epoch, for "2 h ago"."""
    return "\n".join(_KINDS[document["kind"]](document, style, now))


def error(document: Json, style: Style) -> str:
    """An Error document: what is wrong, then what to do."""
    lines = [f"{style.paint('error', 'bad')}: {document['message']}"]
    for detail in document["details"]:
        lines += paragraph(detail, style, "  ")
    if document["hint"]:
        lines += paragraph(f"hint: {document['hint']}", style)
    return "\n".join(lines)
