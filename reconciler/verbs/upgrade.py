"""`upgrade`: a new version of this program takes over, or the old one is restored. No container is touched."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from reconciler.errors import ReconcilerError
from reconciler.record import summary_service
from reconciler.values import dataclass
from reconciler.verbs import Answer

Json = Mapping[str, Any]

PROOF = 60.0
"""Seconds in which the new version has to take a good turn."""
LOOK = 0.5

_RANKS = {"Synced Healthy": 0, "Synced Progressing": 1}


class Shelf(Protocol):
    """The installed versions (`act.versions.Versions`)."""

    def current(self) -> Path: ...

    def unpack(self, wheel: Path) -> Path: ...

    def switch(self, version: Path) -> None: ...


@dataclass(frozen=True, slots=True)
class Upgrading:
    """`ask`: runs a verb of a version, returns its document; `restart`: restarts the service, which runs the version
    that the link `current` names. `tell`: prints progress."""

    shelf: Shelf
    ask: Callable[..., Json]
    restart: Callable[[], None]
    tell: Callable[[str], None]


@dataclass(slots=True)
class Checks:
    rows: list[tuple[str, bool, str]] = field(default_factory=list)

    def add(self, name: str, ok: bool, message: str) -> bool:
        self.rows.append((name, ok, message))
        return ok

    @property
    def first_bad(self) -> str:
        return next((f"{name}: {message}" for name, ok, message in self.rows if not ok), "")


class Upgrader:
    def __init__(self, parts: Upgrading, now: Callable[[], float] = time.time) -> None:
        self._parts, self._now = parts, now

    def run(self, wheel: Path, *, show: bool) -> Answer:
        """Upgrade to the wheel's version. `show`: only compare the two versions."""
        parts, checks = self._parts, Checks()
        old = parts.shelf.current()
        parts.tell(f"unpack {wheel.name}")
        new = parts.shelf.unpack(wheel)
        if new == old:
            return 0, _document(old, new, "Unchanged", "this version runs already", checks)
        parts.tell(f"compare {new.name} with {old.name}")
        before = self._status(old)
        if not self._agrees(old, new, checks):
            return 1, _document(old, new, "Refused", checks.first_bad, checks)
        if show:
            return 0, _document(old, new, "Shown", "nothing was changed", checks)
        parts.tell(f"switch to {new.name}")
        begun = self._now()
        try:
            parts.shelf.switch(new)
            parts.restart()
            why = self._proves_itself(new, before, begun)
        except ReconcilerError as error:
            why = error.message
        if not why:
            checks.add("turn", True, "the new version has taken a good turn")
            return 0, _document(old, new, "Upgraded", "no container was touched", checks)
        checks.add("turn", False, why)
        parts.tell(f"go back to {old.name}: {why}")
        parts.shelf.switch(old)
        parts.restart()
        return 1, _document(old, new, "TakenBack", why, checks)

    def _agrees(self, old: Path, new: Path, checks: Checks) -> bool:
        """Whether the new version judges this machine as the old one does."""
        try:
            doctors, plans = ((self._ask(old, verb), self._ask(new, verb)) for verb in ("doctor", "plan"))
        except ReconcilerError as error:
            return checks.add("plan", False, error.message)
        for name, (was, found) in (("doctor", doctors), ("plan", plans)):
            if found.get("kind") == "Error" and was.get("kind") != "Error":
                return checks.add(name, False, str(found["message"]))
        known, failed = _failed(doctors[0]), _failed(doctors[1])
        worse = [f"{name}: {message}" for name, message in failed.items() if name not in known]
        checks.add("doctor", not worse, "; ".join(worse) or "no more findings than before")
        was, found = plans
        changes = was.get("revision") == found.get("revision") and found.get("changes") and not was.get("changes")
        names = ", ".join(found.get("restarts") or [step["action"] for step in found.get("steps", ())][:5])
        checks.add("plan", not changes, f"it would change what runs: {names}" if changes else "it would change nothing")
        return not checks.first_bad

    def _proves_itself(self, new: Path, before: Json, begun: float) -> str:
        """Wait for a good turn of the new version. Returns why there was none within PROOF seconds; '' if there was
        one."""
        from reconciler.model.times import instant

        why, until = "its agent has not started", self._now() + PROOF
        while self._now() < until:
            status = self._status(new)
            started = status.get("agent", {}).get("startedAt")
            if status.get("agent", {}).get("running") and started and instant(started) >= begun - 1:
                looked = status["source"]["lastFetchAt"]
                turned = (looked and instant(looked) >= begun - 1) or status["source"]["error"]
                if turned and _rank(status) <= _rank(before):
                    return ""
                why = f"{status['sync']} {status['health']}: {status['reason']}: {status['message']}"
            elif status.get("kind") == "Error":
                why = str(status["message"])
            time.sleep(LOOK)
        return f"no good turn within {PROOF:g} s: {why}"

    def _status(self, version: Path) -> Json:
        try:
            return self._ask(version, "status")
        except ReconcilerError as error:
            return {"kind": "Error", "message": error.message}

    def _ask(self, version: Path, verb: str) -> Json:
        return self._parts.ask(version, verb)


def _failed(doctor: Json) -> dict[str, str]:
    return {item["name"]: item["message"] for item in doctor.get("checks", ()) if item["ok"] is False}


def _rank(status: Json) -> int:
    """Rank of a status; 0 is best. An Error document is worse than any status."""
    if status.get("kind") == "Error":
        return 3
    return _RANKS.get(f"{status['sync']} {status['health']}", 2)


def _document(old: Path, new: Path, outcome: str, message: str, checks: Checks) -> Mapping[str, Any]:
    return summary_service.upgrade(old.name, new.name, outcome, message, checks.rows)
