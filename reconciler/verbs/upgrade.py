"""`upgrade`: a new version of this program takes over, or the old one is restored. No container is touched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, Protocol

from reconciler.errors import Interrupted, ReconcilerError
from reconciler.model.checks import VERSION_CHECK
from reconciler.model.service import Failure
from reconciler.record import summary_service
from reconciler.values import dataclass
from reconciler.verbs import Answer

Json = Mapping[str, Any]

PROOF = 60.0
"""Seconds until the new version has to report ready, and as many again until its first good turn."""
RETURN = 150.0
"""Seconds that the return of the old version may take: systemd itself waits 90 s for the service to start."""
LOOK = 0.5
ENDED = "a signal ended the upgrade"
CUT_OFF = "an earlier upgrade was cut off"
UNENDED = "it was cut off before it had ended"

_RANKS = {"Synced Healthy": 0, "Synced Progressing": 1}


class Shelf(Protocol):
    """The installed versions (`act.versions.Versions`)."""

    def current(self) -> Path: ...

    def unpack(self, wheel: Path) -> Path: ...

    def switch(self, version: Path) -> None: ...

    def unproven(self) -> Path | None: ...

    def prove(self, old: Path | None) -> None: ...

    def noted(self, version: Path) -> Failure | None: ...

    def note(self, version: Path, failure: Failure | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Upgrading:
    """`ask`: runs a verb of a version, returns its document; `restart`: restarts the service, which runs the version
    that the link `current` names, and waits at most so many seconds until it is ready. `tell`: prints progress.
    `stop`: set when the upgrade is to end; the old version returns then."""

    shelf: Shelf
    ask: Callable[..., Json]
    restart: Callable[[float], None]
    tell: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)


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
        if not show:
            self.settle()
        old = parts.shelf.current()
        parts.tell(f"unpack {wheel.name}")
        new = parts.shelf.unpack(wheel)
        if new == old:
            return 0, _document(old, new, "Unchanged", "this version runs already", checks)
        tried = parts.shelf.noted(new)
        if not show:
            self._note_beforehand(new, tried)
        parts.tell(f"compare {new.name} with {old.name}")
        before = self._status(old)
        agrees = self._agrees(old, new, checks)
        if parts.stop.is_set():
            if not show:
                parts.shelf.note(new, tried)
            return Interrupted.exit_code, _document(old, new, "Refused", f"{ENDED}; nothing was changed", checks)
        if not agrees:
            if not show:
                parts.shelf.note(new, Failure("Refused", checks.first_bad, self._now()))
            return 1, _document(old, new, "Refused", checks.first_bad, checks)
        if show:
            return 0, _document(old, new, "Shown", "nothing was changed", checks)
        parts.tell(f"switch to {new.name}")
        why = self._take_over(old, new, before)
        if not why:
            parts.shelf.prove(None)
            parts.shelf.note(new, None)
            checks.add("turn", True, "the new version has taken a good turn")
            return 0, _document(old, new, "Upgraded", "no container was touched", checks)
        checks.add("turn", False, why)
        if parts.stop.is_set():
            parts.shelf.note(new, tried)
            return Interrupted.exit_code, _document(old, new, "TakenBack", why, checks)
        parts.shelf.note(new, Failure("TakenBack", why, self._now()))
        return 1, _document(old, new, "TakenBack", why, checks)

    def _note_beforehand(self, new: Path, tried: Failure | None) -> None:
        """Note the failure that counts if nothing of this try can be noted any more, because it is killed or the
        machine goes down. `tried`: the last failure. After a second such end, the version is not tried by itself."""
        again = tried is not None and tried.message == UNENDED
        self._parts.shelf.note(new, Failure("TakenBack" if again else "Refused", UNENDED, self._now()))

    def settle(self) -> Answer | None:
        """Let the old version return, if an earlier upgrade was cut off before its version had proved itself."""
        old, new = self._parts.shelf.unproven(), self._parts.shelf.current()
        if old is None:
            return None
        self._parts.tell(f"{CUT_OFF}: go back to {old.name}")
        self._return(old)
        return 1, _document(old, new, "TakenBack", f"{CUT_OFF} before the new version had proved itself", Checks())

    def _take_over(self, old: Path, new: Path, before: Json) -> str:
        """Let the new version run. If it does not prove itself, the old one runs again; returns why, '' if it does."""
        parts, begun = self._parts, self._now()
        try:
            parts.shelf.prove(old)
            parts.shelf.switch(new)
            parts.restart(PROOF)
            why = self._proves_itself(new, before, begun)
        except ReconcilerError as error:
            why = error.message
        except BaseException:  # a second signal, or a defect
            self._return(old)
            raise
        if why:
            parts.tell(f"go back to {old.name}: {why}")
            try:
                self._return(old)
            except ReconcilerError as error:
                return (
                    f"{why}; the link names {old.name} again, but the service could not be restarted: {error.message}"
                )
        return why

    def _return(self, old: Path) -> None:
        self._parts.shelf.switch(old)
        self._parts.restart(RETURN)
        self._parts.shelf.prove(None)

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
        # A check that only the new version makes does not show that anything has become worse.
        made = {item["name"] for item in doctors[0].get("checks", ())}
        worse = [f"{name}: {message}" for name, message in failed.items() if name in made - known.keys()]
        checks.add("doctor", not worse, "; ".join(worse) or "no more findings than before")
        was, found = plans
        changes = was.get("revision") == found.get("revision") and found.get("changes") and not was.get("changes")
        if was.get("kind") == found.get("kind") == "Error":
            return checks.add("plan", True, f"neither version can tell: {found['message']}")
        names = ", ".join(found.get("restarts") or [step["action"] for step in found.get("steps", ())][:5])
        checks.add("plan", not changes, f"it would change what runs: {names}" if changes else "it would change nothing")
        return not checks.first_bad

    def _proves_itself(self, new: Path, before: Json, begun: float) -> str:
        """Wait for a good turn of the new version. Returns why there was none within PROOF seconds; '' if there was
        one."""
        from reconciler.model.times import instant

        why, until = "its agent has not started", self._now() + PROOF
        while self._now() < until:
            if self._parts.stop.is_set():
                return ENDED
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
            self._parts.stop.wait(LOOK)
        return f"no good turn within {PROOF:g} s: {why}"

    def _status(self, version: Path) -> Json:
        try:
            return self._ask(version, "status")
        except ReconcilerError as error:
            return {"kind": "Error", "message": error.message}

    def _ask(self, version: Path, verb: str) -> Json:
        return self._parts.ask(version, verb)


def _failed(doctor: Json) -> dict[str, str]:
    """Failed checks. The one of the version itself does not count: a person may choose another version."""
    failed = [item for item in doctor.get("checks", ()) if item["ok"] is False]
    return {item["name"]: item["message"] for item in failed if item["name"] != VERSION_CHECK}


def _rank(status: Json) -> int:
    """Rank of a status; 0 is best. An Error document is worse than any status."""
    if status.get("kind") == "Error":
        return 3
    return _RANKS.get(f"{status['sync']} {status['health']}", 2)


def _document(old: Path, new: Path, outcome: str, message: str, checks: Checks) -> Mapping[str, Any]:
    return summary_service.upgrade(old.name, new.name, outcome, message, checks.rows)
