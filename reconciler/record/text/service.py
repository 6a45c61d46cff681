"""`install` and `uninstall`: the files, the calls of the service manager, and what was removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reconciler.record.text.layout import Style, paragraph, table

Json = Mapping[str, Any]

_LOGS = {
    "systemd": "its log: `journalctl -u reconciler`",
    "systemd-user": "its log: `journalctl --user -u reconciler`",
    "launchd": "its log: ~/Library/Logs/reconciler.log",
}


def install(document: Json, style: Style, now: float) -> list[str]:
    lines: list[str] = []
    done = document["done"]
    for item in document["files"]:
        shown = item["state"] == "shown"
        named = f"{item['state']} {style.paint(item['path'], 'bold')}"
        lines.append(named if not shown else f"# {style.paint(item['path'], 'bold')} (mode {item['mode']})")
        if shown and document["action"] == "install":
            lines += [*item["content"].splitlines(), ""]
    word = "called" if done else "# then called:" if document["action"] == "install" else "would call"
    lines += [f"{word} {command}" for command in document["commands"]]
    removed = "removed" if done else "would remove"
    lines += [f"{removed} container {name}" for name in document["containers"]]
    lines += [f"{removed} network {name}" for name in document["networks"]]
    lines += [line for message in document["messages"] for line in paragraph(message, style)]
    started = any(item["state"] in ("written", "unchanged") for item in document["files"])
    return lines + ([_LOGS[document["platform"]]] if started and document["action"] == "install" else [])


_OUTCOMES = {
    "Upgraded": "good",
    "Unchanged": "good",
    "Shown": "good",
    "TakenBack": "bad",
    "Refused": "bad",
}


def upgrade(document: Json, style: Style, now: float) -> list[str]:
    rows = [["CHECK", "", ""]]
    rows += [
        [item["name"], style.paint("ok", "good") if item["ok"] else style.paint("WRONG", "bad"), item["message"]]
        for item in document["checks"]
    ]
    lines = table(rows, style, wrap=2) if document["checks"] else []
    outcome = style.paint(document["outcome"], _OUTCOMES[document["outcome"]])
    lines.append(f"{document['from']} → {document['to']}  {outcome}")
    return lines + paragraph(document["message"], style)
