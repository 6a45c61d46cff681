"""The operator's grants reach the engine as written. Anything beyond them in a push does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.host import new_host
from tests.e2e.services import stated

pytestmark = pytest.mark.engine


def test_a_push_gets_exactly_the_granted_rights(tmp_path: Path, compose: Path) -> None:
    films = tmp_path / "films"
    films.mkdir()
    (films / "a").write_text("film")
    grants = [{"policy": "capability", "values": ["NET_ADMIN"], "reason": "routes"}]
    binds = [{"path": "/films", "host": str(films), "reason": "films"}]
    with new_host(tmp_path / "host", compose, grants=grants, binds=binds) as host:
        mounted = {"type": "bind", "source": "/films", "target": "/films"}
        web = stated("1", cap_add=["NET_ADMIN"], volumes=[{**mounted, "read_only": True}])
        host.push({"web": web})
        assert host.once()["outcome"] == "Succeeded"
        (running,) = host.engine.containers(filters={"label": f"com.docker.compose.project={host.stack}"})
        inspected = host.engine.inspect_container(running["Id"])
        assert inspected["HostConfig"]["CapAdd"] in (["NET_ADMIN"], ["CAP_NET_ADMIN"])
        assert [(item["Source"], item["RW"]) for item in inspected["Mounts"]] == [(str(films), False)]
        for attack in (
            {**web, "cap_add": ["NET_ADMIN", "SYS_ADMIN"]},
            {**web, "volumes": [mounted]},
        ):
            host.push({"web": attack})
            assert host.once()["outcome"] == "Rejected"
        assert host.engine.inspect_container(running["Id"])["State"] == inspected["State"]
        host.configure(trust="owner", binds=binds)
        host.push({"web": {**web, "cap_add": ["NET_ADMIN", "SYS_ADMIN"]}})
        assert host.once()["outcome"] == "Succeeded"
        assert host.status()["trust"] == "owner"
