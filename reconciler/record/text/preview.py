"""`preview`: a line for each open pull request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, table

Json = Mapping[str, Any]


def preview(document: Json, style: Style, now: float) -> list[str]:
    lines = paragraph(document["message"], style) if document["message"] else []
    if not document["pullRequests"]:
        return lines or ["no open pull request comes from a branch of the repository itself"]
    rows = [["NUMBER", "BRANCH", "REVISION", "OUTCOME", ""]]
    rows += [
        [str(item["number"]), item["branch"], item["revision"][:12], item["outcome"], item["message"]]
        for item in document["pullRequests"]
    ]
    return [*lines, *table(rows, style, cut=(1, 4))]
