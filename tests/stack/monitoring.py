"""The files of the monitoring stack, and test cases for its rules."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.conftest import ROOT

FOLDER = "compose/monitoring"
STACK = ROOT / FOLDER
FILES = (f"{FOLDER}/compose.yaml", f"{FOLDER}/with-blackbox.yaml")
RULE_FILES = (*sorted((STACK / "prometheus/rules").glob("*.yaml")), STACK / "prometheus/blackbox/rules.yaml")
STEP = 15
"""Seconds between two samples of a case, and between two evaluations."""

Json = Mapping[str, Any]


def documents() -> list[dict[str, Any]]:
    return [yaml.safe_load((ROOT / path).read_text()) for path in FILES]


def services() -> dict[str, Any]:
    """The services of both Compose files, merged."""
    found: dict[str, Any] = {}
    for document in documents():
        for name, service in document["services"].items():
            known = found.get(name, {})
            found[name] = {**known, **service, "networks": {**_networks(known), **_networks(service)}}
    return found


def _networks(service: Json) -> dict[str, Any]:
    given = service.get("networks", {})
    return dict(given) if isinstance(given, Mapping) else dict.fromkeys(given)


def switched_on(text: str) -> str:
    """desired-state/mini.yaml with the commented lines for this stack switched on."""
    wanted = r"(?m)^( +)# (exports: .*|- name: monitoring|  files: \[compose/monitoring/.*|  depends_on: .*)$"
    found, count = re.subn(wanted, r"\1\2", text)
    assert count == 4, found
    return found


def rules() -> dict[str, dict[str, Any]]:
    """Alert → its rule."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


@dataclass(frozen=True)
class Case:
    """`series`: name → values every STEP seconds, in promtool's notation. `fires`, `silent`: seconds at which the alert
    must fire or must not."""

    series: Mapping[str, str]
    fires: Sequence[int] = ()
    silent: Sequence[int] = ()
    labels: Mapping[str, str] = field(default_factory=dict)


_SERVICE = {"stack": "shop", "service": "web"}
_WEB = '{stack="shop",service="web",container="shop-web-1"}'
_OF = '{stack="shop",service="web"}'
_DISK = {"mount": "/"}
_URL = '{stack="shop",service="web",endpoint="https://a"}'
_ASKED = {**_SERVICE, "endpoint": "https://a"}
_FILE = 'node_textfile_mtime_seconds{file="/metrics/reconciler.prom"}'

# "1x3" is four samples. The condition begins at 60 s; an alert ends a minute after its condition.
CASES: Mapping[str, Sequence[Case]] = {
    "agent-silent": [Case({"reconciler_agent_up": "1x3 0x11 1x30"}, (120, 240, 285), (45, 105, 330))],
    "branch-unreachable": [Case({"reconciler_fetch_failing": "0x3 1x250 0x30"}, (3660, 3870), (3645, 3945))],
    "service-unhealthy": [
        Case({f"reconciler_service_degraded{_OF}": "0x3 1x20 0x30"}, (180, 375), (165, 465), _SERVICE),
        Case({f"reconciler_service_degraded{_OF}": "1x40", "reconciler_rollout_active": "1x40"}, (), (300, 600)),
        Case({f"reconciler_service_degraded{_OF}": "1x40", "reconciler_suspended": "1x40"}, (), (300, 600)),
    ],
    "container-restarted": [
        Case({f"reconciler_container_restarts_total{_WEB}": "0x3 1x80"}, (60, 600), (45, 780), _SERVICE),
        # The new container of a rollout does not count as a restart.
        Case({f"reconciler_container_restarts_total{_WEB}": "3x20 0x80"}, (), (300, 315, 600)),
        Case({f"reconciler_service_restarted_timestamp_seconds{_OF}": "_x4 60x3 _x80"}, (60, 630), (45, 780), _SERVICE),
    ],
    "out-of-memory": [
        Case({f"reconciler_container_oom_kills_total{_WEB}": "0x3 1x80"}, (60, 600), (45, 780), _SERVICE),
    ],
    "memory-near-limit": [
        Case(
            {
                f"reconciler_container_memory_working_set_bytes{_WEB}": "90x3 91x30 80x20",
                f"reconciler_container_memory_limit_bytes{_WEB}": "100x60",
            },
            (360, 525), (345, 600), {**_SERVICE, "container": "shop-web-1"},
        ),
    ],
    "budget-full": [
        Case(
            {
                'reconciler_container_memory_working_set_bytes{container="a"}': "45x3 46x30 10x20",
                'reconciler_container_memory_working_set_bytes{container="b"}': "45x60",
                'reconciler_budget_bytes{kind="budget"}': "100x60",
                'reconciler_budget_bytes{kind="reserve"}': "50x60",
            },
            (360, 525), (345, 600),
        ),
    ],
    "swap-in-use": [
        Case({"reconciler_machine_swap_used_bytes": "5x3 6x30 0x20", "reconciler_machine_swap_bytes": "100x60"},
             (360, 525), (345, 600)),
        Case({"reconciler_machine_swap_used_bytes": "0x60", "reconciler_machine_swap_bytes": "0x60"}, (), (600,)),
    ],
    "disk-low": [
        Case({'reconciler_disk_free_bytes{mount="/"}': "10x3 9x10 20x20",
              'reconciler_disk_size_bytes{mount="/"}': "100x60"},
             (120, 225), (105, 315), _DISK),
    ],
    "disk-filling": [
        Case({'reconciler_disk_free_bytes{mount="/"}': "50000-20x600"}, (4200, 9000), (4185,), _DISK),
        Case({'reconciler_disk_free_bytes{mount="/"}': "50000-1x600"}, (), (4200, 9000)),
    ],
    "endpoint-down": [
        Case({f"reconciler_endpoint_up{_URL}": "1x3 0x20 1x30"}, (180, 375), (165, 465), _ASKED),
        Case({f"reconciler_endpoint_up{_URL}": "0x40", "reconciler_rollout_active": "1x40"}, (), (300, 600)),
        Case({f"reconciler_endpoint_up{_URL}": "0x40", "reconciler_suspended": "1x40"}, (), (300, 600)),
    ],
    "certificate-expiring": [
        Case({f"reconciler_endpoint_certificate_expiry_timestamp_seconds{_URL}": "1209661x20 9999999x20"},
             (75, 315, 330), (60, 405), _ASKED),
    ],
    "monitor-silent": [
        Case({_FILE: "0+15x4 60x60"}, (255, 600), (240,), {"file": "/metrics/reconciler.prom"}),
        Case({"up": "1x60"}, (60, 600), (45,)),
    ],
    "target-down": [
        Case({'up{job="postgres",instance="a"}': "1x3 0x60"}, (360,), (345,), {"job": "postgres", "instance": "a"}),
    ],
    "probe-failed": [
        Case({'probe_success{instance="https://a"}': "1x3 0x60"}, (240,), (225,), {"instance": "https://a"}),
    ],
    "probed-certificate-expires": [
        Case({'probe_ssl_earliest_cert_expiry{instance="https://a"}': "1209661x80"}, (675,), (645,),
             {"instance": "https://a"}),
    ],
    "rules-fail": [
        Case({'prometheus_rule_evaluation_failures_total{rule_group="x"}': "0x3 1x60"}, (60,), (45,),
             {"rule_group": "x"}),
    ],
    "alerts-are-not-sent": [
        Case({"prometheus_notifications_dropped_total": "0x3 2x60"}, (60,), (45,)),
        Case({'alertmanager_notifications_failed_total{integration="webhook",reason="a"}': "0x3 2x60"}, (60,), (45,),
             {"integration": "webhook"}),
    ],
    "brain-dependency-down": [
        Case({'brain_dependency_up{dependency="neo4j",instance="a"}': "1x3 0x60"}, (180,), (165,),
             {"dependency": "neo4j"}),
    ],
    "embeddings-do-not-progress": [
        Case({"brain_embeddings_pending": "0x3 7x200", "brain_embedded_texts_total": "5x200"}, (1890,), (1800,)),
        Case({"brain_embeddings_pending": "7x200", "brain_embedded_texts_total": "0+1x200"}, (), (1890, 2700)),
    ],
    "watcher-does-not-progress": [
        Case({"watcher_pending": "0x3 7x200", "watcher_ingested_total": "5x200"}, (1890,), (1800,)),
        Case({"watcher_pending": "7x200", "watcher_ingested_total": "0+1x200"}, (), (1890, 2700)),
    ],
    "ralph-breaker-open": [
        Case({'ralph_breaker_state{agent="ralph-1",state="open"}': "0x3 1x60"}, (660,), (645,),
             {"agent": "ralph-1", "state": "open"}),
    ],
    "ralph-budget-spent": [
        Case({'ralph_cost_usd_today{agent="ralph-1"}': "18x3 19x60",
              'ralph_cost_usd_per_day_limit{agent="ralph-1"}': "20x63"}, (60,), (45,), {"agent": "ralph-1"}),
        Case({"ralph_cost_usd_today": "0x60", "ralph_cost_usd_per_day_limit": "0x60"}, (), (60,)),
    ],
    "claude-tasks-wait": [
        Case({'claude_oldest_queued_seconds{instance="a"}': "3600x3 3601x60",
              'claude_tasks{instance="a",status="running"}': "0x63"}, (360,), (345,), {"instance": "a"}),
        Case({'claude_oldest_queued_seconds{instance="a"}': "9999x60",
              'claude_tasks{instance="a",status="running"}': "1x60"}, (), (600,)),
    ],
    "postgres-down": [Case({'pg_up{instance="a"}': "1x3 0x60"}, (180,), (165,), {"instance": "a"})],
    "postgres-connections-nearly-used": [
        Case({'pg_stat_database_numbackends{datname="brain"}': "30x3 31x60",
              'pg_stat_database_numbackends{datname="postgres"}': "6x63",
              'pg_settings_max_connections{server="a"}': "40x63"}, (360,), (345,)),
    ],
}  # fmt: skip


def write_cases(folder: Path) -> list[str]:
    """Write a rule file and a case file for each alert. Returns the names of the files for `promtool test rules`.

    Annotations are left out, so that cases need not repeat them. Each file has one rule, because promtool evaluates all
    rules of a file for each case.
    """
    known = rules()
    for name, cases in CASES.items():
        rule = {key: value for key, value in known[name].items() if key != "annotations"}
        (folder / f"{name}.rule.yaml").write_text(yaml.safe_dump({"groups": [{"name": "x", "rules": [rule]}]}))
        tests = []
        for case in cases:
            there = [{"exp_labels": {**rule.get("labels", {}), **case.labels}}]
            moments = [(at, there) for at in case.fires] + [(at, []) for at in case.silent]
            series = [{"series": series, "values": values} for series, values in case.series.items()]
            asked = [{"eval_time": f"{at}s", "alertname": name, "exp_alerts": found} for at, found in moments]
            tests.append({"interval": f"{STEP}s", "input_series": series, "alert_rule_test": asked})
        document = {"rule_files": [f"{name}.rule.yaml"], "evaluation_interval": f"{STEP}s", "tests": tests}
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document))
    return [f"{name}.yaml" for name in CASES]
