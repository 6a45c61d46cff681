"""A cheap test of the Blackbox stack for every test run: its PostgreSQL, from nothing to Healthy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.e2e.host import eventually
from tests.stack.blackbox import FOLDER, Blackbox, blackbox
from tests.stack.harm import kill, restarts

# Its image may have to be built.
pytestmark = pytest.mark.timeout(1500)

SAME_NUMBER = "lock=/var/lib/postgresql/data/17/postmaster.pid; [ ! -e $$lock ] || sed -i 1s/.*/$$$$/ $$lock; "
"""A script that runs before the start. It puts this process's number into the old lock file, as after a crash."""


@pytest.mark.engine
def test_postgres_comes_up_confined_and_stays(tmp_path: Path, compose: Path) -> None:
    with blackbox(tmp_path, compose) as stack:
        stack.push(only=("postgres",))
        turn = stack.once()
        assert (turn["outcome"], turn.code) == ("Succeeded", 0), turn.stdout
        assert stack.psql("SHOW data_checksums") == "on"
        assert stack.psql("SELECT rolname FROM pg_roles WHERE rolcanlogin ORDER BY 1") == "brain\nbrain_owner\npostgres"
        assert stack.psql("SHOW log_parameter_max_length") == "0"
        assert stack.once()["effects"] == 0
        comes_back_when_numbers_return(stack)


def comes_back_when_numbers_return(stack: Blackbox) -> None:
    entrypoint = ["sh", "-euc", f'{SAME_NUMBER} exec start.sh "$$@"', "sh"]
    stack.push(services={"postgres": {"entrypoint": entrypoint}}, only=("postgres",))
    assert stack.once()["outcome"] == "Succeeded"
    kill(stack, "postgres")
    eventually(lambda: restarts(stack, "postgres") and health(stack) == "healthy", 30)


def health(stack: Blackbox) -> str:
    return str(stack.host.container("postgres")["State"]["Health"]["Status"])


@pytest.mark.engine
def test_plan_says_by_how_much_two_more_agents_do_not_fit(tmp_path: Path, compose: Path) -> None:
    """docs/memory.md says which service would have to get less memory."""
    settings = (ROOT / FOLDER / ".env").read_text()
    told = {}
    with blackbox(tmp_path, compose) as stack:
        for replicas, memory in ((1, "2048m"), (3, "2048m"), (3, "1024m")):
            given = re.sub(r"(?m)^RALPH_REPLICAS=.*$", f"RALPH_REPLICAS={replicas}", settings)
            stack.push({f"{FOLDER}/.env": re.sub(r"(?m)^RALPH_MEMORY=.*$", f"RALPH_MEMORY={memory}", given)})
            found = stack.host.plan()["violations"]
            told[replicas, memory] = [item["message"] for item in found if item["rule"] == "budget-steady"]
    assert re.search(r"[0-9.]+ MiB too much; the largest are \S+/ralph-agent 3 × 2 GiB", told.pop((3, "2048m"))[0])
    assert set(map(tuple, told.values())) == {()}
