"""Only the real engine's events about managed containers wake the agent."""

from __future__ import annotations

import threading
import time

import docker
import pytest

from reconciler.observe.changes import ChangeWatch
from tests.conftest import engine_address, project_labels

pytestmark = pytest.mark.engine


def test_only_what_is_looked_after_wakes(engine: docker.APIClient, images: dict[str, str], stack_name: str) -> None:
    """`stack_name` is the neighbour's project at first, then a stack of ours."""
    labels = project_labels(stack_name)
    container = engine.create_container(images["actor"], ["sleep", "60"], labels=labels)["Id"]
    network = engine.create_network(f"{stack_name}_more", labels=labels)["Id"]
    woken = threading.Event()
    stacks: set[str] = set()
    containers: set[str] = set()
    with ChangeWatch(engine_address(), "nobody", woken.set, lambda: stacks, lambda: containers) as watch:
        time.sleep(0.5)
        engine.start(container)
        engine.connect_container_to_network(container, network)
        assert not woken.wait(0.7)
        assert not watch.changed()
        containers.add(container)
        engine.disconnect_container_from_network(container, network)
        assert woken.wait(40)
        assert watch.changed()
        woken.clear()
        stacks.add(stack_name)
        engine.pause(container)
        assert woken.wait(40)
