"""The part of the Blackbox stack that every test run can afford: its PostgreSQL, from nothing to Healthy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stack.blackbox import blackbox


@pytest.mark.engine
def test_postgres_comes_up_confined_and_stays(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        stack.push(only=("postgres",))
        turn = stack.once()
        assert (turn["outcome"], turn.code) == ("Succeeded", 0), turn.stdout
        assert stack.psql("SHOW data_checksums") == "on"
        assert stack.psql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1") == "brain\nbrain_owner\npostgres"
        assert stack.once()["effects"] == 0
