"""`report: {container_output: none}` keeps the output of programs on the machine, also secrets in a changed form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.host import new_host
from tests.e2e.services import service

pytestmark = pytest.mark.engine

SECRET = "correct-horse-battery"


def test_a_reversed_secret_reaches_history_and_no_note(tmp_path: Path, compose: Path) -> None:
    with new_host(tmp_path, compose, report={"container_output": "none"}) as host:
        (host.secrets / f"{host.stack}.env").write_text(f"TOKEN={SECRET}\n")
        (host.secrets / f"{host.stack}.env").chmod(0o600)
        spilled = service("printf %s $TOKEN | rev; echo; exit 3", restart="no", environment={"TOKEN": "${TOKEN}"})
        sha = host.push({"web": spilled})
        assert host.once()["outcome"] == "RolledBack"
        (attempt,) = host.history(sha)
        assert SECRET[::-1] in "".join(attempt["failure"]["log"])
        note = host.note(sha)
        assert note is not None
        assert note.first.endswith("failure Crashed")
        assert SECRET[::-1] not in note.text
