"""A commit that would hide live data is held, and the message names the data. After `accept` it is applied."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import VOLUME_IMAGE, living, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()


@together.with_one_compose
def test_live_data_is_not_hidden_by_a_commit(host: Host) -> None:
    keeping = living("echo kept >>/data/db", volumes=["./data:/data", "rows:/rows"])
    box = living("echo kept >>/store/x", image=VOLUME_IMAGE, volumes=["box:/store"])
    boxes: dict[str, Any] = {"rows": {}, "box": {}}
    host.push({"db": keeping, "web": stated("1"), "box": box}, volumes=boxes)
    assert host.once()["outcome"] == "Succeeded"
    before = host.ids()
    renamed = living("echo kept >>/data/db", volumes=["./data:/data", "table:/rows"])
    hidden = f"{host.state}/data/{host.stack}/compose/stack/data"
    cases: tuple[tuple[dict[str, Any], dict[str, str], dict[str, Any], str], ...] = (
        ({"db": keeping, "box": box}, {"data/seed": "x"}, boxes, f"hide the data in {hidden}"),
        ({"db": keeping, "box": {**box, "volumes": []}}, {}, {"rows": {}}, f"the data are in {host.stack}_box"),
        ({"db": renamed, "box": box}, {}, {"table": {}, "box": {}}, f"the data are in {host.stack}_rows"),
    )
    for services, files, volumes, words in cases:
        sha = host.push({**services, "web": stated("1")}, files, volumes=volumes)
        for _ in range(2):
            turn = host.once()
            assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "ConsentMissing"), turn["message"]
            assert words in turn["message"]
        assert host.ids() == before
    assert host.exec("db-1", "cat /data/db") == "kept"
    assert host.run("accept", sha).code == 0
    assert host.once()["outcome"] == "Succeeded"
    assert host.exec("db-1", "sort -u /data/db") == "kept"
    assert {f"{host.stack}_rows", f"{host.stack}_table"} <= host.volumes()
