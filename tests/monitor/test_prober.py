"""Which endpoints are asked, and how their answers are kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from reconciler.model.desired import DesiredState, Service, Stack
from reconciler.model.documents import Grant, Memory, Permissions
from reconciler.model.endpoints import Answer, Watched
from reconciler.monitor.prober import Prober, plan, watched
from reconciler.monitor.snapshot import Snapshot
from tests.monitor.conftest import NOW, Site, container, snapshot

WEB = Watched("shop", "web", "http://localhost:8080/")


def service(name: str = "web", **more: Any) -> Service:
    made = Service("shop", name, name, {}, "i", "i", 1, 0, False, 10.0, "always")
    return replace(made, **more)


def desired(*services: Service, suspended: bool = False) -> DesiredState:
    return DesiredState("mini", "a", "c", Memory(), (Stack("shop", services, (), (), suspended=suspended),))


def test_a_service_is_asked_at_its_endpoint_or_at_its_published_ports() -> None:
    ports = (("0.0.0.0", 80, "tcp"), ("0.0.0.0", 53, "udp"), ("::", 443, "tcp"), ("0.0.0.0", 80, "tcp"))
    named = service(endpoint=WEB.url, ports=ports)
    assert watched(desired(named), Permissions()) == (WEB,)
    found = watched(desired(service(ports=ports)), Permissions())
    assert [item.url for item in found] == ["tcp://127.0.0.1:80", "tcp://[::1]:443"]
    for none in (service(ports=ports, replicas=0), service(ports=ports, completes=True), service()):
        assert watched(desired(none), Permissions()) == ()
    assert watched(desired(named, suspended=True), Permissions()) == ()
    assert watched(None, Permissions()) == ()


def test_only_a_port_that_a_container_holds_is_asked_without_a_grant() -> None:
    """Without the container, another program of the machine may hold the port."""
    held = [("0.0.0.0", 8080, "tcp")]
    assert plan([WEB], held).asked == ((WEB, "127.0.0.1"),)
    assert plan([WEB], []).closed == (WEB,)
    assert plan([WEB], [("10.0.0.7", 8080, "tcp")]).asked == ()
    inside = replace(WEB, url="http://169.254.169.254/")
    assert plan([inside], [("0.0.0.0", 80, "tcp")]).asked == ()
    assert plan([replace(inside, granted=True)], []).asked == ((replace(inside, granted=True), None),)


def test_a_grant_counts_only_for_its_service_and_address() -> None:
    far = service(endpoint="https://shop.example.org/health")

    def granted(stack: str = "shop", name: str = "web", value: str = "https://shop.example.org") -> bool:
        grant = Grant("endpoint", stack, name, "tested", (value,))
        return watched(desired(far), Permissions((grant,)))[0].granted

    assert granted()
    assert granted("*", "*", "HTTPS://Shop.example.org/")
    assert not granted("blog")
    assert not granted(name="db")
    assert not granted(value="https://shop.example.org.evil.example")
    assert not granted(value="http://shop.example.org")
    assert not watched(desired(far), Permissions((Grant("endpoint", "*", "*", "tested"),)))[0].granted
    assert watched(desired(far), Permissions(owner=True))[0].granted


class Asked:
    """A prober with given answers. `answers`: url → answer."""

    def __init__(self, shown: Snapshot) -> None:
        self.shown, self.answers, self.asked, self.now = shown, {WEB.url: Answer()}, 0, 0.0
        self.prober = Prober(lambda: self.shown, self._ask, lambda: self.now)

    def _ask(self, questions: Iterable[tuple[Watched, str | None]]) -> Mapping[Watched, Answer]:
        self.asked += 1
        return {item: self.answers[item.url] for item, _ in questions}

    def at(self, moment: float, **answer: Any) -> tuple[str, float, float | None]:
        self.shown, self.now = replace(self.shown, at=NOW + moment), moment
        self.answers[WEB.url] = Answer(**answer)
        self.prober.look()
        [check] = self.prober.checks
        return check.answer.fault, check.since - NOW, check.answer.expires


def shown(*ports: tuple[str, int, str]) -> Snapshot:
    return replace(snapshot(containers=[container(ports=ports)]), watched=(WEB,))


def test_begin_of_the_state_and_end_of_the_certificate_are_kept() -> None:
    one = Asked(shown(("0.0.0.0", 8080, "tcp")))
    assert one.at(0.0, expires=5.0) == ("", 0.0, 5.0)
    assert one.at(30.0, expires=5.0) == ("", 0.0, 5.0)
    assert one.at(60.0, fault="it answers 503") == ("it answers 503", 60.0, 5.0)
    assert one.at(90.0, fault="connection refused") == ("connection refused", 60.0, 5.0)
    assert one.at(120.0, expires=9.0) == ("", 120.0, 9.0)


def test_nothing_is_asked_while_the_holders_of_ports_are_unknown() -> None:
    one = Asked(shown(("0.0.0.0", 8080, "tcp")))
    one.at(0.0, fault="it answers 503")
    known = one.prober.checks
    assert one.shown.measures is not None
    one.now = 300.0
    one.shown = replace(one.shown, measures=replace(one.shown.measures, answered=False))
    one.prober.look()
    one.shown = replace(shown(), status=None)
    one.prober.look()
    assert (one.prober.checks, one.asked) == (known, 1)


def test_a_stopped_container_is_not_asked_and_counts_as_down() -> None:
    there = container(ports=(("0.0.0.0", 8080, "tcp"),), state="exited")
    one = Asked(replace(snapshot(containers=[there]), watched=(WEB,)))
    one.prober.look()
    assert one.prober.checks[0].answer.fault == "no managed container publishes this port"


def test_a_round_begins_in_time_and_when_the_endpoints_change() -> None:
    one = Asked(shown(("0.0.0.0", 8080, "tcp")))
    rounds = []
    for moment in (0.0, 5.0, 29.0, 30.0, 35.0):
        one.now = moment
        one.prober.look()
        rounds.append(one.asked)
    assert rounds == [1, 1, 1, 2, 2]
    one.shown = shown()  # its container is gone
    one.prober.look()
    assert (one.asked, bool(one.prober.checks[0].answer.fault)) == (3, True)
    one.shown = shown(("127.0.0.1", 8080, "tcp"))
    one.prober.look()
    assert (one.asked, one.prober.checks[0].answer.fault) == (4, "")


def test_endpoints_and_one_shots_are_on_the_page_and_in_the_metrics(site: Site) -> None:
    from reconciler.model.endpoints import Check
    from reconciler.model.history import ServiceRecord
    from tests.monitor.conftest import attempt

    hostile = Watched("shop", "<b>web</b>", 'http://localhost:8080/"><script>alert(1)</script>')
    down = Check(hostile, Answer("it answers 503", NOW + 86400), NOW, NOW - 300)
    ran = attempt(services=(ServiceRecord("shop", "web", "RanOnce", 0.0),))
    site.show(replace(snapshot([ran]), endpoints=(down, Check(WEB, Answer(), NOW, NOW - 7200))))
    page = site.client.get("/").text
    assert "<script>alert" not in page
    assert "<b>web" not in page
    assert 'Down</span> <span class="dim">for 5 min' in page
    assert "ends in 24 h" in page
    assert "2 min ago" in page.partition("One-shots")[2].partition("Commits")[0]
    metrics = site.client.get("/metrics").text
    assert r'endpoint="http://localhost:8080/\"><script>alert(1)</script>"' in metrics
    assert 'reconciler_endpoint_up{endpoint="http://localhost:8080/",service="web",stack="shop"} 1.0' in metrics
    assert "reconciler_endpoint_certificate_expiry_timestamp_seconds{" in metrics
    assert 'reconciler_job_last_success_timestamp_seconds{service="web",stack="shop"}' in metrics
