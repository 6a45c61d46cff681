"""The reference rollout: database, cache, two application containers, a worker, and a migration that runs once.

The application is replaced start-first, everything else stop-first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.e2e.host import KILLED, Host, new_host
from tests.e2e.services import BROKEN, healthy, one_shot, stated

NAMES = {"db-1", "cache-1", "app-1", "app-2", "worker-1", "migrate-1"}
SENTINEL = "bytes that must stay"
FLOWS = ("advance", "revert", "repair")
START_FIRST: dict[str, Any] = {
    "deploy": {"replicas": 2, "update_config": {"order": "start-first"}},
    "x-reconciler": {"drain": "200ms"},
}


def services(version: str, **more: Any) -> dict[str, Any]:
    """Each version changes all of them except the cache."""
    both = ["default", "inner"]
    after = {
        "migrate": {"condition": "service_completed_successfully"},
        "cache": {"condition": "service_started"},
    }
    return {
        "db": healthy(volumes=["data:/data"], networks=both, labels={"version": version}),
        "cache": stated("1"),
        "migrate": one_shot(f"echo {version}", depends_on={"db": {"condition": "service_healthy"}}),
        "app": stated(version, depends_on=after, networks=both, **START_FIRST),
        "worker": stated(version, depends_on=["app"], configs=[{"source": "conf", "target": "/conf"}]),
        **more,
    }


class Life:
    """A host that gets good and bad commits. It checks what must be true after each."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.heads: list[str] = []
        self.good = ""
        self.state = ""

    def begin(self) -> None:
        """Apply the first commit, and write the sentinel into its volume."""
        self.advance()
        turn = self.host.once()
        assert (turn.code, turn["outcome"]) == (0, "Succeeded"), turn["message"]
        self.host.exec("db-1", f"echo '{SENTINEL}' > /data/sentinel")

    def push(self, flow: str) -> None:
        {"advance": self.advance, "revert": self.revert, "repair": self.harm}[flow]()

    def advance(self) -> None:
        """Push a good commit that changes almost everything."""
        self.good, self.state = str(len(self.heads) + 1), "success"
        self._push(self.good)

    def revert(self) -> None:
        """Push a commit that changes almost everything; its last service fails."""
        self.state = "failure"
        self._push(str(len(self.heads) + 1), worker={**BROKEN, "depends_on": ["app"]})

    def harm(self) -> None:
        """Push nothing, but remove, pause, disconnect and rename running containers. None is only stopped: repeated
        starts have growing delays, which another test covers."""
        stack, engine = self.host.stack, self.host.engine
        engine.remove_container(f"{stack}-app-1", force=True)
        engine.pause(f"{stack}-cache-1")
        engine.disconnect_container_from_network(f"{stack}-app-2", f"{stack}_inner")
        engine.rename(f"{stack}-worker-1", f"{stack}-mine")

    def _push(self, version: str, **more: Any) -> None:
        document = {
            "volumes": {"data": {}},
            "networks": {"default": {}, "inner": {"internal": True}},
            "configs": {"conf": {"file": "./conf"}},
        }
        self.heads.append(self.host.push(services(version, **more), {"conf": version}, **document))

    def check_end(self) -> None:
        """After two turns, head (if it is good) or last good runs; the third turn has nothing to do."""
        turns = [self.host.once(), self.host.once()]
        told = "; ".join(f"{turn['outcome']}: {turn['message']}" for turn in turns)
        assert turns[1].code == (0 if self.state == "success" else 1), told
        last = self.host.once()
        assert (last["outcome"], last["effects"]) == ("Unchanged", 0), f"{told}; {last['message']}"
        self._check_containers()
        self._check_rest()
        self._check_reports()

    def _check_containers(self) -> None:
        states = self.host.states()
        assert states.keys() == NAMES, states
        assert states.pop("migrate-1") == "exited"
        assert set(states.values()) == {"running"}, states
        for service in ("app-1", "app-2", "worker-1"):
            assert self.host.exec(service, "echo $VERSION") == self.good
        for name, container in self.host.containers().items():
            policy = container["HostConfig"]["RestartPolicy"]["Name"]
            assert policy == ("no" if "migrate" in name else "always"), f"{name}: {policy}"

    def _check_rest(self) -> None:
        stack = self.host.stack
        published = json.loads((self.host.state / "status.json").read_text())
        assert published["health"] == "Healthy", published["message"]
        assert self.host.exec("worker-1", "cat /conf") == self.good
        assert set(self.host.networks()) == {f"{stack}_default", f"{stack}_inner"}
        assert self.host.volumes() == {f"{stack}_data"}
        assert self.host.exec("db-1", "cat /data/sentinel") == SENTINEL
        assert self.host.exec("worker-1", f"getent hosts db && getent hosts cache && getent hosts {stack}-app-2")
        for container in ("app-1", "app-2"):
            attached = self.host.containers()[f"{stack}-{container}"]["NetworkSettings"]["Networks"]
            assert all("app" in (item["Aliases"] or ()) for item in attached.values()), attached

    def _check_reports(self) -> None:
        attempts = self.host.history("--limit", "1000")
        finals = [item["revision"] for item in attempts if item["final"]]
        assert sorted(finals) == sorted(self.heads), json.dumps(attempts, indent=1)
        note = self.host.note(self.heads[-1])
        assert note is not None
        assert note.trailers["State"] == self.state
        assert note.text.count("Reconciler-State:") == 1


def effects(folder: Path, compose: Path, flow: str) -> int:
    """The number of effects of the flow without a crash."""
    with new_host(folder, compose) as host:
        life = Life(host)
        life.begin()
        life.push(flow)
        turn = host.once()
        assert turn["outcome"] == ("RolledBack" if flow == "revert" else "Succeeded"), turn["message"]
        count: int = turn["effects"]
        return count


def crashes(folder: Path, compose: Path, flow: str, points: Iterable[int]) -> Iterator[int]:
    """One life with a crash at each of these effects of the flow. Each crash must be corrected; yields the crashes that
    happened."""
    with new_host(folder, compose) as host:
        life = Life(host)
        life.begin()
        for n in points:
            life.push(flow)
            assert host.once(RECONCILER_CRASH_AT=str(n)).code == KILLED, f"there is no effect {n}"
            life.check_end()
            yield n
