"""A service that is equal to root does not read data from another commit until a person accepts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reconciler.model.documents import Grant, Permissions
from reconciler.model.outcome import Level, Outcome, Reason
from tests.fakes.life import Life, service
from tests.loop.lives import settled

SOCKET = {"type": "bind", "source": "/var/run/docker.sock", "target": "/s", "read_only": True}
ACME = {"type": "volume", "source": "acme", "target": "/acme"}
DATA = {"type": "bind", "source": "/render/data", "target": "/data"}
OTHERS = {"web": service("web:1"), "db": service("db:1")}


def push(life: Life, **services: dict[str, Any]) -> str:
    return life.push_model({"services": {**OTHERS, **services}, "volumes": {"acme": {}}})


def proxy(*mounts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return service("proxy:1", volumes=[SOCKET, *mounts], **more)


def allow(life: Life, *needed: Grant) -> Life:
    """The operator pastes the entries that were printed for the head."""
    found = [item.need for item in life.turn().violations if item.level is Level.DENY]
    grants = tuple(item for item in (*needed, *found) if isinstance(item, Grant))
    life._rules = replace(life._rules, permissions=Permissions(grants))
    life.start()
    return life


@pytest.fixture(params=[ACME, DATA], ids=["volume", "data"])
def mount(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def granted(mount: dict[str, Any]) -> Life:
    """A proxy with data of its own."""
    life = Life()
    push(life, proxy=proxy(mount))
    settled(allow(life))
    life.machine.host_files.contents["/state/data/shop/data/key"] = "x"
    return life


def held(life: Life, words: str) -> None:
    before = life.machine.snapshot()
    turn = life.turn()
    assert (turn.outcome, turn.reason) == (Outcome.HELD, Reason.CONSENT_MISSING), turn
    assert words in turn.message
    assert life.machine.snapshot() == before


def test_who_comes_in_its_place_and_writes_what_it_reads_is_held(mount: dict[str, Any]) -> None:
    """A rollback of that commit would start the proxy on what was written."""
    life = granted(mount)
    sha = push(life, evil=service("evil:1", volumes=[mount]))
    held(life, "shop/evil would write")
    life.ask("accept", sha)
    settled(life)
    push(life, proxy=proxy(mount))
    held(life, "shop/proxy would read")


def test_its_own_name_without_its_rights_is_somebody_else(mount: dict[str, Any]) -> None:
    life = granted(mount)
    sha = push(life, proxy=service("evil:1", volumes=[mount]))
    held(life, "shop/proxy would write")
    life.ask("accept", sha)
    settled(life)
    push(life, proxy=proxy(mount))
    held(life, "shop/proxy would read")


def test_what_was_there_before_it_is_asked_for_once(mount: dict[str, Any]) -> None:
    life = Life()
    push(life, evil=service("evil:1", volumes=[mount]))
    settled(life)
    life.machine.host_files.contents["/state/data/shop/data/key"] = "x"
    push(life, proxy=proxy(mount))
    allow(life)
    sha = push(life, proxy=proxy(mount))
    held(life, "shop/proxy would read")
    life.ask("accept", sha)
    settled(life)
    push(life, proxy=proxy(mount), more=service("more:1"))
    settled(life)


def test_a_newer_image_of_its_own_is_not_asked_for(mount: dict[str, Any]) -> None:
    life = granted(mount)
    push(life, proxy={**proxy(mount), "image": "proxy:2"})
    settled(allow(life))
    push(life, web=service("web:2"))
    settled(life)


def test_who_may_write_beside_it_is_the_pins_matter(mount: dict[str, Any]) -> None:
    life = granted(mount)
    beside = service("backup:1", volumes=[mount])
    push(life, proxy=proxy(mount), backup=beside)
    settled(allow(life))
    push(life, backup=beside)
    settled(life)  # as it was read when it was granted
    push(life, backup={**beside, "image": "evil:1"})
    assert life.turn().outcome is Outcome.SUCCEEDED  # the proxy is gone from last good
    push(life, proxy=proxy(mount), backup=beside)
    held(life, "shop/proxy would read")
