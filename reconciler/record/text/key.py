"""`key`: the public half on a line of its own, then what is left to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph

Json = Mapping[str, Any]


def key(document: Json, style: Style, now: float) -> list[str]:
    how = "made now" if document["made"] else "it was there"
    lines = [document["publicKey"], *paragraph(f"the private half is in {document['path']} ({how})", style)]
    if document["registered"]:
        lines += paragraph("the forge has it, as a key that may only read", style)
    if document["message"]:
        lines += paragraph(f"not registered: {document['message']}", style)
    return lines + [line for step in document["next"] for line in paragraph(step, style, "- ")]
