"""The documents of `install`, `uninstall` and `upgrade`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from reconciler.model.service import Platform
from reconciler.record.contract import Document, document


def install(
    action: str,
    done: bool,
    platform: Platform,
    files: Sequence[tuple[str, int, str, str]],
    commands: Sequence[Sequence[str]],
    containers: Sequence[str],
    networks: Sequence[str],
    messages: Sequence[str],
) -> Document:
    """`done`: False if it is only shown. `files`: path, mode, state (shown, written, unchanged, removed, foreign,
    missing, outdated) and content."""
    return document("Install") | {
        "action": action,
        "done": done,
        "platform": platform.value,
        "files": [
            {"path": path, "mode": f"{mode:04o}", "state": state, "content": content}
            for path, mode, state, content in files
        ],
        "commands": [shlex.join(argv) for argv in commands],
        "containers": list(containers),
        "networks": list(networks),
        "messages": list(messages),
    }


def upgrade(before: str, after: str, outcome: str, message: str, checks: Sequence[tuple[str, bool, str]]) -> Document:
    """`before`, `after`: names of the versions' folders; `outcome`: Upgraded, TakenBack, Refused, Unchanged, Shown."""
    return document("Upgrade") | {
        "from": before,
        "to": after,
        "outcome": outcome,
        "message": message,
        "checks": [{"name": name, "ok": ok, "message": text} for name, ok, text in checks],
    }
