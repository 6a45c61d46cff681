"""Which files are none of brain-api's business: defaults, and what .gitignore and .watchignore in any folder say."""

from __future__ import annotations

import os
import re
from fnmatch import translate
from pathlib import Path

from pathspec import GitIgnoreSpec

FILES = (".gitignore", ".watchignore")
LARGEST = 256 << 10
"""Bytes of a file of rules; what is larger is none."""

FOLDERS = """
    .git .hg .svn .Spotlight-V100 .Trashes .fseventsd node_modules bower_components __pycache__ .venv venv .tox
    .mypy_cache .pytest_cache .ruff_cache .gradle .terraform .cache .idea .aws .ssh .gnupg .kube
"""
NAMES = """
    .DS_Store ._* *.py[cod] *~ *.swp *.swo .#* #*# *.tmp *.part *.crdownload *.lock package-lock.json *.min.js *.map
    .env .env.* *.pem *.key id_rsa* id_ed25519* .netrc .npmrc .pypirc
"""
"""What tools make again, what is half written, and what is secret."""

# One expression each: they are asked for every file at every look.
_FOLDERS, _NAMES = (re.compile("|".join(map(translate, text.split()))) for text in (FOLDERS, NAMES))


def ignored_by_default(name: str, folder: bool) -> bool:
    """`name`: without a slash."""
    if folder:
        return _FOLDERS.match(name) is not None
    return name != ".env.example" and _NAMES.match(name) is not None


class Rules:
    """The rules in force in one folder: its own, then those of the folders above it, then the defaults.
    As with git, what an ignored folder holds cannot be brought back by a rule inside it."""

    def __init__(self, folder: str, above: Rules | None = None) -> None:
        self._above = above
        self._lines = _lines(folder)
        self._spec = GitIgnoreSpec.from_lines(self._lines) if self._lines else None
        self._prefix: str = "" if above is None else above._prefix + os.path.basename(folder) + "/"

    def ignored(self, name: str, folder: bool) -> bool:
        """Whether an entry of this folder is. `name`: without a slash."""
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
