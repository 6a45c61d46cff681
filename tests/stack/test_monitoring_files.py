"""Checks of the files of the monitoring stack: valid, confined, small, and in line with the monitor."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dashboards.boards import BOARDS
from dashboards.grafana import text

from reconciler.formats.quantities import seconds
from reconciler.model.alerts import RULES
from tests.conftest import ROOT
from tests.stack.blackbox import SECRETS
from tests.stack.confined import confined, looked_after
from tests.stack.monitoring import CASES, FILES, RULE_FILES, STACK, documents, rules, services, switched_on, write_cases

SERVICES = services()
VARIABLES = dict(re.findall(r"^([A-Z][A-Z0-9_]*)=(.*)$", (STACK / ".env").read_text(), re.MULTILINE))
MOST = 512
"""Most MiB of the stack without Grafana."""


def validated(tmp_path: Path) -> dict[str, Any]:
    """The output of `validate` for the repository with this stack switched on, on a machine with its secrets."""
    tree = tmp_path / "tree"
    document = switched_on((ROOT / "desired-state/mini.yaml").read_text())
    document = document.replace("depends_on: [blackbox]", "depends_on: [blackbox]\n      profiles: [grafana]")
    assert "grafana" in document
    (tree / "desired-state").mkdir(parents=True)
    (tree / "desired-state/mini.yaml").write_text(document)
    for stack in ("blackbox", "monitoring"):
        shutil.copytree(ROOT / "compose" / stack, tree / "compose" / stack, ignore=shutil.ignore_patterns("*cache*"))
    for stack, names in (
        ("blackbox", (*SECRETS, "BRAIN_API_KEYS", "POSTGRES_MONITOR")),
        ("monitoring", ("POSTGRES_MONITOR",)),
    ):
        folder = tmp_path / "secrets" / stack
        folder.mkdir(mode=0o700, parents=True)
        folder.parent.chmod(0o700)
        for name in names:
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(f"not a real {name}\n")
    config = tmp_path / "reconciler.yaml"
    config.write_text(
        f"host: mini\nsource: {{url: {tree}}}\nstate: {tmp_path}/state\nsecrets_dir: {tmp_path}/secrets\n"
    )
    command = [sys.executable, "-m", "reconciler", "--config", str(config), "--output", "json", "validate", str(tree)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_machine_with_this_stack_is_valid_without_a_warning(tmp_path: Path) -> None:
    """Grafana is included, so that the memory is the most that the stack may take."""
    assert validated(tmp_path)["violations"] == []


def test_without_its_password_grafana_does_not_start() -> None:
    done = subprocess.run(SERVICES["grafana"]["entrypoint"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "the secret GRAFANA_PASSWORD is missing\n")


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_confined_and_has_restart_policy_and_health_check(name: str) -> None:
    confined(SERVICES[name])
    looked_after(SERVICES[name])


def test_the_memory_limits_add_up_to_the_manuals_figure() -> None:
    limits = {}
    for name, service in SERVICES.items():
        variable = service["deploy"]["resources"]["limits"]["memory"].strip("${}")
        limits[name] = int(VARIABLES[variable].removesuffix("m"))
    grafana = limits.pop("grafana")
    assert sum(limits.values()) <= MOST
    manual = (ROOT / "docs/monitoring.md").read_text()
    for figure in (sum(limits.values()), sum(limits.values()) + grafana):
        assert f"{figure} MiB" in manual
    assert f"{sum(limits.values())} MiB" in (ROOT / "desired-state/mini.yaml").read_text()


def test_servers_without_a_password_listen_only_on_networks_of_this_stack() -> None:
    """The first word of a command must be an alias that the container has on one network only (`image/listen.sh`)."""
    own = documents()[0]["networks"]
    for name, service in SERVICES.items():
        if name == "grafana":
            continue
        listens = service["command"][0].partition(":")[0]
        networks = service["networks"]
        aliases = {network: [name, *((item or {}).get("aliases") or ())] for network, item in networks.items()}
        assert [network in own for network, known in aliases.items() if listens in known] == [True], name


def test_every_variable_is_used_and_every_used_one_has_a_value() -> None:
    used = {name for path in FILES for name in re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / path).read_text())}
    secrets = {item["environment"] for document in documents() for item in document["secrets"].values()}
    assert used <= set(VARIABLES)
    assert set(VARIABLES) <= used | secrets
    manual = (STACK / "secrets.example/README.md").read_text()
    for name in secrets:
        assert f"]({name})" in manual
        assert name in (STACK / "secrets.example" / name).read_text()


@pytest.mark.parametrize("name", RULES)
def test_each_alert_of_the_monitor_is_a_rule_with_the_same_bounds(name: str) -> None:
    rule, known = rules()[name], RULES[name]
    assert seconds(rule.get("for", "0s")) == known.lasting
    assert rule["labels"]["source"] == "monitor"
    if known.threshold is not None:
        assert re.search(rf"\b{known.threshold:.10g}\b", rule["expr"]), rule["expr"]


def test_no_source_can_speak_for_the_monitor() -> None:
    """Else a service that a model controls could report a rollout, and so silence `service-unhealthy`."""
    for job in yaml.safe_load((STACK / "prometheus/blackbox/scrape.yaml").read_text())["scrape_configs"]:
        kept = [item for item in job["metric_relabel_configs"] if item["action"] == "keep"]
        assert [item["source_labels"] for item in kept] == [["__name__"]], job["job_name"]
        assert not any(
            re.fullmatch(kept[0]["regex"], f"{made_up}_x") for made_up in ("reconciler", "node", "up", "probe")
        )


def test_every_alert_has_a_case() -> None:
    assert set(CASES) == set(rules())
    assert set(RULES) == {name for name, rule in rules().items() if rule["labels"].get("source") == "monitor"}


def test_promtool_agrees_with_the_cases(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (Debian's package prometheus); the soak test asks the image's")
    for arguments in (["test", "rules", *write_cases(tmp_path)], ["check", "rules", *map(str, RULE_FILES)]):
        done = subprocess.run([promtool, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_dashboards_are_what_their_description_says(board: Any) -> None:
    """`cd compose/monitoring && python -m dashboards` writes them anew."""
    assert (STACK / f"grafana/dashboards/{board.uid}.json").read_text() == text(board)


def test_each_dashboard_file_is_described_and_its_panels_do_not_overlap() -> None:
    assert sorted(path.stem for path in STACK.glob("grafana/dashboards/*")) == sorted(board.uid for board in BOARDS)
    source = yaml.safe_load((STACK / "grafana/provisioning/datasources/prometheus.yaml").read_text())["datasources"][0]
    for path in STACK.glob("grafana/dashboards/*.json"):
        panels = json.loads(path.read_text())["panels"]
        assert len({panel["id"] for panel in panels}) == len(panels)
        assert {panel["datasource"]["uid"] for panel in panels if panel["type"] != "row"} == {source["uid"]}
        places = [panel["gridPos"] for panel in panels]
        cells = [
            (x, y)
            for at in places
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(cells) == len(set(cells)), "panels do not overlap"
        assert max(x for x, _ in cells) < 24
