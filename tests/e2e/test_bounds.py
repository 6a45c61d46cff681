"""Bounds: memory limits stay within the budget, secrets are in no output, an unsigned commit is not applied."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docker
import pytest

from reconciler.engine import connect
from tests.conftest import engine_address, missing
from tests.e2e.host import Answer, Host
from tests.e2e.services import BROKEN, IMAGE, health, healthy, living, one_shot, stated
from tests.e2e.together import Together
from tests.hostile.canaries import AGENT, PLAIN, leaks

pytestmark = pytest.mark.engine
together = Together()

MiB = 1 << 20


class Sampler(threading.Thread):
    """Adds up the limits of one stack's running containers, as often as it can, and keeps the largest sum."""

    def __init__(self, stack: str) -> None:
        super().__init__(daemon=True)
        self.most, self.samples = 0, 0
        self._engine, self._done = connect(engine_address()), threading.Event()
        self._filter = {"label": f"com.docker.compose.project={stack}", "status": ["running", "restarting", "paused"]}
        self._limits: dict[str, int] = {}

    def run(self) -> None:
        while not self._done.is_set():
            self.most = max(self.most, sum(self._limit(item["Id"]) for item in self._running()))
            self.samples += 1

    def end(self) -> None:
        self._done.set()
        self.join()
        self._engine.close()

    def _running(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._engine.containers(filters=self._filter)
        return found

    def _limit(self, container: str) -> int:
        if container not in self._limits:
            self._limits[container] = limit(self._engine, container) or 0
        return self._limits[container]


def limit(engine: docker.APIClient, container: str) -> int | None:
    """The memory limit of a container in bytes; 0: no limit; None: the container is gone."""
    try:
        memory: int = engine.inspect_container(container)["HostConfig"]["Memory"]
    except docker.errors.NotFound:
        return None
    return memory


@contextmanager
def sampled(stack: str) -> Iterator[Sampler]:
    sampler = Sampler(stack)
    sampler.start()
    try:
        yield sampler
    finally:
        sampler.end()


def full(version: str, **more: Any) -> dict[str, Any]:
    """Services that fill the budget of 256 MiB, so that no second container of one fits."""
    return {
        "web": stated(version, mem_limit="64m", deploy={"replicas": 2}),
        "db": healthy(mem_limit="64m", labels={"version": version}),
        "worker": stated(version, mem_limit="32m"),
        "migrate": one_shot(f"echo {version}; sleep 0.5", mem_limit="32m", depends_on=["db"]),
        **more,
    }


def taken_by_others(host: Host) -> int:
    """Bytes that foreign containers count for, with the overhead of each, and with room for one without a limit to
    grow."""
    others = (c for c in host.engine.containers() if c["Labels"].get("com.docker.compose.project") != host.stack)
    limits = (limit(host.engine, item["Id"]) for item in others)
    return sum((256 * MiB if bytes_ == 0 else bytes_ or 0) + 16 * MiB for bytes_ in limits)


def turn_within(host: Host, own: int, services: dict[str, Any]) -> Answer:
    """Push a commit whose budget leaves this stack `own` bytes, and take a turn. Both are repeated if foreign
    containers took memory meanwhile."""
    while True:
        budget = f"{(taken_by_others(host) + own) // MiB}MiB"
        host.push(services, memory={"budget": budget, "steady": "100%", "reserve": "0"})
        turn = host.once()
        if (turn.code, turn["reason"]) != (3, "BudgetExceeded"):
            return turn


def test_the_limits_of_running_containers_must_stay_within_the_budget(host: Host) -> None:
    own = (256 + 5 * 8) * MiB
    with sampled(host.stack) as sampler:
        assert turn_within(host, own, full("1")).code == 0
        assert turn_within(host, own, full("2")).code == 0
        assert turn_within(host, own, full("3", worker={**BROKEN, "mem_limit": "32m"}))["outcome"] == "RolledBack"
    assert sampler.samples > 50
    assert 0 < sampler.most <= own, f"{sampler.most / MiB} MiB ran at once"


@together.with_one_compose
def test_every_way_to_state_a_limit_must_reach_the_container(host: Host) -> None:
    swapping = stated("1", mem_limit="32m", memswap_limit="64m")
    host.configure(grants=[{"policy": "swap", "stack": host.stack, "service": "c", "reason": "test"}])
    limits = {"resources": {"limits": {"memory": "48m"}}}
    host.push({"a": stated("1"), "b": stated("1", mem_limit=None), "c": swapping,
               "d": stated("1", mem_limit=None, deploy=limits)})  # fmt: skip
    assert host.once().code == 0
    found = {name: host.container(name)["HostConfig"] for name in "abcd"}
    assert {name: item["Memory"] // MiB for name, item in found.items()} == {"a": 32, "b": 32, "c": 32, "d": 48}
    assert {name: item["MemorySwap"] // MiB for name, item in found.items()} == {"a": 32, "b": 32, "c": 64, "d": 48}
    rows = {row["service"]: row for row in host.validate(host.repository.head())["budget"]["rows"]}
    assert {name: row["default"] for name, row in rows.items()} == {"a": False, "b": True, "c": False, "d": False}


@together.with_one_compose
def test_memory_beside_the_limits_must_be_bounded_and_reported_alike_everywhere(host: Host) -> None:
    fast = {"type": "volume", "source": "fast", "target": "/fast"}
    options = {"type": "tmpfs", "device": "tmpfs", "o": "size=8m"}
    # Each container adds 6 MiB to the volume. Once it has ended, no limit counts them.
    filling = 'dd if=/dev/zero of=/fast/$(ls /fast | wc -l) bs=1M count=6; test "$(ls /fast | wc -l)" -gt 2 || exit 1'
    services = {
        "holder": stated("1", volumes=[fast], mem_limit="8m"),
        "filler": living(filling, volumes=[fast], mem_limit="16m", depends_on=["holder"]),
        "ports": stated("1", ports=["127.0.0.1::80", "127.0.0.1::81"]),
        "shared": stated("1", ipc="shareable", shm_size="4m", pids_limit=50),
    }
    sha = host.push(services, volumes={"fast": {"driver_opts": options}})
    budget = host.validate(sha)["budget"]
    beside = {row["service"]: row["overheadBytes"] / MiB for row in budget["rows"]}
    assert beside == {"holder": 8, "filler": 8, "ports": 10.5, "shared": 16}
    assert [(item["volume"], item["sizeBytes"]) for item in budget["volumes"]] == [("fast", (8 + 4) * MiB)]
    planned = host.plan()
    defaults = {item["key"]: item["services"] for item in planned["defaults"]}
    assert f"{host.stack}/shared" not in defaults["pids_limit"]
    assert len(defaults["logging.options.max-size"]) == len(services)
    assert host.once().code == 0
    found = {name: host.container(name)["HostConfig"] for name in services}
    assert {name: item["PidsLimit"] for name, item in found.items()} == dict.fromkeys(services, 4096) | {"shared": 50}
    assert found["holder"]["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert host.exec("shared-1", "cat /proc/sys/kernel/shmall") == "1024"
    assert host.exec("holder-1", "df -k /fast | tail -1").split()[1] == "8192", "what two lives wrote is in it"
    assert host.exec("holder-1", "df -i /fast | tail -1").split()[1] == "2048"
    assert host.status()["budget"]["committedBytes"] == budget["steadyBytes"]
    others = planned["steps"][0]["memoryAfterBytes"]
    assert planned["peakBytes"] - others == budget["peakBytes"]
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_secrets_must_appear_in_no_output(host: Host) -> None:
    folder = host.secrets / host.stack
    folder.mkdir(mode=0o700)
    for name, value in PLAIN.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o600)
    registry = {"auths": {"127.0.0.1:9": {"auth": base64.b64encode(REGISTRY.encode()).decode()}}}
    (host.folder / "config.json").write_text(json.dumps(registry))
    around = {**AGENT, "DOCKER_CONFIG": str(host.folder), "RECONCILER_LOG_LEVEL": "TRACE"}
    tell = "env | sort; env >&2"
    secretive = living(
        f"{tell}; touch /tmp/healthy",
        environment=[*(f"{name}=${{{name}}}" for name in PLAIN), *AGENT],
        labels={"plain": "x"}, secrets=["file"], configs=["made"],
    )  # fmt: skip
    document: dict[str, Any] = {
        "secrets": {"file": {"environment": "OWN"}}, "configs": {"made": {"content": "$LONG and $QUOTED"}},
    }  # fmt: skip
    host.push({"web": secretive, "db": stated("1")}, **document)
    assert host.once(**around).code == 0
    assert host.exec("web-1", "cat /run/secrets/file") == PLAIN["OWN"]
    assert host.exec("web-1", "cat /made") == f"{PLAIN['LONG']} and {PLAIN['QUOTED']}"
    for name in ("QUOTED", "LINES"):
        assert host.exec("web-1", f'printf %s "${name}"') == PLAIN[name]
    crying = {
        **secretive,
        "command": ["sh", "-c", f"{tell}; sleep 1; exit 9"],
        "restart": "no",
        "healthcheck": {"test": "env", "interval": "5s"},
    }
    bad = host.push({"web": crying, "db": stated("1")}, **document)
    turn = host.once(**around)
    assert turn["failure"]["log"], "the log of a service that tells all it knows is shown, masked"
    sick = living(tell, environment=secretive["environment"], healthcheck=health(CUT, start_period="0s"))
    build = {"context": ".", "args": {"A": "$LINE", "B": "$LONG"}}
    dockerfile = f"FROM {IMAGE}\nARG A\nARG B\nRUN echo $A $B; echo $A $B >&2; exit 3\n"
    for wrong, outcome in (
        ({"web": sick}, "RolledBack"),
        ({"web": {**BROKEN, "image": f"{IMAGE}-${{LINE}}"}}, "Rejected"),
        ({"web": {**BROKEN, "image": "127.0.0.1:9/x:${LINE}"}}, "Failed"),
        ({"web": {**BROKEN, "build": build, "image": None}}, "Rejected"),
        ({"web": {**secretive, "command": ["/no/$LONG"]}}, "RolledBack"),
        ({"web": {**secretive, "mem_limit": "${LONG}", "ports": ["${QUOTED}"]}}, "Rejected"),
    ):
        services = {name: {key: v for key, v in service.items() if v is not None} for name, service in wrong.items()}
        host.push({**services, "db": stated("1")}, {"Dockerfile": dockerfile}, **document)
        assert host.once(**around)["outcome"] == outcome
    for verb in (["plan"], ["status"], ["history"], ["plan", "--commit", bad]):
        host.run(*verb)
    assert host.text("history")
    check_untold(host)


CUT = "printf %04000d 0; printenv LONG; exit 1"
"""The engine keeps 4,096 bytes of a health check's output. Only the beginning of the secret is within them."""
REGISTRY = "person:Jw8m5Tz2Fx6k"


def check_untold(host: Host) -> None:
    told = {
        "output": "\n".join(host.outputs),
        "notes": notes(host),
        "names": "\n".join(map(str, host.state.rglob("*"))),
    }
    told |= {str(path): path.read_bytes().decode(errors="replace") for path in host.state.rglob("*") if path.is_file()}
    told |= {f"labels of {name}": json.dumps(c["Config"]["Labels"]) for name, c in host.containers().items()}
    assert leaks(told, {**PLAIN, "registry": REGISTRY, "password": REGISTRY.partition(":")[2]}) == []
    told |= {name: json.dumps(container) for name, container in host.containers().items()}
    assert leaks(told, AGENT) == []


def notes(host: Host) -> str:
    ref = f"refs/notes/reconciler/{host.name}"
    objects = [line.split()[0] for line in host.repository.git("notes", f"--ref={ref}", "list").splitlines()]
    assert objects
    return "\n".join(host.repository.git("cat-file", "-p", item) for item in objects)


def signed(host: Host, key: str) -> str:
    """Replace the head by the same commit, signed with this key. Returns its sha."""
    head = host.repository.head()
    signing = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={host.folder / key}"]
    return host.repository.set(
        host.repository.git(*signing, "commit-tree", f"{head}^{{tree}}", "-p", head, "-S", "-m", "signed")
    )


@together.with_one_compose
def test_a_commit_without_an_allowed_signature_must_change_nothing(host: Host) -> None:
    if shutil.which("ssh-keygen") is None:
        missing("ssh-keygen is not here: scripts/setup.sh --tests installs it")
    for key in ("ann", "stranger"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(host.folder / key)], check=True)
    allowed = host.folder / "allowed_signers"
    allowed.write_text(f"ann@example.org {(host.folder / 'ann.pub').read_text()}")
    host.configure(source={"allowed_signers": str(allowed)})
    refused = host.push({"web": stated("1")})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "SignatureInvalid")
    assert "is not signed" in turn["violations"][0]["message"]
    assert not host.containers()
    assert not host.networks()
    good = signed(host, "ann")
    assert host.once().code == 0
    before = host.machine()
    host.push({"web": stated("2")})
    wrong = signed(host, "stranger")
    assert host.once()["reason"] == "SignatureInvalid"
    assert host.machine() == before
    found = {sha: note.first.split()[1:] for sha in (refused, good, wrong) if (note := host.note(sha))}
    assert found == {
        refused: ["failure", "SignatureInvalid"], good: ["success", "ReconciliationSucceeded"],
        wrong: ["failure", "SignatureInvalid"],
    }  # fmt: skip
