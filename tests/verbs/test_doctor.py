"""Each fault is named and does not prevent other checks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.errors import Away, Corrupt, Transient, Usage
from reconciler.model.checks import EngineFacts, LogFacts
from reconciler.model.engine import HOST, REMOTE, SKEW, VM, Engine, engine_of
from reconciler.model.outcome import Reason
from reconciler.record import summary, text
from reconciler.reference import output_schema
from reconciler.verbs.doctor import Doctor, Probes

GIB = 1 << 30
ENGINE = Engine(
    product="Docker Engine", version="28.1.0", api="1.44", oldest_api="1.24", newest_api="1.49", rootless=False,
    storage="overlay2", cgroup="2", limits=True, swap=True, machine=HOST, memory=8 * GIB, ahead=0.1,
)  # fmt: skip


def facts(measured: bool = True, **changes: Any) -> Any:
    return lambda: EngineFacts(replace(ENGINE, **changes), measured)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "engine.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        yield path


@pytest.fixture
def well(engine: Path, state: Path) -> Probes:
    return Probes(
        endpoint=lambda: f"unix://{engine}",
        engine=facts(),
        compose=lambda: ("/usr/bin/docker-compose", (2, 40)),
        remote=lambda: "a" * 40,
        budget=lambda: 8 * GIB,
        visible=lambda: {str(state): True},
        journal=lambda: 3,
        secrets=lambda: None,
        lock=lambda: (None, False),
    )


def raising(error: Exception) -> Any:
    def probe(*given: object) -> Any:
        raise error

    return probe


def found(state: Path, probes: Probes, secrets: Path | None = None, least_free: int = 1) -> dict[str, Any]:
    """Name → check. Also asserts that the document fits the schema and its text fits 80 columns."""
    code, document = Doctor(state, secrets, probes, least_free).examine()
    Draft202012Validator(output_schema()).validate(document)
    lines = text.render(document, text.Style(), 0.0).splitlines()
    assert max(map(len, lines)) <= 80
    checks = {item["name"]: item for item in document["checks"]}
    assert (code == 1) is any(item["ok"] is False for item in checks.values())
    assert all(item["hint"] for item in checks.values() if item["ok"] is False)
    return checks


def wrong(checks: dict[str, Any]) -> list[str]:
    return [name for name, item in checks.items() if item["ok"] is not True]


@pytest.mark.parametrize(
    ("logs", "ok", "says", "remedy"),
    [
        (LogFacts("local", True), True, "old lines are deleted", ""),
        (LogFacts("json-file", True), True, "old lines are deleted", ""),
        (LogFacts("json-file", False), True, "json-file without rotation", "/etc/docker/daemon.json"),
        (LogFacts("json-file", None), True, "(if no max-size is set there)", "until they are made anew"),
        (LogFacts("local", True, (), 2), True, "2 other containers have", "make these containers anew"),
        (LogFacts("json-file", False, ("shop-web-1",)), False, "shop-web-1", "logging: {driver: local}"),
    ],
)
def test_logs_that_grow_without_bound(
    state: Path, well: Probes, logs: LogFacts, ok: bool, says: str, remedy: str
) -> None:
    check = found(state, replace(well, logs=lambda engine: logs))["logs"]
    assert (check["ok"], says in check["message"], remedy in check["hint"]) == (ok, True, True), check


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"product": "Colima", "machine": VM}, "colima.yaml"),
        ({"product": "OrbStack", "machine": VM}, "docker.json"),
        ({"rootless": True}, "~/.config/docker/daemon.json"),
        ({"machine": REMOTE}, "engine's machine"),
    ],
)
def test_the_remedy_for_logs_names_the_file_of_this_engine(
    state: Path, well: Probes, changes: dict[str, Any], place: str
) -> None:
    probes = replace(well, engine=facts(**changes), logs=lambda engine: LogFacts("json-file", None))
    assert place in found(state, probes)["logs"]["hint"]


def test_a_good_machine_has_no_finding(state: Path, well: Probes, tmp_path: Path) -> None:
    assert wrong(found(state, well)) == []
    (tmp_path / "secrets").mkdir(mode=0o700)
    assert wrong(found(state, well, tmp_path / "secrets")) == []


def test_the_trust_of_the_agent_config_is_shown(state: Path, well: Probes) -> None:
    assert found(state, well)["trust"]["message"].startswith("trust: strangers")
    _, document = Doctor(state, None, well, 1, owner=True).examine()
    (check,) = (item for item in document["checks"] if item["name"] == "trust")
    assert check["ok"]
    assert "whoever can push to the branch can become root" in check["message"]


FAULT = Transient(Reason.FETCH_FAILED, "it does not answer", "start it")


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ({"endpoint": lambda: "unix:///no/such.sock"}, "endpoint", "there is no socket /no/such.sock"),
        ({"endpoint": lambda: "unix:///etc/passwd"}, "endpoint", "/etc/passwd is no socket"),
        ({"endpoint": raising(Usage(Reason.ENGINE_UNAVAILABLE, "context x", "see"))}, "endpoint", "context x"),
        ({"engine": facts(ahead=-978.0)}, "clock", "978 s behind"),
        ({"engine": facts(ahead=SKEW + 1)}, "clock", "ahead of"),
        ({"engine": facts(limits=False, swap=False)}, "limits", "accepted, but not enforced"),
        ({"budget": lambda: 8 * GIB + 1}, "memory", "the engine has 8 GiB"),
        ({"engine": facts(measured=False)}, "statistics", "gives no statistics"),
        ({"visible": lambda: {"/etc": False}}, "visible", "containers do not see /etc"),
        ({"visible": lambda: {"/no/such": False}}, "visible", "/no/such does not exist"),
        ({"compose": raising(FAULT)}, "compose", "it does not answer"),
        ({"remote": raising(FAULT)}, "remote", "it does not answer"),
        ({"journal": raising(Corrupt(Reason.STALLED, "line 3", "fix it"))}, "journal", "line 3"),
        ({"lock": lambda: (12, False)}, "lock", "process 12"),
        ({"lock": lambda: (0, False)}, "lock", "(unknown)"),
    ],
)
def test_each_fault_is_the_only_finding(
    state: Path, well: Probes, change: dict[str, Any], name: str, says: str
) -> None:
    checks = found(state, replace(well, **change))
    assert wrong(checks) == [name]
    assert checks[name]["ok"] is False
    assert says in checks[name]["message"]


def test_without_an_engine_the_other_checks_are_made(state: Path, well: Probes) -> None:
    away = raising(Away(Reason.ENGINE_UNAVAILABLE, "it is away", "start it"))
    checks = found(state, replace(well, engine=away, visible=away))
    assert {name: checks[name]["ok"] for name in wrong(checks)} == {
        "engine": False, "clock": None, "memory": None, "limits": None, "statistics": None, "logs": None,
        "visible": None,
    }  # fmt: skip


def test_a_check_that_cannot_be_made_is_no_finding(state: Path, well: Probes) -> None:
    for budget in (lambda: None, raising(FAULT)):
        checks = found(state, replace(well, budget=budget, visible=lambda: {"/a": None}))
        assert {name: checks[name]["ok"] for name in wrong(checks)} == {"memory": None, "visible": None}


def test_a_secrets_folder_that_containers_do_not_see_is_a_finding(state: Path, well: Probes, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    checks = found(state, replace(well, visible=lambda: {str(state): True, str(secrets): False}), secrets)
    assert wrong(checks) == ["visible"]
    assert checks["visible"]["message"] == f"containers do not see {secrets}"


def test_a_lock_that_a_running_agent_holds_is_no_finding(state: Path, well: Probes) -> None:
    assert "process 12" in found(state, replace(well, lock=lambda: (12, True)))["lock"]["message"]


def test_a_missing_state_folder_is_no_finding(tmp_path: Path, well: Probes) -> None:
    checks = found(tmp_path / "not" / "yet", well)
    assert (checks["state"]["ok"], checks["visible"]["ok"]) == (True, None)


def test_folders_that_are_open_to_others_are_findings(state: Path, well: Probes, tmp_path: Path) -> None:
    state.chmod(0o755)
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o750)
    checks = found(state, well, secrets)
    assert wrong(checks) == ["state", "secrets"]
    assert checks["state"]["hint"] == f"chmod 700 {state}"
    assert checks["secrets"]["hint"] == f"chmod 700 {secrets}"


def test_missing_or_unreadable_secrets_are_a_finding(state: Path, well: Probes, tmp_path: Path) -> None:
    assert wrong(found(state, well, tmp_path / "none")) == ["secrets"]
    (tmp_path / "secrets").mkdir(mode=0o700)
    unreadable = raising(Usage(Reason.USAGE_INVALID, "shop.env is open", "chmod 600 shop.env"))
    assert wrong(found(state, replace(well, secrets=unreadable), tmp_path / "secrets")) == ["secrets"]


def test_a_disk_that_is_nearly_full_is_a_finding(state: Path, well: Probes) -> None:
    checks = found(state, well, least_free=1 << 60)
    assert wrong(checks) == ["disk"]
    assert checks["disk"]["hint"] == "make room on the disk of the state folder"


def test_a_state_folder_that_is_a_file_is_a_finding(tmp_path: Path, well: Probes) -> None:
    (tmp_path / "file").write_text("")
    checks = found(tmp_path / "file", well)
    assert (checks["state"]["ok"], summary.doctor(())["checks"]) == (False, [])


def test_the_engines_abilities_are_shown(state: Path, well: Probes, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o700)
    seen = {str(state): True, str(tmp_path / "secrets"): True, "/srv/media": True}
    _, document = Doctor(state, tmp_path / "secrets", replace(well, visible=lambda: seen), 1).examine()
    checks = {item["name"]: item["message"] for item in document["checks"]}
    assert checks["engine"] == "Docker Engine 28.1.0, API 1.44 (of 1.24 to 1.49), overlay2, cgroup v2, on this machine"
    assert checks["limits"] == "memory limits are enforced; swap is counted"
    assert checks["visible"] == "containers see the state folder, secrets_dir and 1 path of binds"
    told = document["engine"]
    assert (told["product"], told["memoryLimits"], told["composeVersion"], told["machine"]) == (
        "Docker Engine", True, "2.40", "host",
    )  # fmt: skip
    assert told["folders"] == [{"path": path, "visible": True} for path in seen]
    assert engine_of(told) == replace(ENGINE, compose="2.40", seen=seen)


def test_sockets_of_other_engines_are_named(state: Path, well: Probes) -> None:
    checks = found(state, replace(well, others=lambda: ["unix:///run/user/1000/docker.sock"]))
    assert "unix:///run/user/1000/docker.sock" in checks["endpoint"]["message"]


def test_missing_limits_are_no_finding_if_the_budget_is_advisory(state: Path, well: Probes) -> None:
    probes = replace(well, engine=facts(limits=False, swap=False))
    _, document = Doctor(state, None, probes, 1, advisory=True).examine()
    (check,) = (item for item in document["checks"] if item["name"] == "limits")
    assert check["ok"]
    assert "budget: advisory" in check["message"]
