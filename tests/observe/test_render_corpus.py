"""Real public stacks: every installed Compose version makes the same model of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from reconciler.model.documents import StackDocument
from reconciler.observe.render import ComposeRenderer
from reconciler.observe.secrets import SecretStore
from tests.commits import CommitFiles
from tests.conftest import find_compose

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("RECONCILER_CORPUS") or ROOT.parent / "shared/corpus")
NAMES = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")


def stacks() -> list[Path]:
    return sorted(path for name in NAMES for path in CORPUS.glob(f"awesome-compose/*/{name}"))


def test_one_model_whatever_the_version(tmp_path: Path) -> None:
    binaries = find_compose()
    if not stacks() or len(binaries) < 2:
        pytest.skip(f"needs stacks in {CORPUS} and two versions of Compose")
    renderers = [
        ComposeRenderer(str(binary), tmp_path / str(n), SecretStore(None)) for n, binary in enumerate(binaries)
    ]
    different = []
    for path in stacks():
        files = CommitFiles(
            {
                item.relative_to(path.parent).as_posix(): item.read_bytes()
                for item in path.parent.rglob("*")
                if item.is_file()
            }
        )
        stack = StackDocument("stack", (path.name,))
        answers = [renderer.begin(files, stack, files.contents)() for renderer in renderers]
        models = {json.dumps(item.model, sort_keys=True).replace(item.root, "") for item in answers}
        outcomes = {tuple(violation.reason for violation in item.violations) for item in answers}
        if len(models) > 1 or len(outcomes) > 1:
            different.append(path.parent.name)
    assert different == []
