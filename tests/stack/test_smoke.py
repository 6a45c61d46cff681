"""The part of the Blackbox stack that every test run can afford: its PostgreSQL, from nothing to Healthy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.stack.blackbox import FOLDER, blackbox


@pytest.mark.engine
def test_postgres_comes_up_confined_and_stays(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        stack.push(only=("postgres",))
        turn = stack.once()
        assert (turn["outcome"], turn.code) == ("Succeeded", 0), turn.stdout
        assert stack.psql("SHOW data_checksums") == "on"
        assert stack.psql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1") == "brain\nbrain_owner\npostgres"
        assert stack.once()["effects"] == 0


@pytest.mark.engine
def test_plan_says_by_how_much_two_more_agents_do_not_fit(tmp_path: Path, compose: Path) -> None:
    """docs/memory.md tells what would have to give way."""
    settings = (ROOT / FOLDER / ".env").read_text()
    with blackbox(tmp_path, compose) as stack:
        told = {}
        for replicas in (1, 3):
            given = re.sub(r"(?m)^RALPH_REPLICAS=.*$", f"RALPH_REPLICAS={replicas}", settings)
            stack.push({f"{FOLDER}/.env": given})
            found = stack.host.plan()["violations"]
            told[replicas] = [item["message"] for item in found if item["rule"] == "budget-steady"]
        assert told[1] == []
        assert re.search(r"[0-9.]+ [MG]iB too much; the largest are \S+/ralph-agent 3 × 2 GiB", told[3][0]), told
