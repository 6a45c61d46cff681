"""`suspend`, `resume`, `retry`, `accept`: what was asked and answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, short
from reconciler.record.text.words import word

Json = Mapping[str, Any]


def request(document: Json, style: Style, now: float) -> list[str]:
    about = f" {short(document['revision'])}" if document["revision"] else ""
    lines = [f"{style.paint(document['verb'] + about, 'bold')}  {word(document['outcome'], style)}"]
    lines += paragraph(document["message"], style)
    if document["reason"]:
        until = f", until {document['until']}" if document["until"] else ""
        lines += paragraph(f"reason: {document['reason']}{until}", style)
    return lines + (paragraph(f"what to do: {document['hint']}", style) if document["hint"] else [])
