"""The command by which hooks and the service manager start this program."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import Usage
from reconciler.model.outcome import Reason

if TYPE_CHECKING:
    from reconciler.settings import Settings

CURRENT = "current"
"""The link in the folder of versions that upgrades move."""


def program() -> str:
    """The command beside the running Python (through the link `current` if there is one), else the one in PATH. Usage
    if there is none."""
    beside = Path(sys.executable).parent / "reconciler"
    if os.access(beside, os.X_OK):
        return str(_by_link(beside))
    found = shutil.which("reconciler")
    if found is None:
        hint = "install the package (`pip install .` in a virtual environment), then call that command"
        raise Usage(Reason.USAGE_INVALID, f"there is no command {beside}", hint)
    return found


def ourselves(settings: Settings) -> list[str]:
    """The command, up to the verb, that runs this program in a new process with the same settings and JSON output."""
    config = ["--config", settings.path] if settings.path else []
    # -P: nothing is imported from the working folder.
    return [sys.executable, "-P", "-m", "reconciler", *config, "--state", settings.state, "--output", "json"]


def versions(prefix: str = sys.prefix) -> Path | None:
    """The folder of all installed versions, if the version at `prefix` is the current one in such a folder; else
    None."""
    folder = Path(prefix).parent
    link = folder / CURRENT
    return folder if link.is_symlink() and os.path.exists(link) and link.samefile(prefix) else None


def _by_link(beside: Path) -> Path:
    folder = versions(str(beside.parent.parent))
    return beside if folder is None else folder / CURRENT / "bin" / beside.name
