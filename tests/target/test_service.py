"""The service on a real machine: systemd, its own engine, this program as a wheel. Run it with

pytest -m soak tests/target
"""

from __future__ import annotations

import io
import json
import re
import time
import zipfile
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from tests.e2e.host import eventually
from tests.target.target import Target, seconds, target

pytestmark = [pytest.mark.engine, pytest.mark.soak]

CONFIG = """host: mini
source: {url: /srv/git/home.git, interval: 2s}
state: /var/lib/reconciler
trust: owner
"""
HOST = """apiVersion: reconciler/v1
kind: Host
metadata: {name: mini}
spec:
  memory: {budget: 4GiB, steady: 80%, reserve: 128MiB}
  defaults: {gate: {min_healthy_time: 1s}}
  stacks: [{name: shop, files: [compose.yaml]}]
"""
COMPOSE = """services:
  web:
    build: .
    command:
      - sh
      - -c
      - trap 'exit 0' TERM; chown -R 999 /data; chmod 700 /data; echo SAYS > /data/x; while :; do sleep 1; done
    mem_limit: 64m
    restart: always
    volumes: [./data:/data, kept:/kept]
volumes: {kept: {}}
"""
PUSH = "cd /root/clone; git add -A; git commit -q -m change; git push -q -o reconciler.no-wait mini main"
FOLLOWED = PUSH.replace("push -q -o reconciler.no-wait", "push") + " 2>&1"


@pytest.fixture(scope="module")
def machine(engine: docker.APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with target(engine, tmp_path_factory.mktemp("target")) as made:
        made.put("/etc/reconciler/reconciler.yaml", CONFIG.encode())
        made.run(
            "mkdir -p /srv/git; reconciler init --bare /srv/git/home.git --host mini; "
            "git init -q -b main /root/clone; cd /root/clone; git remote add mini /srv/git/home.git; "
            "git config user.name A; git config user.email a@example.org"
        )
        made.put("/root/clone/desired-state/mini.yaml", HOST.encode())
        made.put("/root/clone/compose.yaml", COMPOSE.encode())
        made.put("/root/clone/Dockerfile", b"FROM debian:trixie-slim\nRUN echo built > /built\n")
        yield made


def status(machine: Target) -> dict[str, Any]:
    """The document of `status`, whatever the exit code."""
    found: dict[str, Any] = json.loads(machine.run("reconciler status --output json || true"))
    return found


def well(machine: Target) -> bool:
    found = status(machine)
    return found.get("agent", {}).get("running") is True and (found["sync"], found["health"]) == ("Synced", "Healthy")


def containers(machine: Target) -> str:
    """The running containers and their start times."""
    return machine.run("docker inspect -f '{{.Id}} {{.State.StartedAt}}' $(docker ps -q)")


def shown(machine: Target, name: str) -> str:
    return machine.run(f"systemctl show reconciler -p {name} --value")


def test_the_service_waits_for_the_engine_and_lives_on_without_it(machine: Target) -> None:
    machine.run("systemctl stop docker.socket docker")
    begun = time.monotonic()
    machine.run("reconciler install")
    seconds("install", begun)
    assert shown(machine, "ActiveState") == "active"
    machine.run(PUSH)
    eventually(lambda: "EngineUnavailable" in shown(machine, "StatusText"), seconds=30)
    machine.run("systemctl start docker.socket docker")
    eventually(lambda: well(machine), seconds=60)
    assert "built" in machine.run("docker exec shop-web-1 cat /built")
    before = containers(machine)
    machine.run("systemctl stop docker.socket docker")
    eventually(lambda: "EngineUnavailable" in shown(machine, "StatusText"), seconds=30)
    machine.run("systemctl start docker.socket docker")
    eventually(lambda: well(machine), seconds=60)
    assert containers(machine).split()[0] == before.split()[0]
    assert (shown(machine, "ActiveState"), shown(machine, "NRestarts")) == ("active", "0")


def test_the_unit_is_confined_and_a_push_still_shows_its_rollout(machine: Target) -> None:
    exposure = re.search(r"level for \S+: ([0-9.]+)", machine.run("systemd-analyze security reconciler"))
    assert exposure
    assert float(exposure[1]) <= 3
    machine.run("sed -i s/SAYS/SAYS-more/ /root/clone/compose.yaml")
    said = machine.run(f"{PUSH.replace('push -q -o reconciler.no-wait', 'push')} 2>&1")
    assert re.search(r"mini: [0-9a-f]{7} Succeeded in", said), said
    machine.run("sleep 1; sed -i s/SAYS-more/SAYS-again/ /root/clone/compose.yaml")  # data/ has another owner now
    assert "Succeeded in" in machine.run(f"{PUSH.replace('push -q -o reconciler.no-wait', 'push')} 2>&1")
    log = machine.run("journalctl -u reconciler --no-pager")
    assert "Traceback" not in log
    assert "Operation not permitted" not in log
    machine.put("/root/probe.service", inside(machine.get("/etc/systemd/system/reconciler.service")))
    machine.run("cp /root/probe.service /run/systemd/system; systemctl daemon-reload; systemctl start probe")


def inside(unit: bytes) -> bytes:
    """The agent's unit, in which another program tries whether the kernel can confine Compose."""
    script = "from reconciler.confine import can_confine; assert can_confine()"
    text = re.sub(r"(?m)^ExecStart=(\S+)/reconciler .*", rf'ExecStart=\1/python -c "{script}"', unit.decode())
    return (
        re.sub(r"(?m)^(Type|Restart|WatchdogSec|ExecReload)=.*\n", "", text)
        .replace("[Service]\n", "[Service]\nType=oneshot\n")
        .encode()
    )


MORE = """monitor: {}
grants:
  - {policy: engine-read, stack: shop, service: web, reason: for this test}
"""
ASK = """import socket, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9464/healthz").status)
print(b"reconciler_machine_memory_bytes " in urllib.request.urlopen("http://127.0.0.1:9464/metrics").read())
engine = socket.socket(socket.AF_UNIX)
engine.connect("/var/lib/reconciler/engine/engine-read/docker.sock")
engine.sendall(b"GET /containers/json HTTP/1.1\\r\\nHost: engine\\r\\n\\r\\n")
print(b"shop-web-1" in engine.makefile("rb").read())
"""


def test_the_monitor_and_engine_read_run_beside_the_agent(machine: Target) -> None:
    beside = ("reconciler-monitor", "reconciler-engine-read")
    machine.put("/etc/reconciler/reconciler.yaml", (CONFIG + MORE).encode())
    machine.put("/root/ask.py", ASK.encode())
    machine.run("reconciler install")
    eventually(lambda: well(machine), seconds=60)
    eventually(lambda: machine.answers("python3 /root/ask.py"), seconds=60)
    assert machine.run("python3 /root/ask.py").split() == ["200", "True", "True"]
    machine.reboot()
    eventually(lambda: machine.answers("python3 /root/ask.py"), seconds=120)
    for unit in beside:
        assert machine.run(f"systemctl show {unit} -p NRestarts --value") == "0"
        exposure = re.search(r"level for \S+: ([0-9.]+)", machine.run(f"systemd-analyze security {unit}"))
        assert exposure
        assert float(exposure[1]) <= 3
        log = machine.run(f"journalctl -u {unit} --no-pager")
        assert "Traceback" not in log
        assert "Operation not permitted" not in log
    machine.put("/etc/reconciler/reconciler.yaml", CONFIG.encode())
    machine.run("reconciler install")
    assert [machine.answers(f"systemctl cat {unit}") for unit in beside] == [False, False]
    assert not machine.answers("python3 /root/ask.py")


def test_an_agent_that_hangs_is_restarted(machine: Target) -> None:
    folder = "/run/systemd/system/reconciler.service.d"
    machine.run(f"mkdir -p {folder}; printf '[Service]\\nWatchdogSec=10s\\n' > {folder}/short.conf")
    machine.run("systemctl daemon-reload; systemctl restart reconciler")
    before = containers(machine)
    pid = shown(machine, "MainPID")
    time.sleep(15)  # longer than the watchdog's time: a healthy agent keeps running
    assert shown(machine, "MainPID") == pid
    machine.run(f"kill -STOP {pid}")
    eventually(lambda: shown(machine, "MainPID") not in ("0", pid), seconds=60)
    eventually(lambda: well(machine), seconds=60)
    assert containers(machine) == before
    machine.run(f"rm -r {folder}; systemctl daemon-reload; systemctl restart reconciler")


def test_the_agent_runs_again_after_a_reboot(machine: Target) -> None:
    machine.reboot()
    eventually(lambda: shown(machine, "ActiveState") == "active", seconds=60)
    eventually(lambda: well(machine), seconds=60)


def changed(wheel: bytes, path: str, old: str, new: str) -> bytes:
    """The wheel with `old` replaced by `new` in the file `path`."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as before, zipfile.ZipFile(packed, "w") as after:
        for entry in before.infolist():
            data = before.read(entry)
            if entry.filename == path:
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode())
            after.writestr(entry, data)
    return packed.getvalue()


def renamed(wheel: bytes, old: str, new: str) -> bytes:
    """The wheel as another version."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(wheel)) as before, zipfile.ZipFile(packed, "w") as after:
        for entry in before.infolist():
            data, path = before.read(entry), entry.filename.replace(f"-{old}.dist-info", f"-{new}.dist-info")
            if path.endswith((".dist-info/METADATA", "reconciler/__init__.py")):
                data = data.replace(old.encode(), new.encode())
            after.writestr(path, data.replace(f"-{old}.dist".encode(), f"-{new}.dist".encode()))
    return packed.getvalue()


def test_an_upgrade_takes_over_or_the_old_version_returns(machine: Target) -> None:
    name = machine.run("basename /root/wheels/reconciler-*.whl")
    wheel = machine.get(f"/root/wheels/{name}")
    dead = changed(wheel, "reconciler/wiring/working.py", "        self._manager.ready()\n", "        raise OSError\n")
    before = containers(machine)
    for outcome, data in (("Upgraded", wheel), ("TakenBack", dead)):
        machine.put(f"/root/{outcome}/{name}", data)
        begun = time.monotonic()
        found = json.loads(machine.run(f"reconciler upgrade /root/{outcome}/{name} --output json || true"))
        seconds(f"upgrade, {outcome}", begun)
        assert found["outcome"] == outcome, found
        assert containers(machine) == before
        eventually(lambda: well(machine), seconds=60)
    good = machine.run("readlink /opt/reconciler/current")
    assert good not in ("first", "")
    assert json.loads(machine.run(f"reconciler upgrade /root/Upgraded/{name} --output json"))["outcome"] == "Unchanged"
    found = json.loads(machine.run("reconciler upgrade 9.9.9 --output json", code=2))
    assert "no version 9.9.9" in found["message"]


SIGNED = """cd /root/clone
git -c gpg.format=ssh -c user.signingKey=/root/signer commit -q --allow-empty -S -m change
git push -q -o reconciler.no-wait mini main"""


def asked(machine: Target, version: str) -> None:
    """Push a signed commit that asks for this version, and wait until it is good."""
    machine.put("/root/clone/desired-state/mini.yaml", f"{HOST}  agent: {{version: {version}}}\n".encode())
    machine.run(f"cd /root/clone; git add -A; {SIGNED}")
    head = machine.run("git -C /root/clone rev-parse HEAD")
    eventually(lambda: status(machine)["lastGoodRevision"] == head and well(machine), seconds=60)


def test_a_signed_commit_chooses_the_version_among_the_wheels_of_root(machine: Target) -> None:
    name = machine.run("basename /root/wheels/reconciler-*.whl")
    wheel, now = machine.get(f"/root/wheels/{name}"), name.split("-")[1]
    machine.run("ssh-keygen -q -t ed25519 -N '' -f /root/signer")
    machine.run('echo "* $(cat /root/signer.pub)" > /etc/reconciler/signers; mkdir -p /opt/reconciler/wheels')
    config = CONFIG.replace("interval: 2s", "interval: 2s, allowed_signers: /etc/reconciler/signers")
    machine.put("/etc/reconciler/reconciler.yaml", f"{config}upgrade: {{self_update: true}}\n".encode())
    machine.run("reconciler install")
    assert machine.run("systemctl is-enabled reconciler-upgrade.timer") == "enabled"
    before, self_update = containers(machine), "reconciler upgrade --self-update --output json"
    broken = "reconciler/wiring/working.py", "        self._manager.ready()\n", "        raise OSError\n"
    for version, data, outcome in (("98.0.0", wheel, "Upgraded"), ("99.0.0", changed(wheel, *broken), "TakenBack")):
        assert json.loads(machine.run(self_update))["outcome"] == "Unchanged"
        path, packed = f"/opt/reconciler/wheels/{name.replace(now, version)}", renamed(data, now, version)
        machine.put(path, packed)
        asked(machine, version)
        assert json.loads(machine.run(f"{self_update} --print"))["to"] == version
        machine.run(f"chown nobody {path}")
        assert "belongs to another user" in json.loads(machine.run(self_update, code=2))["message"]
        machine.run(f"chown root {path}; systemctl start reconciler-upgrade.service || true")
        found = machine.run("journalctl -u reconciler-upgrade -o cat --no-pager")
        assert outcome in found, found
        assert machine.run("reconciler --version").split()[-1] == "98.0.0"
        assert containers(machine) == before
        eventually(lambda: well(machine), seconds=60)
    again = json.loads(machine.run(self_update, code=1))
    assert (again["outcome"], "not tried again" in again["message"]) == ("Refused", True)
    assert "TakenBack" in machine.run("reconciler doctor || true").replace("\n", " ")
    asked(machine, "97.0.0")
    assert "older than 98.0.0" in json.loads(machine.run(self_update, code=1))["message"]
    machine.put("/root/clone/desired-state/mini.yaml", f"{HOST}  agent: {{version: 99.0.0}}\n".encode())
    head = status(machine)["lastGoodRevision"]
    # Not signed, and past the hooks.
    machine.run("cd /root/clone; git commit -qam change; git -C /srv/git/home.git fetch -q /root/clone main:main")
    eventually(lambda: status(machine)["source"]["head"] != head, seconds=30)
    assert json.loads(machine.run(self_update, code=1))["message"].count("97.0.0")
    machine.put("/etc/reconciler/reconciler.yaml", CONFIG.encode())
    assert "does not allow" in json.loads(machine.run(self_update, code=2))["message"]
    machine.put("/root/clone/desired-state/mini.yaml", HOST.encode())
    machine.run("reconciler install")
    assert not machine.answers("systemctl cat reconciler-upgrade.timer")
    machine.run(PUSH)
    eventually(lambda: well(machine), seconds=60)


def test_an_account_that_cannot_read_the_config_is_refused_before_anything_changes(machine: Target) -> None:
    before = machine.run("systemctl cat reconciler")
    machine.run("useradd -m other; chmod 600 /etc/reconciler/reconciler.yaml")
    found = json.loads(machine.run("reconciler install --user other --output json", code=2))
    assert "other cannot read the agent config" in found["message"]
    assert (machine.run("systemctl cat reconciler"), machine.run("systemctl is-active reconciler")) == (
        before,
        "active",
    )
    machine.run("chmod 644 /etc/reconciler/reconciler.yaml")


def test_one_account_has_a_service_of_its_own(machine: Target) -> None:
    machine.run("useradd -m -s /bin/bash -G docker me; loginctl enable-linger me")
    machine.run(
        "install -d -o me /home/me/.config/reconciler; "
        "sudo -u me reconciler init --bare /home/me/home.git --host mine; "
        "printf 'host: mine\\nsource: {url: /home/me/home.git, interval: 2s}\\nstate: /home/me/state\\n' "
        "> /home/me/.config/reconciler/reconciler.yaml; "
        "echo 'monitor: {listen: \"127.0.0.1:9465\"}' >> /home/me/.config/reconciler/reconciler.yaml; "
        "chown -R me /home/me/.config"
    )
    machine.run("sudo -iu me reconciler install")
    uid = machine.run("id -u me")
    unit = f"sudo -u me XDG_RUNTIME_DIR=/run/user/{uid} systemctl --user"
    assert machine.run(f"{unit} is-active reconciler") == "active"
    machine.reboot()
    eventually(lambda: machine.answers(f"{unit} is-active reconciler"), seconds=60)
    ask = "python3 -c 'import urllib.request as u; u.urlopen(\"http://127.0.0.1:9465/api/status\")'"
    eventually(lambda: machine.answers(ask), seconds=60)
    machine.run("sudo -iu me reconciler uninstall --yes")
    assert not machine.answers(ask)
    assert not machine.answers(f"{unit} is-active reconciler")
    assert machine.answers("systemctl is-active reconciler")


def test_each_level_of_uninstall_leaves_volumes_and_data(machine: Target) -> None:
    machine.run("reconciler uninstall", code=1)
    machine.run("reconciler uninstall --yes")
    assert machine.run("systemctl is-active reconciler || true") == "inactive"
    assert "shop-web-1" in machine.run("docker ps --format '{{.Names}}'")
    machine.run("reconciler uninstall --yes --level state")
    assert machine.run("docker ps -aq") == ""
    assert "shop_kept" in machine.run("docker volume ls -q")
    assert machine.run("ls /var/lib/reconciler") == "data"
    assert machine.run("find /var/lib/reconciler -name x -exec cat {} +") == "SAYS-again"
