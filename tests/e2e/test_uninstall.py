"""`uninstall` removes the agent's containers and files, and nothing else: volumes, data and foreign containers stay."""

from __future__ import annotations

import uuid

import pytest

from tests.e2e.host import Answer, Host, eventually
from tests.e2e.services import IMAGE, healthy

pytestmark = pytest.mark.engine


def test_each_level_leaves_data_volumes_and_others_alone(host: Host) -> None:
    mounts = ["kept:/var/lib/app", "/anonymous", "./data:/data"]
    script = "echo mine > /var/lib/app/x; echo mine > /anonymous/x; echo mine > /data/x; touch /tmp/healthy"
    host.push({"app": healthy(script, volumes=mounts)}, volumes={"kept": {}})
    assert host.once().code == 0
    app = host.container("app")
    volumes = {item["Name"] for item in app["Mounts"] if item["Type"] == "volume"}
    assert len(volumes) == 2
    other = host.engine.create_container(IMAGE, ["sleep", "100"], name=f"{host.name}-other-{uuid.uuid4().hex[:6]}")
    host.engine.start(other["Id"])

    def uninstall(level: str, *more: str) -> Answer:
        folder = str(host.folder / "config")  # so that no service file of this machine is read
        return host.run("uninstall", "--platform", "systemd-user", "--level", level, *more, XDG_CONFIG_HOME=folder)

    try:
        shown = uninstall("state", "--print")
        assert (shown.code, shown["containers"]) == (0, [f"{host.stack}-app-1"])
        assert uninstall("containers").code == 1
        assert host.states() == {"app-1": "running"}
        with host.started("run"):
            eventually(lambda: host.status()["agent"]["running"])
            assert uninstall("containers", "--yes").code == 75
            assert host.states() == {"app-1": "running"}
        done = uninstall("containers", "--yes")
        assert (done.code, done["containers"]) == (0, [f"{host.stack}-app-1"])
        assert host.containers() == {}
        assert host.networks() == {}
        assert host.once().code == 0  # the agent can still continue with the rest
        done = uninstall("state", "--yes")
        assert done.code == 0
        assert host.containers() == {}
        assert [item.name for item in host.state.iterdir()] == ["data"]
        assert next(host.state.rglob("x")).read_text() == "mine\n"
        present = {item["Name"] for item in host.engine.volumes()["Volumes"]}
        assert volumes <= present
        assert host.engine.inspect_container(other["Id"])["State"]["Running"]
    finally:
        host.engine.remove_container(other["Id"], force=True)
        for name in volumes:
            host.engine.remove_volume(name, force=True)
