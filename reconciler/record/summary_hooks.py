"""The document of `hooks install`, `uninstall` and `status`."""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.record.contract import Document, document


def hooks(
    repository: str, folder: str, rows: Sequence[tuple[str, str, str, bool]], files: Sequence[str],
    messages: Sequence[str] = (),
) -> Document:  # fmt: skip
    """`rows`: name, path, state (installed, outdated, foreign, missing), whether an earlier hook is kept. `files`:
    existing ones, or removed ones. `messages`: why nothing was done, or why hooks stay."""
    return document("Hooks") | {
        "repository": repository,
        "folder": folder,
        "files": list(files),
        "hooks": [{"name": name, "path": path, "state": state, "before": before} for name, path, state, before in rows],
        "messages": list(messages),
    }
