"""Which commits of pull requests are judged: with real git, real signatures, and no engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.report.messages import State
from reconciler.report.pulls import Pull
from reconciler.settings import load_settings
from reconciler.verbs.preview import NotAdmitted
from reconciler.wiring.preview import Machine
from reconciler.wiring.reading import Reading
from tests.repository import Repository

FILES = {"compose.yaml": "services: {web: {image: web:1, mem_limit: 64m}}\n"}


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "home.git")


@pytest.fixture
def machine(theirs: Repository, tmp_path: Path) -> Callable[..., Machine]:
    """`fetched`: whether the agent has fetched the watched branch. `source`: further keys of the agent config."""

    def make(fetched: bool = True, source: str = "") -> Machine:
        (tmp_path / "state").mkdir(mode=0o700, exist_ok=True)
        config = tmp_path / "reconciler.yaml"
        config.write_text(f"host: mini\nsource: {{url: {theirs.folder}{source}}}\nstate: {tmp_path}/state\n")
        environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/no.sock"}
        parts = Reading(load_settings(str(config), environ), Redactor(), environ, Effects())
        if fetched:
            parts.source.fetch()
        return Machine(parts, tmp_path / "state/preview/pulls.git")

    return make


def proposed(theirs: Repository, files: dict[str, str], branch: str = "new") -> Pull:
    theirs.set(theirs.head(), branch)
    return Pull(1, branch, theirs.push(files, branch))


def test_a_commit_is_judged_until_the_engine_is_needed(theirs: Repository, machine: Callable[..., Machine]) -> None:
    theirs.push(FILES)
    pull = proposed(theirs, {**FILES, "n": "1"})
    verdict = machine().judge(pull)
    assert verdict is not None
    assert (verdict.state, verdict.onto) == (State.ERROR, "")
    assert "EngineUnavailable" in verdict.message
    assert machine(fetched=False).judge(pull) is not None


def test_a_bad_commit_behind_the_branch_is_rejected_with_path_and_line(
    theirs: Repository, machine: Callable[..., Machine]
) -> None:
    theirs.push(FILES)
    pull = proposed(theirs, {"compose.yaml": "services: {web: {image: web:1, privileged: true}}\n"})
    head = theirs.push({**FILES, "later": "1"})
    verdict = machine().judge(pull)
    assert verdict is not None
    assert (verdict.state, verdict.onto) == (State.FAILURE, head)
    assert {(item.path, item.line) for item in verdict.violations if item.rule == "privileged"} == {("compose.yaml", 1)}


def test_a_conflict_of_the_merge_is_reported(theirs: Repository, machine: Callable[..., Machine]) -> None:
    theirs.push(FILES)
    pull = proposed(theirs, {"compose.yaml": "services: {}\n"})
    theirs.push({"compose.yaml": "services: {db: {image: db:1}}\n"})
    verdict = machine().judge(pull)
    assert verdict is not None
    assert verdict.state is State.FAILURE
    assert verdict.message == "it conflicts with main in compose.yaml"


def test_only_the_commit_that_the_forge_names_on_a_branch_of_the_repository_is_judged(
    theirs: Repository, machine: Callable[..., Machine]
) -> None:
    theirs.push(FILES)
    pull = proposed(theirs, {**FILES, "n": "1"})
    assert machine().judge(Pull(1, "new", "f" * 40)) is None
    with pytest.raises(Transient, match="fetch branch gone"):
        machine().judge(Pull(1, "gone", pull.revision))
    for branch in ("--upload-pack=touch x", "a..b", "refs/pull/1/head\n", "x" * 300):
        with pytest.raises(NotAdmitted, match="cannot be given to git"):
            machine().judge(Pull(1, branch, pull.revision))


def test_if_commits_must_be_signed_only_signed_ones_are_judged(
    theirs: Repository, machine: Callable[..., Machine], tmp_path: Path
) -> None:
    for name in ("allowed", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    (tmp_path / "signers").write_text(f"me@example.org {(tmp_path / 'allowed.pub').read_text()}")
    theirs.push(FILES)

    def signed(key: str) -> Pull:
        sign = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={tmp_path / key}")
        tree = theirs.tree({**FILES, "by": key})
        sha = theirs.git(*sign, "commit-tree", tree, "-p", theirs.head(), "-S", "-m", "change")
        return Pull(1, "new", theirs.set(sha, "new"))

    def strict() -> Machine:
        return machine(source=f", allowed_signers: {tmp_path}/signers")

    with pytest.raises(NotAdmitted, match="is not signed"):
        strict().judge(proposed(theirs, {**FILES, "by": "nobody"}))
    with pytest.raises(NotAdmitted, match="signature that is not accepted"):
        strict().judge(signed("stranger"))
    verdict = strict().judge(signed("allowed"))
    assert verdict is not None
    assert verdict.state is State.ERROR, "it was judged as far as an engine that is away allows"
    theirs.push({**FILES, "later": "1"})  # nobody signs the merge of both, and nobody has to
    verdict = strict().judge(Pull(1, "new", theirs.head("new")))
    assert verdict is not None
    assert verdict.state is State.ERROR
