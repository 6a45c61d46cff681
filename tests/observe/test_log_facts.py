"""Which logs grow without bound, on the real engine."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from reconciler.model.observed import LABEL_HOST
from reconciler.observe.reach import log_facts
from tests.conftest import BASE, project_labels

LOGS: dict[str, Any] = {
    "plain": {"Type": "json-file", "Config": {}},
    "endless": {"Type": "json-file", "Config": {"max-size": "-1"}},
    "rotated": {"Type": "json-file", "Config": {"max-size": "1m"}},
    "local": {"Type": "local", "Config": {}},
    "adopted": {"Type": "json-file", "Config": {}},
    "foreign": {"Type": "json-file", "Config": {}},
}


@pytest.fixture
def names(engine: docker.APIClient) -> Iterator[dict[str, str]]:
    """A container that was never started, for each entry of LOGS."""
    mark = uuid.uuid4().hex[:8]
    made = {name: f"log-facts-{name}-{mark}" for name in LOGS}
    try:
        for name, logs in LOGS.items():
            project = {"adopted": f"mine-{mark}", "foreign": f"theirs-{mark}"}.get(name)
            labels = project_labels(project) if project else {LABEL_HOST: "mini"}
            config = engine.create_host_config(log_config=logs)
            engine.create_container(BASE, "true", name=made[name], host_config=config, labels=labels)
        yield {**made, "project": f"mine-{mark}"}
    finally:
        for name in made.values():
            engine.remove_container(name, force=True)


@pytest.mark.engine
def test_containers_without_rotation_are_found(engine: docker.APIClient, names: dict[str, str], tmp_path: Path) -> None:
    found = log_facts(engine, [names["project"]], tmp_path / "none.json")
    growing = {name for name, made in names.items() if made in found.growing}
    assert growing == {"plain", "endless", "adopted"}
    assert found.others >= 1
    assert found.driver == engine.info()["LoggingDriver"]


@pytest.mark.engine
def test_the_engines_default_is_read_where_it_can_be(engine: docker.APIClient, tmp_path: Path) -> None:
    if engine.info()["LoggingDriver"] != "json-file":
        pytest.skip("the engine's default rotates by itself")
    place = tmp_path / "daemon.json"
    assert log_facts(engine, (), place).bounded is False
    place.write_text(json.dumps({"log-opts": {"max-size": "10m"}}))
    assert log_facts(engine, (), place).bounded is True
    place.write_text("no JSON")
    assert log_facts(engine, (), place).bounded is None
    assert log_facts(engine, (), None).bounded is None
