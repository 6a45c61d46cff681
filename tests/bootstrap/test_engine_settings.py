"""Settings of the engine: a new one gets ours, those of somebody else stay, and an engine's data moves only while it
has none."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from reconciler.bootstrap.linux_facts import LinuxFacts
from tests.bootstrap.facts import WANTED, facts, names, plan
from tests.bootstrap.test_linux import FINISHED

ROOT = replace(WANTED, data_root="/mnt/data/docker")
EMPTY = replace(FINISHED, engine_holds="0 0 0", engine_root="/var/lib/docker", data_parent=True)


def written(found: LinuxFacts) -> Any:
    change = next(item for item in plan(found, ROOT).changes if item.name == "engine-settings")
    return json.loads(change.arguments["data"])


def test_a_new_engine_has_its_data_where_it_was_asked_for() -> None:
    new = facts(data_parent=True)
    made = names(plan(new, ROOT))
    assert made.index("engine-waits") < made.index("engine-settings") < made.index("engine")
    assert "engine-restart" not in made
    assert (written(new)["data-root"], written(new)["log-driver"]) == ("/mnt/data/docker", "local")


def test_an_engine_without_anything_gets_it_beside_its_own_settings() -> None:
    own = replace(EMPTY, daemon_json=True, daemon={"log-driver": "journald"})
    assert names(plan(own, ROOT)) == ["engine-waits", "engine-settings", "engine-restart"]
    assert written(own) == {"log-driver": "journald", "data-root": "/mnt/data/docker"}
    assert written(replace(EMPTY, daemon=None)) == {"data-root": "/mnt/data/docker"}


@pytest.mark.parametrize(
    "found",
    [
        replace(EMPTY, engine_holds="1 0 0"),
        replace(EMPTY, engine_holds="0 0 1"),
        replace(EMPTY, engine_holds=""),
        replace(EMPTY, daemon_json=True, daemon={"data-root": "/elsewhere"}),
    ],
)
def test_data_that_is_there_stays_and_one_line_says_so(found: LinuxFacts) -> None:
    made = plan(found, ROOT)
    assert (names(made), made.refusals) == ([], ())
    assert len([note for note in made.notes if "data stays in" in note]) == 1


def test_a_second_run_changes_nothing() -> None:
    there = replace(EMPTY, engine_root="/mnt/data/docker", engine_holds="3 2 1")
    made = plan(there, ROOT)
    assert (names(made), [note for note in made.notes if "data" in note]) == ([], [])


def test_a_disk_that_is_not_mounted_is_refused() -> None:
    [refusal] = plan(facts(), ROOT).refusals
    assert "/mnt/data does not exist" in refusal.message
    [broken] = plan(replace(EMPTY, daemon_json=True, daemon=None), ROOT).refusals
    assert "no JSON" in broken.message


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (None, True),
        ({"log-driver": "json-file"}, True),
        ({"log-opts": {"max-size": "10m"}}, False),
        ({"log-driver": "journald"}, False),
    ],
)
def test_settings_of_somebody_else_stay_and_logs_that_grow_are_named(held: Any, told: bool) -> None:
    made = plan(replace(FINISHED, daemon_json=held is not None, daemon=held))
    assert names(made) == []
    assert any("without limit" in note for note in made.notes) is told


def test_programs_in_the_engines_place_are_refused() -> None:
    podman = plan(facts(packages=frozenset({"podman-docker"}), engine="4.3.1"))
    assert [item.name for item in podman.refusals] == ["engine"]
    snap = plan(facts(id="ubuntu", release="24.04", snap=True))
    assert "snap" in snap.refusals[0].message
