"""The first turn does what `init` says about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from reconciler.model.outcome import Outcome
from reconciler.verbs.init_place import Judged
from reconciler.wiring.first_turn import judged
from tests.fakes.life import Life, service
from tests.fakes.plain import compose_up
from tests.fakes.source import TextFiles

RUNNING = {"services": {"web": service("web:1"), "db": service("db:1"), "side": service("side:1", health=False)}}


def running(model: Mapping[str, Any] = RUNNING) -> Life:
    life = Life(adopt=("shop",))
    compose_up(life, model)
    life.machine.advance(5.0)
    return life


def asked(life: Life, model: Mapping[str, Any]) -> Judged:
    """The answer of `init` for a working folder with this model; the machine does not change."""
    before = life.machine.snapshot()
    for item in model["services"].values():
        life.image(item["image"])
    files = TextFiles({"desired-state/mini.yaml": life.document, "shop.yaml": json.dumps(model)})
    ports = life.ports()
    prepared = ports.preparer.prepare(files)
    known = Judged(prepared.violations)
    found = judged(known, ports.preparer, prepared, ports.images, ports.observer, ports.host_files, "mini")
    assert life.machine.snapshot() == before
    return found


def test_what_runs_as_it_is_written_goes_on_running() -> None:
    life = running()
    found = asked(life, RUNNING)
    assert (list(found.restarts), list(found.notes)) == ([], [])
    life.push_model(RUNNING)
    _, document = life.plan()
    assert document["restarts"] == []


def test_what_would_be_replaced_is_told_with_its_causes_as_plan_and_the_turn_do_it() -> None:
    life = running()
    model = {"services": RUNNING["services"] | {"web": service("web:2")}}
    found = asked(life, model)
    ids = life.ids()
    assert [(stack, name) for stack, name, _ in found.restarts] == [("shop", "web")]
    ((_, _, causes),) = found.restarts
    assert any("image" in cause for cause in causes)
    life.push_model(model)
    _, document = life.plan()
    assert document["restarts"] == ["shop/web"]
    assert life.turn().outcome is Outcome.SUCCEEDED
    assert [name for name, id in ids.items() if life.ids().get(name) != id] == ["shop-web-1"]


def test_why_the_first_turn_would_not_try_it_is_a_note() -> None:
    life = running()
    life.machine.processes[("0.0.0.0", 8001, "tcp")] = "nginx"
    ports = [{"mode": "ingress", "target": 80, "published": "8001", "protocol": "tcp"}]
    model = {"services": RUNNING["services"] | {"new": service("new:1", ports=ports)}}
    found = asked(life, model)
    (note,) = found.notes
    assert note.startswith("the first turn would not try it now: shop/new wants port 8001/tcp")
    life.push_model(model)
    turn = life.turn()
    assert turn.message in note
