"""The served documents, metrics and pages."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reconciler.errors import NotFound
from reconciler.model.history import Attempt, Planned, RestartBackoff
from reconciler.model.outcome import Outcome, Reason
from reconciler.monitor.snapshot import Snapshot
from reconciler.monitor.web import LISTENERS
from reconciler.record import summary
from tests.monitor.conftest import GIB, HEAD, NOW, Site, attempt, container, failed, snapshot

HOSTILE = "\"><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}{% raw %}'&lt;"


class Tags(HTMLParser):
    """The elements and attributes of a page, and the ids that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def metrics(site: Site) -> dict[tuple[str, str], float]:
    text = site.client.get("/metrics").text
    return {
        (sample.name, ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_api_serves_the_documents_of_json_output(site: Site) -> None:
    assert site.client.get("/api/status").json() == site.board.newest.status
    assert site.client.get("/api/history?limit=7&revision=bbbb").json()["asked"] == ["bbbb", 7]
    assert site.client.get("/api/history?revision=../x").json()["kind"] == "Error"
    assert site.client.get("/api/history?limit=99999999").json()["asked"] == [None, 1000]


@pytest.mark.parametrize(
    ("changes", "now", "says"),
    [
        ({}, NOW, None),
        ({"heartbeat": NOW - 91}, NOW, "no sign"),
        ({"heartbeat": NOW - 89}, NOW, None),
        ({"heartbeat": None}, NOW, "no sign"),
        ({"nextTryAt": "2023-11-14T22:20:00Z"}, NOW + 300, None),
        ({"rollout": {"attempt": "1"}}, NOW + 3000, None),
        ({"stalled": True}, NOW, "stalled"),
        ({"agent": {"running": False, "pid": None, "version": None, "startedAt": None}}, NOW, "does not run"),
        ({"status": None, "error": "the journal is corrupt"}, NOW, "corrupt"),
        ({"status": None}, NOW, "nothing is known"),
    ],
)
def test_fault_of_the_agent_follows_from_the_snapshot(changes: dict[str, object], now: float, says: str | None) -> None:
    shown = snapshot()
    fields = {key: value for key, value in changes.items() if key in ("heartbeat", "status", "error")}
    status = {**(shown.status or {}), **{key: value for key, value in changes.items() if key not in fields}}
    shown = replace(shown, **({"status": status} | fields))  # type: ignore[arg-type]
    fault = shown.fault(now)
    assert (fault is None) if says is None else (says in str(fault))


def test_without_a_status_healthz_fails_and_the_page_shows_the_error(site: Site) -> None:
    assert site.client.get("/healthz").text == "ok\n"
    site.show(Snapshot(NOW, "mini", 30.0, error="the journal: line 3 cannot be read"))
    assert site.client.get("/healthz").status_code == 503
    assert site.client.get("/api/status").status_code == 503
    page = site.client.get("/")
    assert (page.status_code, "line 3 cannot be read" in page.text) == (200, True)
    assert metrics(site)["reconciler_engine_errors_total", ""] == 0


def test_memory_in_use_is_unknown_while_the_engine_does_not_answer(site: Site) -> None:
    shown = snapshot()
    assert shown.measures is not None
    site.show(replace(shown, measures=replace(shown.measures, usage={}, answered=False)))
    assert "in use -<" in site.client.get("/").text


def test_metrics_have_the_documented_names_and_values(site: Site) -> None:
    site.show(snapshot([attempt(1), failed(2, ["x"])]))
    found = metrics(site)
    labels = "container=shop-web-1,service=web,stack=shop"
    assert found["reconciler_sync", "host=mini"] == float((site.board.newest.status or {})["sync"] == "Synced")
    assert ("reconciler_health", "host=mini") in found
    assert found["reconciler_last_good_timestamp_seconds", ""] == NOW - 93
    assert found["reconciler_attempts_total", "outcome=RolledBack"] == 1
    assert found["reconciler_attempts_total", "outcome=Succeeded"] == 1
    assert found["reconciler_rollout_duration_seconds_sum", ""] == 14
    assert found["reconciler_rollout_duration_seconds_bucket", "le=10.0"] == 2
    assert found["reconciler_downtime_seconds_total", "service=web,stack=shop"] == 3
    assert found["reconciler_drift_corrections_total", ""] == 0
    assert found["reconciler_budget_bytes", "kind=budget"] == 1 << 30
    assert found["reconciler_container_memory_working_set_bytes", labels] == 31 << 20
    assert found["reconciler_container_memory_limit_bytes", labels] == 64 << 20
    assert found["reconciler_container_cpu_seconds_total", labels] == 12.5
    assert found["reconciler_container_restarts_total", labels] == 0
    assert found["reconciler_container_oom_kills_total", labels] == 2
    assert found["reconciler_disk_free_bytes", "mount=/"] == 40 << 30
    assert found["reconciler_heartbeat_timestamp_seconds", ""] == NOW - 5
    assert found["reconciler_machine_swap_bytes", ""] == 1 << 30
    assert found["reconciler_service_degraded", "service=web,stack=shop"] == 0
    assert "# TYPE reconciler_job_last_success_timestamp_seconds gauge" in site.client.get("/metrics").text


def test_metrics_show_degraded_services_except_suspended_ones_and_the_last_restart(site: Site) -> None:
    shown = snapshot()
    status = json.loads(json.dumps(shown.status))
    status["stacks"][0]["services"][0]["health"] = "Degraded"
    past = replace(shown.past, backoffs={("shop", "web"): RestartBackoff((NOW - 60, NOW - 5))})
    key = "service=web,stack=shop"
    for stack, degraded in (("Degraded", 1), ("Suspended", 0)):
        status["stacks"][0]["health"] = stack
        site.show(replace(shown, status=status, past=past))
        assert metrics(site)["reconciler_service_degraded", key] == degraded
    assert metrics(site)["reconciler_service_restarted_timestamp_seconds", key] == NOW - 5


def test_promtool_accepts_the_metrics(site: Site) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("there is no promtool here (Debian's package prometheus)")
    text = site.client.get("/metrics").content
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_foreign_texts_have_no_effect_in_the_page_and_in_metrics(site: Site) -> None:
    bad = failed(1, [HOSTILE, "</pre><script>alert(2)</script>"], HOSTILE)
    bad = replace(bad, lines=(HOSTILE,), revision=HEAD)
    shown = snapshot([bad], [container(HOSTILE, stack=HOSTILE)])
    status = {
        **(shown.status or {}),
        "message": HOSTILE,
        "reason": "Held",
        "suspended": {"reason": HOSTILE, "until": None},
    }
    site.show(replace(shown, status=status, host=HOSTILE))
    site.lines = [{"time": "2023-11-14T22:13:20.000000000Z", "stream": "stdout", "line": HOSTILE}]
    for path in ("/", "/logs/shop/web", "/logs/%3Cscript%3E/x", f"/logs/shop/web?grep={HOSTILE}"):
        text = site.client.get(path).text
        tags = Tags(text).tags
        assert [attrs for tag, attrs in tags if tag == "script"] == [{"src": "/assets/page.js", "defer": None}]
        assert [tag for tag, _ in tags if tag == "img"] == []
        assert [name for _, attrs in tags for name in attrs if name.startswith("on") or name == "style"] == []
        assert "49" not in text.replace("9464", "")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in site.client.get("/").text
    assert "\\n# HELP" not in site.client.get("/metrics").text
    metrics(site)


def test_page_is_labelled_and_loads_nothing_from_elsewhere(site: Site) -> None:
    site.show(snapshot([attempt(1), failed(2, ["x"])]))
    for path in ("/", "/logs/shop/web"):
        tags = Tags(site.client.get(path).text).tags
        ids = [attrs["id"] for _, attrs in tags if "id" in attrs]
        assert len(ids) == len(set(ids))
        named = [attrs["aria-labelledby"] for _, attrs in tags if "aria-labelledby" in attrs]
        assert set(named) <= set(ids)
        links = [attrs.get("href") or attrs.get("src") or "" for _, attrs in tags if "href" in attrs or "src" in attrs]
        assert all(link.startswith(("/", "#")) and not link.startswith("//") for link in links)
        assert dict(tags)["html"] == {"lang": "en"}
        assert all("aria-label" in attrs for tag, attrs in tags if tag == "pre")


def test_page_shows_20_commits_and_a_link_to_more(site: Site) -> None:
    attempts: list[Attempt] = [attempt(n) for n in range(1, 51)]
    site.show(snapshot(attempts))
    page = site.client.get("/").text
    assert page.count("<details") == 20
    assert "/?commits=100" in page


def test_plan_of_a_commit_is_shown(site: Site) -> None:
    planned = Planned(("shop/web",), removes=("shop/old",), downtime=(("shop/web", 310.0),), peak=GIB, bound=2 * GIB)
    site.show(snapshot([attempt(planned=planned), attempt(2)]))
    page = site.client.get("/").text
    assert "replace shop/web, down for at most 5m10s\nremove shop/old\nmemory at most 1.0 of 2.0 GiB" in page
    assert page.count("Plan:") == 1


def test_rollout_and_error_of_the_source_are_shown(site: Site) -> None:
    shown = snapshot()
    rollout = {
        "attempt": "9", "revision": HEAD, "intent": "Advance", "step": 3, "steps": 8, "action": "StartContainer",
        "stack": "shop", "service": "web", "since": "2023-11-14T22:13:00Z",
    }  # fmt: skip
    source = {**(shown.status or {})["source"], "error": "no route"}
    site.show(replace(shown, status={**(shown.status or {}), "rollout": rollout, "source": source}))
    page = site.client.get("/").text
    assert re.search(r'<progress max="8" value="3"', page)
    assert "no route" in page


def test_query_of_the_log_page_is_passed_on(site: Site) -> None:
    site.lines = [{"time": "2023-11-14T22:13:20.000000000Z", "stream": "stderr", "line": "  indented"}]
    page = site.client.get("/logs/shop/web?tail=5&grep=a.b&previous=1").text
    query = site.asked[0]
    assert (query.service, query.tail, query.previous) == ("shop/web", 5, True)
    assert query.pattern is not None
    assert [bool(query.pattern.search(text)) for text in ("xa.by", "xaxby")] == [True, False]
    assert "<time>22:13:20</time>   indented" in page
    odd = site.client.get("/logs/shop/web?grep=%28a%2B%29%2B%24")
    assert (odd.status_code, 'data-follow="/api/logs/shop/web?grep=%28a%2B%29%2B%24"' in odd.text) == (200, True)
    pattern = site.asked[-1].pattern
    assert pattern is not None
    assert pattern.search("a" * 100_000 + "!") is None  # as a regular expression it would never end


def test_the_number_of_streams_is_bounded_also_if_all_begin_at_the_same_moment(site: Site) -> None:
    async def begun() -> list[int]:
        statuses: list[int] = []
        wait = asyncio.Event()

        async def one() -> None:
            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    statuses.append(message["status"])
                    await asyncio.sleep(0)

            async def receive() -> Any:
                await wait.wait()
                return {"type": "http.disconnect"}

            scope = {"type": "http", "method": "GET", "path": "/api/events", "query_string": b"", "root_path": "",
                     "headers": [(b"host", b"localhost")]}  # fmt: skip
            await site.application(scope, receive, send)

        tasks = [asyncio.create_task(one()) for _ in range(3 * LISTENERS)]
        while len(statuses) < len(tasks):
            await asyncio.sleep(0.01)
        wait.set()
        await asyncio.gather(*tasks)
        return statuses

    for _ in range(2):  # the second time, the first ones have made room
        assert Counter(asyncio.run(begun())) == {200: LISTENERS, 503: 2 * LISTENERS}


def test_the_stream_of_an_unknown_service_ends_with_the_reason(site: Site) -> None:
    site.unknown = NotFound(Reason.USAGE_INVALID, "there is no stack or service 'shop/x'", "did you mean shop/web?")
    assert site.client.get("/api/logs/shop/x").text.startswith(": there is no stack or service")


def test_log_of_an_unknown_service_is_404_with_a_suggestion(site: Site) -> None:
    site.unknown = NotFound(Reason.USAGE_INVALID, "there is no stack or service 'shop/x'", "did you mean shop/web?")
    answer = site.client.get("/logs/shop/x")
    assert (answer.status_code, "did you mean shop/web?" in answer.text) == (404, True)


def test_followed_log_is_streamed(site: Site) -> None:
    site.lines = [{"time": "2023-11-14T22:13:20.000000000Z", "stream": "stdout", "line": HOSTILE}]
    answer = site.client.get("/api/logs/shop/web?grep=x")
    kind, data = answer.text.split("\n")[:2]
    assert kind == "event: lines"
    assert json.loads(data.removeprefix("data: ")) == site.lines


def test_every_outcome_is_shown(site: Site) -> None:
    site.show(snapshot([attempt(n, outcome=outcome) for n, outcome in enumerate(Outcome, 1)]))
    page = site.client.get("/").text
    assert all(outcome.value in page for outcome in Outcome)


def test_document_without_attempts_is_shown(site: Site) -> None:
    site.show(replace(snapshot([]), history=summary.history([])))
    assert "No commit was tried yet." in site.client.get("/").text
