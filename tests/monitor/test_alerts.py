"""Each alert begins when its threshold was passed for long enough, and ends once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.errors import ReconcilerError, Transient
from reconciler.model.alerts import FILE, RULES, TEST, Alert, AlertRule, Finding
from reconciler.model.endpoints import Answer, Check, Watched
from reconciler.model.history import RestartBackoff
from reconciler.model.measures import Disk, Usage
from reconciler.model.observed import Container
from reconciler.monitor.alerts import GRACE, RECENT, Alerts
from reconciler.monitor.samples import EVERY, Samples
from reconciler.monitor.snapshot import Snapshot
from reconciler.record.summary_alerts import alerts as document
from reconciler.record.summary_alerts import read
from reconciler.verbs import alerts as verb
from reconciler.verbs import files
from tests.monitor.conftest import NOW, Site, container, snapshot

GIB = 1 << 30


WEB = Watched("shop", "web", "https://localhost:8443/")


def status(shown: Snapshot, **changes: Any) -> Snapshot:
    return replace(shown, status={**(shown.status or {}), **changes})


def measures(shown: Snapshot, **changes: Any) -> Snapshot:
    assert shown.measures is not None
    return replace(shown, measures=replace(shown.measures, **changes))


def machine(shown: Snapshot, **changes: Any) -> Snapshot:
    assert shown.measures is not None
    return measures(shown, machine=replace(shown.measures.machine, **changes))


def sick(shown: Snapshot, health: str = "Degraded") -> Snapshot:
    [stack] = (shown.status or {})["stacks"]
    row = {**stack["services"][0], "health": health, "reason": "Crashed"}
    return status(shown, stacks=[{**stack, "health": health, "services": [row]}])


def well() -> Snapshot:
    return measures(snapshot(), oom_kills={})


CASES = {
    "agent-silent": status(well(), stalled=True),
    "branch-unreachable": status(well(), source={**(well().status or {})["source"], "error": "no route"}),
    "service-unhealthy": sick(well()),
    "container-restarted": measures(well(), containers=(container(restarts=1),)),
    "out-of-memory": measures(well(), oom_kills={container().id: 1}),
    "memory-near-limit": measures(well(), usage={container().id: Usage(60 << 20, 1.0)}),
    "budget-full": measures(well(), usage={"x": Usage(GIB - 1, 1.0)}),
    "swap-in-use": machine(well(), swap_used=GIB // 10),
    "disk-low": machine(well(), disks=(Disk("/", 100 * GIB, 9 * GIB, ("state",)),)),
    "endpoint-down": replace(well(), endpoints=(Check(WEB, Answer("it answers 503"), NOW, NOW),)),
    "certificate-expiring": replace(well(), endpoints=(Check(WEB, Answer("", NOW + 10 * 86400), NOW, NOW),)),
}


def lived(
    alerts: Alerts, shown: Sequence[tuple[float, Snapshot]], rules: Any = None
) -> Iterator[tuple[float, set[str]]]:
    """(moment, names of active alerts) for each snapshot; moments are seconds after NOW. The agent is never silent."""
    for at, item in shown:
        now = replace(item, at=NOW + at, heartbeat=NOW + at)
        yield at, {alert.finding.name for alert in alerts.look(now, rules or {})}


def test_every_alert_has_a_case_here() -> None:
    assert CASES.keys() | {"disk-filling"} == RULES.keys()


@pytest.mark.parametrize("name", CASES)
def test_alert_begins_when_its_fact_has_lasted_and_ends_after_the_grace(name: str) -> None:
    alerts, lasting, bad = Alerts(Samples()), RULES[name].lasting, CASES[name]
    passing = name in ("container-restarted", "out-of-memory")
    gone = lasting + 10 + GRACE + (RECENT if passing else 0)
    moments = [(-30.0, well()), (0.0, bad), (max(0.0, lasting - 1), bad), (lasting, bad), (lasting + 5, well())]
    moments += [(gone - 5, well()), (gone + 3 * GRACE, well()), (gone + 5 * GRACE, well())]
    found = dict(lived(alerts, moments))
    assert found[-30.0] == set()
    assert name in found[lasting]
    assert (name in found[max(0.0, lasting - 1)]) == (lasting == 0)
    assert name in found[lasting + 5]
    assert found[gone + 5 * GRACE] == set()


def test_value_that_crosses_its_threshold_often_is_one_alert() -> None:
    alerts, bad = Alerts(Samples()), CASES["swap-in-use"]
    moments = [(n * 15.0, bad if n % 3 or n < 30 else well()) for n in range(1, 80)]
    active = [bool(names) for _, names in lived(alerts, moments)]
    assert [a != b for a, b in itertools.pairwise(active)].count(True) == 1


def test_alert_stays_while_the_engine_does_not_answer() -> None:
    alerts, bad = Alerts(Samples()), CASES["memory-near-limit"]
    away = measures(well(), usage={}, containers=(), answered=False)
    moments = [(0.0, bad), (300.0, bad), (400.0, away), (900.0, away), (901.0, well()), (1000.0, well())]
    found = dict(lived(alerts, moments))
    assert found[900.0] == {"memory-near-limit"}
    assert found[1000.0] == set()


@pytest.mark.parametrize("name", ["memory-near-limit", "out-of-memory", "budget-full", "container-restarted"])
@pytest.mark.parametrize("left", [(container(state="exited"),), ()], ids=["stopped", "removed"])
def test_alert_ends_if_the_container_was_stopped_or_removed(name: str, left: tuple[Container, ...]) -> None:
    alerts, bad, lasting = Alerts(Samples()), CASES[name], RULES[name].lasting
    empty = measures(well(), usage={}, containers=left)
    over = lasting + RECENT
    moments = [(-30.0, well()), (0.0, bad), (lasting, bad), (lasting + 15, empty), (over, empty)]
    found = dict(lived(alerts, [*moments, (over + 2 * GRACE, empty)]))
    assert found[lasting] == found[lasting + 15] == {name}
    assert found[over + 2 * GRACE] == set()


def test_unhealthy_service_is_no_alert_during_a_rollout_or_a_suspension() -> None:
    alerts = Alerts(Samples())
    rolling = status(sick(well()), rollout={"attempt": "1"})
    paused = status(sick(well()), suspended={"reason": "x", "until": None})
    assert [names for _, names in lived(alerts, [(0.0, rolling), (600.0, rolling), (900.0, paused)])] == [set()] * 3


@pytest.mark.parametrize("name", ["service-unhealthy", "endpoint-down"])
def test_a_rollout_neither_begins_nor_ends_an_alert(name: str) -> None:
    alerts, bad, lasting = Alerts(Samples()), CASES[name], RULES[name].lasting
    rolling = status(bad, rollout={"attempt": "1"})
    early = [(0.0, bad), (15.0, rolling), (lasting + 60, rolling), (lasting + 70, well())]
    assert [names for _, names in lived(alerts, early)] == [set()] * 4
    begun = [(900.0, bad), (900 + lasting, bad), (950 + lasting, rolling), (2000.0, rolling), (2010.0, bad)]
    assert [names for _, names in lived(alerts, begun)] == [set(), *[{name}] * 4]
    assert [names for _, names in lived(alerts, [(2100.0, well()), (2100 + 2 * GRACE, well())])][-1] == set()


def test_a_restarted_monitor_goes_on_with_the_alerts_but_not_with_a_test() -> None:
    killed = Finding("out-of-memory", "shop/web was killed for lack of memory 0 s ago", "shop", "web")
    test = Finding("disk-low", "test: somebody wants to see this alert", about=TEST)
    alerts = Alerts(Samples(), [Alert(killed, NOW), Alert(test, NOW)])
    assert sorted(item.finding.about for item in alerts.look(well(), {}, test)) == ["", TEST]
    found = dict(lived(alerts, [(300.0, well()), (RECENT - 15, well()), (RECENT, well()), (RECENT + GRACE, well())]))
    assert found == {300.0: {killed.name}, RECENT - 15: {killed.name}, RECENT: {killed.name}, RECENT + GRACE: set()}


def test_no_alert_begins_while_the_engine_does_not_answer() -> None:
    alerts, bad = Alerts(Samples()), CASES["memory-near-limit"]
    away = measures(well(), usage={}, containers=(), answered=False)
    moments = [(0.0, bad), (15.0, away), (400.0, away), (415.0, bad)]
    assert [names for _, names in lived(alerts, moments)] == [set(), set(), set(), {"memory-near-limit"}]


def test_a_certificate_that_has_expired_is_still_an_alert() -> None:
    ended = replace(well(), endpoints=(Check(WEB, Answer("its certificate is not accepted", NOW - 60), NOW, NOW),))
    [alert] = Alerts(Samples()).look(ended, {})
    assert alert.finding.message == "the certificate of https://localhost:8443/ of shop/web has ended 60 s ago"
    later = replace(well(), endpoints=(Check(WEB, Answer("", NOW + 15 * 86400), NOW, NOW),))
    assert Alerts(Samples()).look(later, {}) == ()
    [alert] = Alerts(Samples()).look(later, {"certificate-expiring": AlertRule(0.0, 30 * 86400.0)})
    assert alert.finding.value == 15 * 86400


def test_restarts_by_the_agent_count_as_well() -> None:
    past = replace(well().past, backoffs={("shop", "web"): RestartBackoff((NOW - 5,))})
    [(_, names)] = lived(Alerts(Samples()), [(0.0, replace(well(), past=past))])
    assert names == {"container-restarted"}


def test_disk_filling_follows_from_the_pace_of_an_hour() -> None:
    samples = Samples()
    for n in range(300):
        samples.add(NOW + n * EVERY, {"free /": float((60 * GIB) - n * (20 << 20))})
    [alert] = [*_at(Alerts(samples), NOW + 300 * EVERY, {"disk-filling": AlertRule(0.0, 86400.0)})]
    assert alert.finding.name == "disk-filling"
    assert alert.finding.value == pytest.approx(40 * GIB / ((20 << 20) / EVERY), rel=0.01)
    short = Samples()
    for n in range(10):
        short.add(NOW + n * EVERY, {"free /": float(GIB * (60 - n))})
    assert _at(Alerts(short), NOW + 150, {"disk-filling": AlertRule(0.0, 86400.0)}) == ()


def _at(alerts: Alerts, now: float, rules: dict[str, AlertRule]) -> tuple[Alert, ...]:
    return alerts.look(replace(well(), at=now, heartbeat=now), rules)


def test_rules_of_the_host_document_replace_the_defaults() -> None:
    rules = {"memory-near-limit": AlertRule(0.0, 0.5), "out-of-memory": AlertRule(enabled=False)}
    used = measures(snapshot(), usage={container().id: Usage(40 << 20, 1.0)})
    alerts = Alerts(Samples())
    assert dict(lived(alerts, [(0.0, well()), (1.0, used)], rules))[1.0] == {"memory-near-limit"}


def test_restarted_monitor_keeps_the_begin_of_an_alert() -> None:
    alerts, bad = Alerts(Samples()), CASES["swap-in-use"]
    list(lived(alerts, [(0.0, bad), (400.0, bad)]))
    told = document(alerts.look(replace(bad, at=NOW + 401, heartbeat=NOW + 401), {}), NOW + 401)
    again = Alerts(Samples(), read(told))
    [alert] = again.look(replace(bad, at=NOW + 500, heartbeat=NOW + 500), {})
    assert alert.since == NOW
    assert list(read({"alerts": [{"name": "x"}, 3, {"name": "disk-low"}]})) == []
    assert list(read({})) == []
    for field, odd in (("since", []), ("name", []), ("about", 5), ("stack", {}), ("message", None)):
        list(lived(Alerts(Samples(), read(told | {"alerts": [{**told["alerts"][0], field: odd}]})), [(0.0, bad)]))
    assert list(read({"alerts": 5})) == []


def test_clock_that_was_set_back_delays_neither_begin_nor_end() -> None:
    bad, day = CASES["swap-in-use"], -86_400.0
    begins = [(0.0, bad), (day, bad), (day + 299, bad), (day + 301, bad)]
    ends = [(100.0, well()), (2 * day, well()), (2 * day + 59, well()), (2 * day + 61, well())]
    found = [names for _, names in lived(Alerts(Samples()), [*begins, *ends])]
    assert found == [set(), set(), set(), *([{"swap-in-use"}] * 4), set()]


def test_verb_shows_published_alerts_and_fails_without_a_monitor(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="no monitor runs"):
        verb.show(tmp_path, NOW)
    files.publish(tmp_path / FILE, document((), NOW))
    assert verb.show(tmp_path, NOW + 5)[0] == 0
    with pytest.raises(Transient, match="for 61 s"):
        verb.show(tmp_path, NOW + 61)
    found = Alerts(Samples()).look(CASES["agent-silent"], {"agent-silent": AlertRule()})
    files.publish(tmp_path / FILE, document(found, NOW))
    code, shown = verb.show(tmp_path, NOW)
    assert (code, [item["name"] for item in shown["alerts"]]) == (1, ["agent-silent"])
    (tmp_path / FILE).write_text('{"evaluatedAt": "soon"}')
    with pytest.raises(Transient):
        verb.show(tmp_path, NOW)


def test_a_test_alert_ends_by_itself(tmp_path: Path) -> None:
    with pytest.raises(ReconcilerError, match="no alert 'disk-lo'") as told:
        verb.fire(tmp_path, "disk-lo")
    assert told.value.hint == "did you mean disk-low?"
    files.publish(tmp_path / verb.TEST, {"name": "disk-low", "at": NOW})
    finding = verb.tested(tmp_path, NOW + 100)
    assert finding is not None
    assert [item.finding.name for item in Alerts(Samples()).look(well(), {}, finding)] == ["disk-low"]
    assert verb.tested(tmp_path, NOW + 121) is None
    files.publish(tmp_path / verb.TEST, {"name": "rm -rf", "at": NOW})
    assert verb.tested(tmp_path, NOW) is None


def test_alerts_are_in_the_api_and_in_the_metrics(site: Site) -> None:
    found = Alerts(Samples()).look(CASES["agent-silent"], {"agent-silent": AlertRule()})
    site.show(replace(sick(well()), alerts=found))
    assert site.client.get("/api/alerts").json()["alerts"][0]["name"] == "agent-silent"
    assert 'reconciler_alert_active{about="",alert="agent-silent"' in site.client.get("/metrics").text
