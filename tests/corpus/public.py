"""The public stacks: their folder, and the files that their own repositories had beside the Compose files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, find_compose, missing

CORPUS = Path(os.environ.get("RECONCILER_CORPUS") or ROOT.parent / "shared" / "corpus")
FOLDERS = {path.parent.name: path.parent for path in sorted(CORPUS.glob("awesome-compose/*/compose.y*ml"))}
ABSENT = f"no public stacks at {CORPUS}: put them there, or name their folder in $RECONCILER_CORPUS"

REFUSED = {
    "minecraft": {"absolute-bind"},
    "pihole-cloudflared-DoH": {"absolute-bind", "capability", "network-subnet"},
    "plex": {"absolute-bind", "host-namespace"},
    "portainer": {"docker-socket"},
    "traefik-golang": {"docker-socket"},
    "wireguard": {"absolute-bind", "capability"},
}
"""Stack → the rules that deny it without a grant; the others are valid as they are."""

needs_corpus = pytest.mark.skipif(not FOLDERS, reason=ABSENT)


def compose_file(folder: Path) -> Path:
    return next(folder.glob("compose.y*ml"))


def copied(name: str, to: Path) -> Path:
    """The Compose file of a copy of a stack, with every relative path that it names (empty) beside it."""
    folder = to / name
    shutil.copytree(FOLDERS[name], folder)
    file = compose_file(folder)
    for path in named_paths(yaml.safe_load(file.read_text())):
        _create(folder, path)
    return file


def named_paths(document: Mapping[str, Any]) -> Iterator[str]:
    """Relative paths that a Compose file names. Folders end with a /."""
    for service in document["services"].values():
        if "build" in service:
            build = service["build"] if isinstance(service["build"], dict) else {"context": service["build"]}
            yield f"{build.get('context', '.')}/{build.get('dockerfile', 'Dockerfile')}"
        for mount in service.get("volumes") or ():
            source = mount["source"] if isinstance(mount, dict) else str(mount).partition(":")[0]
            if source.startswith("."):
                yield source if Path(source).suffix else f"{source}/"
    for kind in ("secrets", "configs"):
        yield from (item["file"] for item in (document.get(kind) or {}).values())


def _create(folder: Path, path: str) -> None:
    whole = folder / path
    if path.endswith("/"):
        whole.mkdir(parents=True, exist_ok=True)
    else:
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.touch()


def newest_compose() -> Path:
    """The newest installed Compose; without one the test is skipped."""
    found = find_compose()
    if not found:
        missing("no Compose binary: scripts/setup.sh --tests gets two versions")
    return found[-1]
