"""An operator's requests (suspend, retry, accept) are done, with and without a running agent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.host import Answer, Host, eventually
from tests.e2e.services import living, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()

SERVICES = {"web": stated("1"), "db": stated("1")}
SWITCHED = "[ -e /gate/open ] || exit 3"
"""Fails until somebody has corrected the host."""


def done(answer: Answer, verb: str) -> Answer:
    assert (answer.code, answer["kind"], answer["verb"], answer["outcome"]) == (0, "Request", verb, "Done"), answer
    return answer


def asked(host: Host, *request: str) -> None:
    """Send a request to a running agent. On a busy machine its answer may take longer than the verb waits."""
    answer = host.run(*request)
    if (answer.code, answer["outcome"]) != (75, "Waiting"):
        done(answer, request[0])
    eventually(lambda: (request[0], "Done") in {(r["verb"], r["outcome"]) for r in host.run("history")["requests"]})


def file_status(host: Host) -> dict[str, Any]:
    path = host.state / "status.json"
    status: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return status


def good(host: Host, sha: str) -> bool:
    return file_status(host).get("lastGoodRevision") == sha and file_status(host)["rollout"] is None


def empty(host: Host) -> bool:
    return not list((host.state / "requests").iterdir())


@together.with_one_compose
def test_nothing_must_change_while_suspended_without_an_agent(host: Host) -> None:
    first = host.push(SERVICES)
    assert host.once().code == 0
    done(host.run("suspend", "--reason", "the disk is replaced", "--for", "2h"), "suspend")
    assert empty(host)
    host.push({**SERVICES, "web": stated("2")})
    host.engine.stop(f"{host.stack}-db-1", timeout=0)
    before = host.machine()
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "Suspended")
    assert host.machine() == before
    status = host.status()
    assert (status.code, status["health"], status["reason"]) == (1, "Suspended", "Suspended")
    assert status["suspended"]["reason"] == "the disk is replaced"
    assert status["suspended"]["until"]
    assert status["lastGoodRevision"] == first
    assert "the disk is replaced" in host.text("status")
    done(host.run("resume"), "resume")
    assert host.status()["suspended"] is None
    assert host.once().code == 0
    assert host.exec("web-1", "echo $VERSION") == "2"
    assert host.states() == {"db-1": "running", "web-1": "running"}


@together.with_one_compose
def test_a_running_agent_must_do_requests_at_once(host: Host) -> None:
    host.configure(source={"interval": "10m"})
    first = host.push(SERVICES)
    with host.started("run"):
        eventually(lambda: good(host, first), 60)
        asked(host, "suspend", "--reason", "x")
        eventually(lambda: file_status(host)["suspended"] == {"reason": "x", "until": None})
        second = host.push({**SERVICES, "web": stated("2")})
        eventually(lambda: file_status(host)["source"]["head"] == second)
        assert host.exec("web-1", "echo $VERSION") == "1"
        refused = host.run("retry", "0123abcd")
        assert (refused.code, refused["outcome"]) == (1, "Refused")
        asked(host, "resume")
        eventually(lambda: good(host, second), 60)
        eventually(lambda: empty(host))
        left = host.run("suspend", "--reason", "y", "--no-wait")
        assert (left.code, left["outcome"] in ("Waiting", "Done")) == (0, True)
        eventually(lambda: (file_status(host)["suspended"] or {}).get("reason") == "y")
    requests = host.run("history")["requests"]
    assert [item["verb"] for item in requests] == ["suspend", "resume", "retry", "suspend"]


@together.with_every_compose
def test_a_quarantined_commit_must_be_tried_again_after_retry(host: Host) -> None:
    first = host.push(SERVICES)
    assert host.once().code == 0
    # The fault is on the host: the same commit is good after the correction.
    volumes = ["./gate:/gate"]
    bad = host.push({**SERVICES, "web": {**living(SWITCHED, restart="no"), "volumes": volumes}})
    turn = host.once()
    assert (turn["outcome"], turn["revertedTo"]) == ("RolledBack", first)
    assert host.note(bad).trailers["State"] == "failure"  # type: ignore[union-attr]
    (next((host.state / "data" / host.stack).rglob("gate")) / "open").touch()
    assert host.once()["outcome"] == "Unchanged"
    done(host.run("retry", bad[:9]), "retry")
    assert host.status()["quarantinedRevisions"] == []
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Succeeded", bad)
    note = host.note(bad)
    assert note is not None
    assert note.trailers["State"] == "success"
    assert "retried: it was failure" in note.text
    assert [item["final"] for item in host.history(bad)] == [True, False]
    # The mirror has forgotten the quarantine too: without the journal the commit stays good.
    (host.state / "journal.jsonl").unlink()
    assert host.once().code == 0
    assert host.status()["quarantinedRevisions"] == []


@together.with_one_compose
def test_held_commits_must_be_applied_after_accept(host: Host) -> None:
    host.push({name: stated("1") for name in "abcd"})
    assert host.once().code == 0
    base = host.repository.head()
    small = host.push({"a": stated("1")})
    assert host.once()["outcome"] == "Held"
    done(host.run("accept", "main"), "accept")
    turn = host.once()
    assert (turn["outcome"], turn["revision"]) == ("Succeeded", small)
    assert host.states() == {"a-1": "running"}
    tree = host.repository.git("rev-parse", f"{base}^{{tree}}")
    rewritten = host.repository.set(host.repository.commit_tree(tree, "rewritten"))
    with host.started("run"):
        eventually(lambda: file_status(host).get("reason") == "NotFastForward", 30)
        asked(host, "accept", rewritten)
        eventually(lambda: good(host, rewritten), 60)
    assert set(host.states()) == {"a-1", "b-1", "c-1", "d-1"}


@together.with_one_compose
def test_containers_accepted_after_a_rollback_that_failed_must_be_restarted_by_the_engine(host: Host) -> None:
    volumes = ["./gate:/gate"]
    host.push({"web": living("[ ! -e /gate/burnt ] || exit 3", restart="no", volumes=volumes), "db": stated("1")})
    assert host.once().code == 0
    burning = living("touch /gate/burnt; exit 7", restart="no", volumes=volumes)
    bad = host.push({"web": {**burning, "depends_on": ["db"]}, "db": stated("2")})
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (4, "RollbackFailed"), turn["message"]
    kept = host.container("db")
    assert (kept["State"]["Status"], kept["HostConfig"]["RestartPolicy"]["Name"]) == ("running", "no")
    done(host.run("accept", bad), "accept")
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Held", "RollbackFailed")
    found = host.container("db")
    assert (found["Id"], found["HostConfig"]["RestartPolicy"]["Name"]) == (kept["Id"], "always")
    assert found["State"]["StartedAt"] == kept["State"]["StartedAt"]
    assert host.once()["effects"] == 0
    assert not host.status()["stalled"]


@together.with_one_compose
def test_a_forged_request_must_change_nothing(host: Host) -> None:
    sha = host.push(SERVICES)
    with host.started("run"):
        eventually(lambda: good(host, sha), 60)
        forged = host.state / "requests" / "20261121T150000.000000001Z-suspend.json"
        draft = forged.with_suffix(".draft")
        draft.write_text('{"verb": "suspend", "revision": "", "why": "x", "until": null, "more": 1}')
        draft.rename(forged)
        eventually(lambda: forged.with_suffix(".bad").exists())
        assert host.status()["suspended"] is None
        assert host.run("history")["requests"] == []
