"""Public stacks of other people, rendered by real Compose: which are admitted, and why the others are not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.admit.admit import Candidate, admit, demands
from reconciler.decide.admit.budget import judge
from reconciler.decide.read.scan import scan
from reconciler.errors import Transient
from reconciler.model.documents import HostDocument, StackDocument
from reconciler.model.outcome import Level, Violation
from reconciler.observe.binary import find_compose
from tests.corpus.public import REFUSED
from tests.decide.judging import Commit

REPOSITORY = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("RECONCILER_CORPUS") or REPOSITORY.parent / "shared" / "corpus")
STACKS = sorted(path.parent for path in CORPUS.glob("awesome-compose/*/compose.y*ml"))

pytestmark = pytest.mark.skipif(
    not STACKS, reason=f"no public stacks at {CORPUS}: put them there, or name their folder in $RECONCILER_CORPUS"
)


@cache
def composes() -> tuple[str, ...]:
    listed = tuple(filter(None, os.environ.get("RECONCILER_TEST_COMPOSE", "").split(":")))
    if listed:
        return listed
    try:
        return (find_compose(None, os.environ),)
    except Transient:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("Compose is not installed here")


def test_the_corpus_is_whole() -> None:
    assert set(REFUSED) < {stack.name for stack in STACKS}
    assert len(STACKS) == 39


@pytest.mark.parametrize("stack", STACKS, ids=lambda path: path.name)
def test_a_public_stack_is_admitted_or_refused_for_known_reasons(stack: Path, tmp_path: Path) -> None:
    folder = tmp_path / stack.name
    shutil.copytree(stack, folder)
    file = next(folder.glob("compose.y*ml"))
    create_named_paths(folder, yaml.safe_load(file.read_text()))
    expected = REFUSED.get(stack.name, set())
    for compose in composes():
        violations = judged(compose, tmp_path, file)
        assert {item.rule for item in violations if item.level is Level.DENY} == expected
        assert all(item.path == f"{stack.name}/{file.name}" and item.line for item in violations)
        assert {item.level for item in violations} <= {Level.DENY, Level.WARN}
        assert all(item.line != 1 for item in violations if item.level is Level.DENY)


def judged(compose: str, root: Path, file: Path) -> tuple[Violation, ...]:
    name = file.parent.name.lower()
    stack = StackDocument(name, (str(file.relative_to(root)),))
    document = HostDocument("mini", (stack,))
    contents = {str(path.relative_to(root)): path.read_text() for path in sorted(root.rglob("*")) if path.is_file()}
    files = Commit(contents)
    asking = [Candidate(stack, rendered(compose, name, file), str(root), scan(files, stack, {}))]
    _, over = judge(document, demands(asking, document.default_memory))
    assert over == ()
    return admit(document, asking, files).violations


def rendered(compose: str, name: str, file: Path) -> Any:
    command = [compose, "-p", name, "-f", str(file), "config", "--format", "json"]
    environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


def create_named_paths(folder: Path, document: Any) -> None:
    """Files that the stack's own repository had beside its Compose file: contexts with a Dockerfile, files, folders."""
    for service in document["services"].values():
        build = service.get("build")
        if build:
            options = build if isinstance(build, dict) else {"context": build}
            context = folder / options.get("context", ".")
            touch(context / options.get("dockerfile", "Dockerfile"))
        for mount in service.get("volumes") or ():
            source = mount["source"] if isinstance(mount, dict) else str(mount).partition(":")[0]
            if source.startswith("."):
                path = folder / source
                touch(path if path.suffix else path / ".keep")
        for name in [service.get("env_file")] if isinstance(service.get("env_file"), str) else ():
            touch(folder / name)
    for kind in ("secrets", "configs"):
        for definition in (document.get(kind) or {}).values():
            if "file" in definition:
                touch(folder / definition["file"])


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
