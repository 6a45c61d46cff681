"""`python -m tests.e2e.pictures FOLDER`: pictures of the monitor's page in headless Chromium: quiet, during a rollout,
after a failed commit, with 60 services and 500 commits; wide and on a phone, light and dark. The figures are
invented. Prints for each the time of the first paint and the faults of accessibility."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.model.endpoints import Answer, Check, Watched
from reconciler.model.history import Attempt, Planned, ServiceRecord
from reconciler.model.measures import Disk, Machine, Usage
from reconciler.model.outcome import Failure, Intent, Outcome, Reason
from reconciler.monitor import server
from reconciler.monitor.samples import EVERY, KEPT
from reconciler.monitor.snapshot import Snapshot
from tests.e2e.browser import browser
from tests.monitor.conftest import GIB, HEAD, NOW, Site, container, snapshot

MIB = 1 << 20
NAMES = ("web", "api", "db", "cache", "worker", "mail", "search", "proxy")
LOG = ["listening on :8080", "cannot connect to db:5432: connection refused", "giving up after 5 tries"]


def attempt(n: int, outcome: Outcome = Outcome.SUCCEEDED) -> Attempt:
    bad = outcome is Outcome.ROLLED_BACK
    done = [ServiceRecord("shop", NAMES[n % 4], "Switched", 1.4), ServiceRecord("shop", "migrate", "RanOnce", 0.0)]
    failure = Failure(Reason.CRASHED, "exited 4 times", "shop", "web", 7, "dial tcp: connection refused", tuple(LOG))
    revision = hashlib.sha1(str(n).encode(), usedforsecurity=False).hexdigest()
    return Attempt(
        str(n), revision, Intent.ADVANCE, NOW - 5400 * n - 40, f"c{n}", outcome,
        Reason.CRASHED if bad else None, "shop/web exited 4 times with code 7" if bad else "applied",
        NOW - 5400 * n - 22, services=tuple(done), failure=failure if bad else None,
        reverted_to=HEAD if bad else None,
        planned=Planned(("shop/web",), downtime=(("shop/web", 310.0),), peak=GIB, bound=8 * GIB),
    )  # fmt: skip


def shown(services: int, attempts: int, failed: bool = False) -> Snapshot:
    """A host with so many services and attempts, two endpoints and a one-shot."""
    names = [("shop", name) for name in NAMES[: min(services, 4)]]
    names += [(f"team-{n // 8}", f"{NAMES[n % 8]}{n}") for n in range(services - len(names))]
    there = [container(name, stack=stack, name=f"{stack}-{name}-1", id=f"{stack}{name}") for stack, name in names]
    tried = [attempt(n) for n in range(1, attempts)]
    made = snapshot([attempt(0, Outcome.ROLLED_BACK if failed else Outcome.SUCCEEDED), *tried], there)
    status: Any = json.loads(json.dumps(made.status))
    status |= {"sync": "Synced", "health": "Healthy", "reason": "ReconciliationSucceeded", "message": ""}
    every = status["stacks"][0]["services"]
    for n, row in enumerate(every):
        row["memory"] = {"limitBytes": 64 * MIB, "usageBytes": (9 + 37 * n % 52) * MIB}
    every.append(
        {
            **every[0],
            "service": "migrate",
            "running": 0,
            "since": None,
            "memory": {"limitBytes": 64 * MIB, "usageBytes": None},
        }
    )
    stacks = dict.fromkeys(row["stack"] for row in every)
    status["stacks"] = [{"name": name, "sync": "Synced", "health": "Healthy",
                         "services": [row for row in every if row["stack"] == name]} for name in stacks]  # fmt: skip
    whole = 11 * GIB
    status["budget"] |= {"budgetBytes": whole, "committedBytes": (services + 1) * 64 * MIB, "foreignBytes": 300 * MIB,
                         "reserveBytes": GIB // 2, "steadyBytes": services * 64 * MIB,
                         "steadyLimitBytes": whole * 4 // 5}  # fmt: skip
    status["source"] |= {"lastFetchAt": "2023-11-14T22:13:05Z", "error": None}
    measures = made.measures
    assert measures is not None
    disks = (Disk("/", 100 * GIB, 40 * GIB, ("state",)), Disk("/var/lib/docker", 250 * GIB, 21 * GIB, ("engine",)))
    machine = Machine(0.18, 16 * GIB, 11 * GIB, 2 * GIB, 90 * MIB, disks)
    usage = {item.id: Usage((9 + 37 * n % 52) * MIB, 100.0) for n, item in enumerate(there)}
    checks = (
        Check(
            Watched("shop", "web", "https://shop.example.org/health", True),
            Answer("", NOW + 40 * 86400),
            NOW,
            NOW - 9000,
        ),
        Check(
            Watched("shop", "db", "tcp://127.0.0.1:5432"),
            Answer("connection refused" if failed else ""),
            NOW,
            NOW - 300,
        ),
    )
    return replace(made, status=status, measures=replace(measures, machine=machine, usage=usage, oom_kills={}),
                   endpoints=checks, watched=tuple(item.watched for item in checks))  # fmt: skip


def rolling(made: Snapshot) -> Snapshot:
    status: Any = json.loads(json.dumps(made.status))
    status |= {"sync": "OutOfSync", "health": "Progressing", "reason": "Progressing"}
    status["rollout"] = {"attempt": "9", "revision": HEAD, "intent": "Advance", "step": 5, "steps": 9,
                         "action": "WaitHealthy", "stack": "shop", "service": "api",
                         "since": "2023-11-14T22:13:00Z"}  # fmt: skip
    status["stacks"][0]["services"][1] |= {"health": "Progressing", "sync": "OutOfSync"}
    return replace(made, status=status)


def broken(made: Snapshot) -> Snapshot:
    status: Any = json.loads(json.dumps(made.status))
    status |= {"reason": "Crashed", "message": "shop/web exited 4 times with code 7; rolled back to bbbbbbb"}
    status["stacks"][0]["services"][2] |= {"health": "Degraded", "reason": "Crashed"}
    return replace(made, status=status)


def _fill(site: Site) -> None:
    """Six hours of samples of all services."""
    measures = shown(60, 1).measures
    assert measures is not None
    names = [f"{item.stack}/{item.service}" for item in measures.containers]
    for n in range(KEPT):
        values: dict[str, float] = {}
        for place, name in enumerate(names):
            swing = math.sin(n / (30 + 7 * place)) + 0.3 * math.sin(n * (place + 1))
            values |= {f"memory {name}": (30 + 9 * swing) * MIB, f"cpu {name}": 0.04 + 0.02 * swing}
        site.samples.add(NOW - (KEPT - n) * EVERY, values)


def main(folder: Path) -> None:
    chromium = shutil.which("chromium")
    assert chromium, "install Chromium (Debian's package chromium)"
    folder.mkdir(parents=True, exist_ok=True)
    site, stop = Site(), threading.Event()
    _fill(site)
    door = server.listen("127.0.0.1", 0)
    port = door.getsockname()[1]
    threading.Thread(target=server.serve, args=(site.application, door, stop), daemon=True).start()
    views = {
        "page": shown(4, 6), "rollout": rolling(shown(4, 6)), "failed": broken(shown(4, 6, failed=True)),
        "many": shown(60, 500),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as profile, browser(chromium, Path(profile)) as page:
        for name, view in views.items():
            site.show(view)
            for scheme, width in (("light", 1200), ("dark", 1200), ("light", 390), ("dark", 390)):
                page.open(f"http://localhost:{port}/", scheme, width)
                if name == "failed":
                    page.value("document.querySelector('details').open = true")
                page.picture(folder / f"{name}-{scheme}-{width}.png")
                paint = page.value("performance.getEntriesByType('paint')[0]?.startTime")
                print(name, scheme, width, f"{paint} ms", page.faults())
    stop.set()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
