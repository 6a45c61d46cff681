"""`status` before the first fetch of a new process, and the names of a commit that `history` accepts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from reconciler.decide.redact import Redactor
from reconciler.decide.status import status
from reconciler.effects import Effects
from reconciler.settings import Settings, SourceSettings
from reconciler.wiring.reading import Reading
from reconciler.wiring.showing import facts
from tests.observe.sources import FILES
from tests.repository import Repository


@pytest.fixture
def reading(theirs: Repository, tmp_path: Path) -> Reading:
    state = tmp_path / "host"
    state.mkdir(mode=0o700)
    settings = Settings("mini", SourceSettings(str(theirs.folder)), str(state), engine="unix:///nonexistent")
    return Reading(settings, Redactor(), os.environ, Effects())


@pytest.fixture
def theirs(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "theirs.git")


def attempts(reading: Reading, revision: str | None) -> list[Any]:
    code, document = reading.status.history(revision, 20)
    assert code == 0
    return [item["revision"] for item in document["attempts"]]


def test_history_accepts_every_name_of_a_commit_that_retry_accepts(theirs: Repository, reading: Reading) -> None:
    shas = [theirs.push({**FILES, "n": str(n)}) for n in range(2)]
    reading.source.fetch()
    for number, sha in enumerate(shas):
        reading.journal.append("seen", at=1.0 + number, revision=sha)
        reading.journal.append("started", at=1.0 + number, attempt=str(number), revision=sha, intent="Advance")
    first, second = shas
    assert attempts(reading, None) == [second, first]
    for name in (second, second[:7], "main"):
        assert attempts(reading, name) == [second]
    assert attempts(reading, "main~1") == [first]
    assert attempts(reading, "no-such-branch") == []


def test_a_branch_that_has_vanished_is_not_called_never_fetched(theirs: Repository, reading: Reading) -> None:
    sha = theirs.push(FILES)
    assert "not been fetched yet" in message(reading, {})
    assert message(reading, {"error": "the remote is away"}) == "the remote is away"
    reading.journal.append("seen", at=1.0, revision=sha)
    found = facts(reading, {"error": "couldn't find remote ref refs/heads/main"})
    assert found.source.head == sha
    assert "not been fetched yet" not in message(reading, {"error": "couldn't find remote ref refs/heads/main"})


def message(reading: Reading, record: dict[str, Any]) -> str:
    return str(status.judge(facts(reading, record)).message)
