"""What `upgrade` compares before it switches, and when it switches back. On a real machine: tests/target/."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.act.versions import COMPLETE, Versions
from reconciler.errors import Locked, Transient, Usage
from reconciler.model.outcome import Reason
from reconciler.model.times import rfc3339
from reconciler.record import text
from reconciler.record.text.layout import Style
from reconciler.reference import output_schema
from reconciler.signals import Ended
from reconciler.verbs.upgrade import UNENDED, Upgrader, Upgrading

SCHEMA = Draft202012Validator(output_schema())
NOW = 1_800_000_000.0
HEAD = "a" * 40


@pytest.fixture
def shelf(tmp_path: Path) -> Versions:
    """Two versions that are unpacked already."""
    for name in ("1.0", "2.0"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin/reconciler").touch()
        (tmp_path / name / COMPLETE).touch()
    (tmp_path / "current").symlink_to("1.0")
    return Versions(tmp_path, "current", {})


def doctor(*failed: str) -> dict[str, Any]:
    checks = [{"name": name, "ok": name not in failed, "message": "x"} for name in dict.fromkeys(("compose", *failed))]
    return {"kind": "Doctor", "checks": checks}


def plan(changes: bool = False, revision: str = HEAD) -> dict[str, Any]:
    restarts = ["shop/web"] if changes else []
    return {"kind": "Plan", "revision": revision, "changes": changes, "restarts": restarts, "steps": []}


def status(sync: str = "Synced", health: str = "Healthy", *, started: float = NOW + 1) -> dict[str, Any]:
    agent = {"running": True, "startedAt": rfc3339(started, "milliseconds")}
    source = {"lastFetchAt": rfc3339(started + 1, "milliseconds"), "error": None}
    words = {"sync": sync, "health": health, "reason": "X", "message": "y"}
    return {"kind": "Status", "agent": agent, "source": source, **words}


ERROR = {"kind": "Error", "message": "a journal of a newer version"}


class Stop(threading.Event):
    """`wait` returns at once."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


class Machine:
    """A machine with given answers of each version. `restarts`: the restarts of the service."""

    def __init__(self, shelf: Versions, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
        plain = {"doctor": doctor(), "plan": plan(), "status": status(started=NOW - 100)}
        self.answers = {"1.0": {**plain, **(old or {})}, "2.0": {**plain, "status": status(), **new}}
        self.restarts: list[str] = []
        self.shelf, self.time, self.stop = shelf, NOW, Stop()

    def ask(self, version: Path, verb: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.answers[version.name][verb]
        return found

    def restart(self, seconds: float) -> None:
        self.restarts.append(self.shelf.current().name)

    def now(self) -> float:
        self.time += 1 if self.restarts else 0
        return self.time

    def upgrade(self, named: str = "2.0", *, show: bool = False) -> tuple[int, Mapping[str, Any]]:
        parts = Upgrading(self.shelf, self.ask, self.restart, lambda line: None, self.stop)
        return Upgrader(parts, self.now).run(self.shelf.find(named), show=show)


@pytest.mark.parametrize(
    ("new", "old", "outcome"),
    [
        ({}, {}, "Upgraded"),
        ({"doctor": doctor("compose")}, {}, "Refused"),
        ({"doctor": doctor("compose")}, {"doctor": doctor("compose")}, "Upgraded"),
        ({"plan": plan(changes=True)}, {}, "Refused"),
        ({"plan": plan(changes=True)}, {"plan": plan(changes=True)}, "Upgraded"),
        ({"plan": plan(changes=True, revision="b" * 40)}, {}, "Upgraded"),
        ({"plan": ERROR}, {}, "Refused"),
        ({"doctor": ERROR}, {}, "Refused"),
        ({"status": status(health="Degraded")}, {}, "TakenBack"),
        ({"status": status(health="Degraded")}, {"status": status(health="Degraded", started=NOW - 9)}, "Upgraded"),
        ({"status": status(started=NOW - 100)}, {}, "TakenBack"),
        ({"status": ERROR}, {}, "TakenBack"),
        ({"doctor": doctor("a check of the new version")}, {}, "Upgraded"),
        ({"doctor": doctor("version")}, {"doctor": doctor("disk", "version")}, "Upgraded"),
    ],
)
def test_a_new_version_takes_over_only_if_nothing_gets_worse(
    shelf: Versions, new: Mapping[str, Any], old: Mapping[str, Any], outcome: str
) -> None:
    machine = Machine(shelf, new, old)
    code, document = machine.upgrade()
    assert SCHEMA.is_valid(document)
    assert (code, document["outcome"]) == (0 if outcome == "Upgraded" else 1, outcome)
    assert shelf.current().name == ("2.0" if outcome == "Upgraded" else "1.0")
    assert machine.restarts == {"Upgraded": ["2.0"], "TakenBack": ["2.0", "1.0"], "Refused": []}[outcome]
    assert "1.0 → 2.0" in text.render(document, Style(), NOW)
    failure = shelf.noted(shelf.folder / "2.0")
    assert (failure.outcome if failure else "Upgraded") == outcome
    assert shelf.unproven() is None


def test_the_old_version_returns_if_the_new_one_does_not_start(shelf: Versions) -> None:
    machine = Machine(shelf, {})
    first = machine.restart

    def restart(seconds: float) -> None:
        first(seconds)
        if shelf.current().name == "2.0":
            assert seconds == 60
            raise Transient(Reason.SERVICE_FAILED, "the service failed", "")

    machine.restart = restart  # type: ignore[method-assign]
    code, document = machine.upgrade()
    assert (code, document["outcome"], document["message"]) == (1, "TakenBack", "the service failed")
    assert machine.restarts == ["2.0", "1.0"]


def test_a_signal_lets_the_old_version_return(shelf: Versions) -> None:
    machine = Machine(shelf, {"status": status(started=NOW - 100)})
    first = machine.restart

    def restart(seconds: float) -> None:
        first(seconds)
        machine.stop.set()

    machine.restart = restart  # type: ignore[method-assign]
    code, document = machine.upgrade()
    assert (code, document["outcome"]) == (143, "TakenBack")
    assert machine.restarts == ["2.0", "1.0"]
    assert shelf.noted(shelf.folder / "2.0") is None  # the version is not to blame


def test_whatever_ends_the_upgrade_the_old_version_returns(shelf: Versions) -> None:
    machine = Machine(shelf, {})
    plain = machine.ask

    def ask(version: Path, verb: str) -> Mapping[str, Any]:
        if machine.restarts:
            raise Ended(2)
        return plain(version, verb)

    machine.ask = ask  # type: ignore[method-assign]
    with pytest.raises(Ended):
        machine.upgrade()
    assert (shelf.current().name, machine.restarts, shelf.unproven()) == ("1.0", ["2.0", "1.0"], None)


def test_an_upgrade_that_a_power_cut_has_ended_is_undone_first(shelf: Versions) -> None:
    shelf.prove(shelf.current())
    shelf.switch(shelf.folder / "2.0")  # here the power is cut
    machine = Machine(shelf, {"plan": plan(changes=True)})
    assert machine.upgrade()[1]["outcome"] == "Refused"
    assert (shelf.current().name, machine.restarts, shelf.unproven()) == ("1.0", ["1.0"], None)
    upgrader = Upgrader(Upgrading(shelf, machine.ask, machine.restart, lambda line: None, machine.stop))
    assert upgrader.settle() is None
    shelf.prove(shelf.current())
    shelf.switch(shelf.folder / "2.0")
    code, document = upgrader.settle() or (0, {})
    assert (code, document["outcome"], shelf.current().name) == (1, "TakenBack", "1.0")
    assert SCHEMA.is_valid(document)


def test_an_upgrade_that_is_killed_again_and_again_is_noted_as_failed(shelf: Versions) -> None:
    machine = Machine(shelf, {})
    plain, new = machine.restart, shelf.folder / "2.0"

    def killed(seconds: float) -> None:
        if shelf.current() == new:
            raise Ended(9)

    for outcome in ("Refused", "TakenBack", "TakenBack"):
        machine.restart = killed  # type: ignore[method-assign]
        with pytest.raises(Ended):
            machine.upgrade()
        failure = shelf.noted(new)
        assert failure is not None
        assert (failure.outcome, failure.message) == (outcome, UNENDED)
    machine.restart = plain  # type: ignore[method-assign]
    machine.stop.set()
    assert machine.upgrade()[1]["outcome"] == "Refused"
    assert shelf.noted(new) == failure  # a signal proves nothing about the version
    machine.stop.clear()
    assert machine.upgrade(show=True)[1]["outcome"] == "Shown"
    assert shelf.noted(new) == failure
    assert machine.upgrade()[1]["outcome"] == "Upgraded"
    assert shelf.noted(new) is None


def test_if_the_old_version_does_not_restart_the_message_says_so(shelf: Versions) -> None:
    machine = Machine(shelf, {})

    def restart(seconds: float) -> None:
        raise Transient(Reason.SERVICE_FAILED, "systemd does not answer", "")

    machine.restart = restart  # type: ignore[method-assign]
    code, document = machine.upgrade()
    assert (code, document["outcome"], shelf.current().name) == (1, "TakenBack", "1.0")
    assert "could not be restarted" in document["message"]
    assert shelf.unproven() == shelf.current()


def test_the_same_version_and_print_change_nothing(shelf: Versions) -> None:
    machine = Machine(shelf, {})
    assert machine.upgrade("1.0")[1]["outcome"] == "Unchanged"
    assert machine.upgrade(show=True)[1]["outcome"] == "Shown"
    assert (shelf.current().name, machine.restarts) == ("1.0", [])


def test_a_file_that_is_no_version_is_an_error(shelf: Versions, tmp_path: Path) -> None:
    (tmp_path / "other-1.0.whl").touch()
    for named in ("3.0", "../1.0", "other-1.0.whl", str(tmp_path / "other-1.0.whl"), None):
        with pytest.raises(Usage):
            shelf.find(named)


def test_a_second_upgrade_at_the_same_time_is_refused(shelf: Versions, tmp_path: Path) -> None:
    with shelf.alone(), pytest.raises(Locked), Versions(tmp_path, "current", {}).alone():
        pass


def test_only_versions_that_an_upgrade_has_made_are_removed(shelf: Versions, tmp_path: Path) -> None:
    for name in ("0.9-12345678", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "0.9-12345678" / COMPLETE).touch()
    shelf.tidy((tmp_path / "1.0", tmp_path / "2.0"))
    assert sorted(item.name for item in tmp_path.iterdir()) == ["1.0", "2.0", "current", "mine"]
