"""`init --bare`: a bare repository to push to, with our hooks."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from reconciler.errors import Usage
from reconciler.model.outcome import Reason
from reconciler.record import summary
from reconciler.verbs import Answer


def make(
    path: str, host: str, branch: str, init: Callable[[str, str], None], install: Callable[[str], Answer]
) -> Answer:
    """Make the repository. `host`: the name in the agent config. `init`: makes it; `install`: puts our hooks into
    it."""
    folder = Path(path).absolute()
    if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
        return 1, _document(host, folder, [], [f"refused to overwrite {folder}: choose a path where nothing is"])
    if not branch or branch.startswith("-"):
        raise Usage(
            Reason.USAGE_INVALID, f"{branch!r} cannot name a branch", "correct `source.branch` in the agent config"
        )
    init(str(folder), branch)
    folder.chmod(0o700)
    _, hooks = install(str(folder))
    return 0, _document(host, folder, [str(folder), *hooks["files"]], _next(folder, host, branch))


def _next(folder: Path, host: str, branch: str) -> list[str]:
    """The next steps for a person."""
    name, quoted = shlex.quote(host), shlex.quote(str(folder))
    return [
        f"1. In the agent config: source: {{url: {folder}, branch: {branch}}}; then `reconciler run`",
        f"2. In your clone on this machine: git remote add {name} {quoted}",
        f"   or on another one: git remote add {name} USER@HOST:{quoted}",
        f"3. git push {name} {branch} shows the rollout; -o reconciler.no-wait does not wait for it",
        "Nobody but this account may use the repository yet. To let another account push, see docs/push.md.",
    ]


def _document(host: str, folder: Path, files: list[str], notes: list[str]) -> Mapping[str, Any]:
    return summary.init(
        host=host, folder=str(folder), files=files, projects=(), limits=(), restarts=(), violations=(), skipped=(),
        adopt=(), trust=None, left=(), values=(), notes=notes, needs=None, bare=True,
    )  # fmt: skip
