"""`doctor --security`: names each kind of drift. A check that cannot be made is no finding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from reconciler.decide.hardening.facts import Facts
from reconciler.errors import Away
from reconciler.model.checks import Published
from reconciler.model.outcome import Reason
from reconciler.record import text
from reconciler.reference import output_schema
from reconciler.verbs.security import SecurityProbes, examine
from tests.decide.test_hardening import WELL


@pytest.fixture
def well(tmp_path: Path) -> SecurityProbes:
    state, key = tmp_path / "state", tmp_path / "key"
    state.mkdir(mode=0o700)
    key.touch(mode=0o600)
    ports = [Published("web", "127.0.0.1", 80, True), Published("web", "100.90.1.2", 80, False)]
    return SecurityProbes(
        lambda: WELL, lambda: ports, state, [("the deploy key", key, 0o077), ("the token", tmp_path / "no", 0o077)]
    )


def found(probes: SecurityProbes) -> dict[str, Any]:
    code, document = examine(probes)
    Draft202012Validator(output_schema()).validate(document)
    assert max(map(len, text.render(document, text.Style(), 0.0).splitlines())) <= 80
    checks = {item["name"]: item for item in document["checks"]}
    assert (code == 1) is any(item["ok"] is False for item in checks.values())
    assert all(item["hint"] for item in checks.values() if item["ok"] is False)
    return checks


def wrong(probes: SecurityProbes) -> list[str]:
    return [name for name, item in found(probes).items() if item["ok"] is False]


def test_a_hardened_machine_has_no_finding(well: SecurityProbes) -> None:
    checks = found(well)
    assert list(checks) == ["ssh", "firewall", "fail2ban", "ports", "state", "keys"]
    assert {item["ok"] for item in checks.values()} == {True}
    assert checks["keys"]["message"].startswith("files with keys and tokens: 1,")


@pytest.mark.parametrize("address", ["", "192.168.1.4", "2001:db8::1"])
def test_an_open_port_that_no_commit_asked_for_is_a_finding(well: SecurityProbes, address: str) -> None:
    open_ = Published("db", address, 5432, False)
    checks = found(replace(well, published=lambda: [open_]))
    assert checks["ports"]["ok"] is False
    assert f"db {address or '*'}:5432" in checks["ports"]["message"]
    granted = found(replace(well, published=lambda: [replace(open_, managed=True)]))
    assert granted["ports"]["ok"]
    assert "db" in granted["ports"]["message"]


def test_state_and_keys_that_others_can_read_are_findings(well: SecurityProbes) -> None:
    well.state.chmod(0o750)
    key = well.keys[0][1]
    key.chmod(0o644)
    checks = found(well)
    assert [name for name, item in checks.items() if item["ok"] is False] == ["state", "keys"]
    assert checks["state"]["hint"] == f"chmod 700 {well.state}"
    assert checks["keys"]["hint"] == f"chmod 600 {key}"


def test_the_group_of_the_agent_may_read_its_config(well: SecurityProbes) -> None:
    key = well.keys[0][1]
    key.chmod(0o640)
    assert found(replace(well, keys=[("the agent config", key, 0o007)]))["keys"]["ok"]
    key.chmod(0o644)
    assert found(replace(well, keys=[("the agent config", key, 0o007)]))["keys"]["hint"] == f"chmod 640 {key}"


def test_a_deploy_key_that_can_write_is_a_finding(well: SecurityProbes) -> None:
    assert found(replace(well, deploy_key=lambda: False))["deploy-key"]["ok"]
    assert wrong(replace(well, deploy_key=lambda: True)) == ["deploy-key"]
    assert found(replace(well, deploy_key=lambda: True, pushes_notes=True))["deploy-key"]["ok"]


def test_a_check_that_cannot_be_made_does_not_prevent_the_others(well: SecurityProbes) -> None:
    def away() -> Any:
        raise Away(Reason.ENGINE_UNAVAILABLE, "the engine does not answer", "start it")

    checks = found(replace(well, published=away, facts=lambda: Facts()))
    assert {name: item["ok"] for name, item in checks.items()} == {
        "ssh": None, "firewall": None, "fail2ban": None, "ports": None, "state": True, "keys": True,
    }  # fmt: skip
    assert found(replace(well, facts=lambda: None))["hardening"]["ok"] is None


def test_drift_of_the_firewall_and_of_fail2ban_is_a_finding(well: SecurityProbes) -> None:
    assert wrong(replace(well, facts=lambda: replace(WELL, jail="", rules=""))) == ["firewall", "fail2ban"]
