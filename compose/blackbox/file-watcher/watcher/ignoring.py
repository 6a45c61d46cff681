"""Which files are not sent to brain-api: defaults, and the rules in .gitignore and .watchignore of any folder."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from pathlib import Path

from pathspec import GitIgnoreSpec

FILES = (".gitignore", ".watchignore")
LARGEST = 256 << 10
"""Most bytes of a file with rules. A larger file is not read."""

FOLDERS = """
    .git .hg .svn .Spotlight-V100 .Trashes .fseventsd node_modules bower_components __pycache__ .venv venv .tox
    .mypy_cache .pytest_cache .ruff_cache .gradle .terraform .cache .idea .aws .ssh .gnupg .kube
"""
NAMES = """
    .DS_Store ._* *.py[cod] *~ *.swp *.swo .#* #*# *.tmp *.part *.crdownload *.lock package-lock.json *.min.js *.map
    .env .env.* *.pem *.key id_rsa* id_ed25519* .netrc .npmrc .pypirc
"""
"""Files that tools can make again, files that are half written, and secrets."""

# One expression each, for speed: they are matched against every file in every scan.
_FOLDERS, _NAMES = (re.compile("|".join(map(translate, text.split()))) for text in (FOLDERS, NAMES))


def ignored_by_default(name: str, folder: bool) -> bool:
    """Whether the defaults ignore this name. `name`: without a slash."""
    if folder:
        return _FOLDERS.match(name) is not None
    return name != ".env.example" and _NAMES.match(name) is not None


class Rules:
    """The rules for one folder: its own, then those of the folders above it, then the defaults.

    As with git, a rule inside an ignored folder has no effect.
    """

    def __init__(self, folder: str, above: Rules | None = None) -> None:
        self._above = above
        self._lines = _lines(folder)
        self._spec = GitIgnoreSpec.from_lines(self._lines) if self._lines else None
        self._prefix: str = "" if above is None else above._prefix + os.path.basename(folder) + "/"

    def ignored(self, name: str, folder: bool) -> bool:
        """Whether an entry of this folder is ignored. `name`: without a slash."""
        path = self._prefix + name + ("/" if folder else "")
        rules: Rules | None = self
        while rules is not None:
            if rules._spec is not None:
                said = rules._spec.check_file(path[len(rules._prefix) :]).include
                if said is not None:
                    return said
            rules = rules._above
        return ignored_by_default(name, folder)


def _lines(folder: str) -> list[str]:
    found: list[str] = []
    for name in FILES:
        path = Path(folder, name)
        try:
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= LARGEST:
                found += path.read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
    return found
