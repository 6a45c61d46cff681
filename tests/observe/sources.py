"""Real repositories, watched by a real mirror."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from reconciler.effects import Effects
from reconciler.observe.source import GitSource
from tests.repository import Repository

FILES = {"compose.yaml": "services: {}\n", "etc/nginx/site.conf": "listen 80;\n", "ümläut.txt": "ä"}


def source(
    theirs: Repository,
    branch: str = "main",
    effects: Effects | None = None,
    environ: Mapping[str, str] = os.environ,
) -> GitSource:
    return GitSource(str(theirs.folder), branch, mirror_of(theirs), environ=environ, effects=effects or Effects())


def mirror_of(theirs: Repository) -> Path:
    return theirs.folder.parent / "state" / "mirror.git"
