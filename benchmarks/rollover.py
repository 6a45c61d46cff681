"""Failed requests while a service is replaced again and again, behind Caddy and without a proxy.

Four techniques are compared: plain `docker compose up -d`; docker-rollout (start a second container, then remove the
first); our orders start-first and stop-first. There are a hundred requests per second on each way to the service. The
service needs a second to start.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Bar
from benchmarks.sides import MEMORY, Ours, Services, Theirs, both, compose_command, wait_until
from tests.conftest import engine_address

HERE = Path(__file__).resolve().parent
WEB = "reconciler-benchmark-web"
PROXIES = {
    "Caddy": HERE.parent / "compose/shop/proxy",
    "nginx": HERE / "proxies/nginx",
    "HAProxy": HERE / "proxies/haproxy",
}

GATE = {"min_healthy_time": "0s", "healthy_deadline": "8s", "progress_deadline": "2m"}
SLOWEST = 0.6
"""Most seconds of a request. One request in ten takes 0.3 s in the service itself."""

DRAIN = 2.0
"""Seconds that both containers serve, by default."""

FLOOR = 4.0
"""Most failed requests of 1,000 without a proxy: a connection may arrive when the old container stops listening."""

Clients = Mapping[str, Mapping[str, Any]]


def run(pairs: int) -> Iterator[Bar]:
    _build()
    pushes = 2 * pairs
    yield from _bars("plain up -d", _theirs(pushes, lambda theirs: theirs.up("--no-build")))
    yield from _bars("docker-rollout's way", _theirs(pushes, _rollout))
    yield from _bars("ours, stop-first", _ours(pushes, "stop-first"))
    bars = {"slowest": SLOWEST, "behind": 0.0, "without": FLOOR}
    yield from _bars("start-first", _ours(pushes, "start-first"), **bars)
    yield from _bars("start-first, each 2nd fails", _ours(pushes, "start-first", fails=True), **bars)
    stop_first, start_first = (_healthy(pushes, order) for order in ("stop-first", "start-first"))
    yield Bar("push → healthy, start-first", "s", start_first, None, stop_first + DRAIN)
    for proxy in list(PROXIES)[1:]:
        yield _bar("start-first", _ours(pushes, "start-first", proxy=proxy)["proxy"], proxy)


def _healthy(pushes: int, order: str) -> float:
    """Seconds from the push to the first good health check of the new container, the median of so many pushes."""
    seconds = []
    with both() as (ours, _):
        _push(ours, _services(0, order))
        for number in range(1, pushes + 1):
            begun = time.time()
            _push(ours, _services(number, order))
            labels = ["com.docker.compose.service=web", f"com.docker.compose.project={ours.stack}"]
            (found,) = ours.engine.containers(filters={"label": labels})
            checks = ours.engine.inspect_container(found["Id"])["State"]["Health"]["Log"]
            good = next(item["End"] for item in checks if item["ExitCode"] == 0)
            seconds.append(datetime.fromisoformat(f"{good[:26]}+00:00").timestamp() - begun)
    return median(seconds)


def _bars(
    name: str, found: Clients, slowest: float | None = None, behind: float | None = None, without: float | None = None
) -> Iterator[Bar]:
    yield _bar(name, found["proxy"], "Caddy", behind)
    yield _bar(name, found["web"], "no proxy", without)
    yield Bar(f"{name}, slowest", "s", found["proxy"]["slowest"], None, slowest)


def _bar(name: str, found: Mapping[str, Any], way: str, most: float | None = None) -> Bar:
    if found["reasons"]:
        print(f"    {name}, {way}: {found['failed']} of {found['requests']}: {found['reasons']}", file=sys.stderr)
    return Bar(f"{name}, {way}", "‰", 1000 * found["failed"] / found["requests"], None, most)


def _ours(pushes: int, order: str, *, fails: bool = False, proxy: str = "Caddy") -> Clients:
    with both() as (ours, _):
        _push(ours, _services(0, order, proxy=proxy))
        with _clients(f"{ours.stack}_default") as answers:
            for number in range(1, pushes + 1):
                broken = fails and number % 2 == 1
                _push(ours, _services(number, order, broken=broken, proxy=proxy), broken=broken)
        return answers


def _push(ours: Ours, services: Services, *, broken: bool = False) -> None:
    ours.push(services, memory=MEMORY, stack={"gate": GATE})
    answer = ours.once()
    assert answer["outcome"] == ("RolledBack" if broken else "Succeeded"), answer.document


def _theirs(pushes: int, deploy: Callable[[Theirs], None]) -> Clients:
    with both() as (_, theirs):
        theirs.commit(_services(0))
        theirs.pull()
        theirs.up("--wait")
        with _clients(f"{theirs.project}_default") as answers:
            for number in range(1, pushes + 1):
                theirs.commit(_services(number))
                theirs.pull()
                deploy(theirs)
                theirs.up("--wait", "--no-recreate")
        return answers


def _rollout(theirs: Theirs) -> None:
    """What the docker-rollout plugin does: double the containers, wait until they are healthy, remove the old ones."""
    old = _containers(theirs)
    theirs.up("--no-recreate", "--scale", "web=2", "web")
    (new,) = set(_containers(theirs)) - set(old)
    wait_until(lambda: _docker("inspect", "-f", "{{.State.Health.Status}}", new) == "healthy")
    _docker("stop", *old)
    _docker("rm", *old)


def _containers(theirs: Theirs) -> list[str]:
    own = (f"label=com.docker.compose.project={theirs.project}", "label=com.docker.compose.service=web")
    return _docker("ps", "-q", "--filter", own[0], "--filter", own[1]).split()


@contextmanager
def _clients(network: str) -> Iterator[dict[str, Mapping[str, Any]]]:
    """One client for each way to the service. The mapping has their results after the block."""
    found: dict[str, Mapping[str, Any]] = {}
    running = {
        host: _docker("run", "-d", "--network", network, "--init", WEB, "python3", "/client.py", host)
        for host in ("proxy", "web")
    }
    try:
        time.sleep(2)
        yield found
        time.sleep(2)
        for host, container in running.items():
            _docker("stop", "-t", "20", container)
            found[host] = json.loads(_docker("logs", container))
    finally:
        _docker("rm", "-f", *running.values())


def _services(number: int, order: str = "stop-first", *, broken: bool = False, proxy: str = "Caddy") -> Services:
    """The service `web` in version `number`, and a proxy in front of it."""
    probe = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/health', timeout=2)"
    common = {"mem_limit": "96m", "restart": "unless-stopped", "pull_policy": "never", "stop_grace_period": "5s"}
    return {
        "web": {
            "image": WEB, **common, "init": True,
            "environment": {"VERSION": str(number), **({"BROKEN": "1"} if broken else {})},
            "deploy": {"update_config": {"order": order}},
            "healthcheck": {"test": ["CMD", "python3", "-c", probe], "interval": "2s", "timeout": "5s",
                            "retries": 2, "start_period": "20s", "start_interval": "300ms"},
        },
        "proxy": {"image": _image(proxy), **common, "environment": {"HOME": "/tmp"}},  # noqa: S108 - in the container
    }  # fmt: skip


def _build() -> None:
    for name, folder in {WEB: HERE / "web", **{_image(proxy): folder for proxy, folder in PROXIES.items()}}.items():
        model = {"name": "reconciler-benchmark", "services": {"it": {"image": name, "build": str(folder)}}}
        command = [*compose_command(), "-f", "-", "build", "-q"]
        subprocess.run(command, input=json.dumps(model), text=True, check=True)


def _image(proxy: str) -> str:
    return f"reconciler-benchmark-{proxy.lower()}"


def _docker(*arguments: str) -> str:
    done = subprocess.run(["docker", "-H", engine_address(), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()
