"""The checks at the end of a bootstrap: the connection, the engine, the branch, and the first turn."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler.bootstrap.machine import Machine
from reconciler.bootstrap.places import Places
from reconciler.model.checks import Check
from reconciler.observe.line import Line
from reconciler.process import Completed
from reconciler.verbs.nettest import HIGHEST_RTT, LEAST_TRANSFER, percentile

Json = Mapping[str, Any]

ROUND_TRIPS = 20
FIRST_TURN = 120.0
"""Seconds until the first turn must have ended well."""
HOPELESS = 15.0
"""Seconds after which an error of the source ends the wait: by then it is unlikely to pass."""
_PAUSE = 0.5


def connection(line: Line) -> Iterator[Check]:
    """Round trips and transfer. A slow connection gets a hint and passes; only a broken one fails."""
    with line.echo() as echo:
        taken = [took for _ in range(ROUND_TRIPS) if (took := echo.round_trip()) is not None]
    slowest = percentile(taken, 95)
    if slowest is None:
        yield Check("round-trip", False, "the connection broke", "run it again; `reconciler nettest` watches it longer")
        return
    slow = slowest >= HIGHEST_RTT
    hint = f"a connection of less than {HIGHEST_RTT * 1000:g} ms feels better: a cable, the same network, or Tailscale"
    yield Check("round-trip", True, f"{slowest * 1000:.1f} ms (p95)", hint if slow else "")
    up, down = line.up(), line.down()
    told = ", ".join(f"{word} {_rate(rate)}" for word, rate in (("up", up), ("down", down)))
    slow = any(rate is None or rate <= LEAST_TRANSFER for rate in (up, down))
    hint = f"more than {LEAST_TRANSFER / 1e6:g} MB/s is good for pushes and tunnels; see docs/remote.md, nettest"
    yield Check("transfer", True, told, hint if slow else "")


def engine(machine: Machine, places: Places, round_trip: float) -> Check:
    """Whether the engine answers the agent's account. `round_trip`: seconds that do not count as the engine's."""
    begun = time.monotonic()
    # A command over ssh has a PATH without Homebrew's folder.
    done = machine.run("PATH=$PATH:/opt/homebrew/bin docker version --format '{{.Server.Version}}'", places.account)
    took = max(0.0, time.monotonic() - begun - round_trip)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        hint = f"see what the engine says on the machine: {places.engine_logs}"
        return Check("engine", False, said[-1] if said else "it does not answer", hint)
    return Check(
        "engine", True, f"version {done.stdout.decode().strip()} answers {places.account} in {took * 1000:.0f} ms"
    )


def doctor(machine: Machine, places: Places) -> Iterator[Check]:
    """From `doctor` on the machine: its check of the branch, and its findings (those about the engine left out)."""
    verb = f"{places.program} --config {shlex.quote(places.config)} --output json doctor"
    found = _json(machine.run(verb, places.account))
    if found.get("kind") != "Doctor":
        yield Check("doctor", False, str(found.get("message") or "it says nothing"), str(found.get("hint") or ""))
        return
    for item in found["checks"]:
        if item["name"] == "remote":
            yield Check("branch", item["ok"], item["message"], item["hint"])
        elif item["ok"] is False and item["name"] != "engine":
            # Adopted containers keep their logs without a bound until they are made anew, so this is only a hint.
            yield Check(item["name"], item["name"] == "logs", item["message"], item["hint"])


def first_turn(host: str, ask: Callable[[], Completed], patience: float = FIRST_TURN) -> Check:
    """Wait up to `patience` seconds until the host is Synced. `ask`: runs `status` on the machine, as `--on` does."""
    begun, waited = time.monotonic(), 0.0
    while True:
        status = _json(ask())
        waited = time.monotonic() - begun
        if status.get("kind") == "Status" and status["sync"] == "Synced":
            health = "" if status["health"] == "Healthy" else f", {status['health']}"
            return Check("turn", True, f"Synced at {status['lastGoodRevision'][:7]}{health}")
        error = status.get("source", {}).get("error") if status.get("kind") == "Status" else None
        if waited > patience or (error and waited > HOPELESS):
            break
        time.sleep(_PAUSE)
    if status.get("kind") != "Status":
        return Check("turn", False, str(status.get("message")), str(status.get("hint") or ""))
    told = error or status["message"] or status["reason"] or status["sync"]
    return Check(
        "turn", False, f"not Synced after {waited:.0f} s: {told}", f"`reconciler --on {host} status` shows more"
    )


def _json(done: Completed) -> Json:
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        return {"message": said[-1] if said else f"exit code {done.returncode}"}
    return found if isinstance(found, dict) else {}


def _rate(rate: float | None) -> str:
    return "lost" if rate is None else f"{rate / 1e6:.1f} MB/s"
