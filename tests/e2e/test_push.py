"""A push becomes a running stack, or the machine stays as it was, and the commit's note says which."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import BROKEN, IMAGE, healthy, living, service, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()


def three(version: str, **more: Any) -> dict[str, Any]:
    """A database, an application that waits for it, and a worker that waits for that."""
    return {
        "db": healthy(volumes=["data:/data"]),
        "app": stated(version, depends_on={"db": {"condition": "service_healthy"}}),
        "worker": stated("1", depends_on=["app"], restart="unless-stopped"),
        **more,
    }


DATA: dict[str, Any] = {"volumes": {"data": {}}}


def finals(host: Host, sha: str) -> list[str]:
    return [item["outcome"] for item in host.history(sha) if item["final"]]


@together.with_one_compose
def test_a_push_must_become_a_running_stack(host: Host) -> None:
    sha = host.push(three("1"), **DATA)
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"], turn["intent"]) == (0, "Succeeded", sha, "Advance")
    assert turn["effects"] > 0
    assert host.states() == {"app-1": "running", "db-1": "running", "worker-1": "running"}
    for name in ("app", "db", "worker"):
        container = host.container(name)
        labels = container["Config"]["Labels"]
        assert labels["com.docker.compose.project"] == labels["dev.reconciler.stack"] == host.stack
        assert labels["com.docker.compose.service"] == name
        assert labels["dev.reconciler.host"] == host.name
        assert labels["dev.reconciler.spec"]
        assert sha not in "".join(labels.values())
        wanted = "unless-stopped" if name == "worker" else "always"
        assert container["HostConfig"]["RestartPolicy"]["Name"] == wanted
        assert container["HostConfig"]["Memory"] == container["HostConfig"]["MemorySwap"] == 32 << 20
        networks = container["NetworkSettings"]["Networks"]
        assert list(networks) == [f"{host.stack}_default"]
        assert name in networks[f"{host.stack}_default"]["Aliases"]
    assert list(host.networks()) == [f"{host.stack}_default"]
    assert host.volumes() == {f"{host.stack}_data"}
    assert host.exec("worker-1", "getent hosts app db").count("\n") == 1


@together.with_one_compose
def test_the_note_of_a_commit_must_say_its_outcome(host: Host) -> None:
    sha = host.push(three("1"), **DATA)
    host.once()
    note = host.note(sha)
    assert note is not None
    assert note.first == f"{host.name} success ReconciliationSucceeded"
    assert note.trailers["State"] == "success"
    assert note.trailers["Revision"] == sha
    assert note.trailers["Host"] == host.name
    status = host.status()
    assert (status.code, status["sync"], status["health"]) == (0, "Synced", "Healthy")
    assert status["lastGoodRevision"] == status["lastAppliedRevision"] == status["source"]["head"] == sha
    assert {item["service"]: item["running"] for item in status["stacks"][0]["services"]} == {
        "app": 1, "db": 1, "worker": 1,
    }  # fmt: skip
    assert finals(host, sha) == ["Succeeded"]


@together.with_one_compose
def test_a_second_turn_must_have_no_effects(host: Host) -> None:
    host.push(three("1"), **DATA)
    host.once()
    before, notes = host.ids(), host.repository.git("rev-parse", f"refs/notes/reconciler/{host.name}")
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["effects"], turn["attempt"]) == (0, "Unchanged", 0, None)
    assert host.ids() == before
    assert host.repository.git("rev-parse", f"refs/notes/reconciler/{host.name}") == notes
    assert host.plan().code == 0


@together.with_one_compose
def test_plan_must_agree_with_the_turn_if_the_commit_is_held(host: Host) -> None:
    told = ("outcome", "reason", "message", "hint")
    host.push({name: stated("1") for name in "abc"})
    assert host.once().code == 0
    host.engine.stop(f"{host.stack}-b-1", timeout=0)
    plan = host.plan()
    assert (plan.code, plan["outcome"], plan["intent"]) == (1, None, "Repair"), plan.document
    assert plan["steps"][0]["container"] == f"{host.stack}-b-1"
    assert host.once()["reason"] == "DriftCorrected"
    host.push({"a": stated("1")})
    assert host.run("suspend", "--reason", "holidays").code == 0
    for reason in ("Suspended", "ConsentMissing"):
        plan, turn = host.plan(), host.once()
        assert (plan.code, plan["outcome"], plan["reason"], plan["steps"]) == (1, "Held", reason, [])
        assert [plan[key] for key in told] == [turn[key] for key in told]
        host.run("resume")


@together.with_one_compose
def test_plan_must_say_what_would_happen_and_do_nothing(host: Host) -> None:
    host.push(three("1"), **DATA)
    plan = host.plan()
    assert plan.code == 1
    assert plan["changes"]
    assert host.containers() == {}
    assert host.volumes() == set()
    host.once()
    host.push(three("2"), **DATA)
    before = host.ids()
    plan = host.plan()
    assert plan["restarts"] == [f"{host.stack}/app"]
    assert [item["service"] for item in plan["downtime"]] == ["app"]
    actions = [step["action"] for step in plan["steps"]]
    assert actions.index("CreateContainer") < actions.index("StopContainer") < actions.index("StartContainer")
    assert [step["n"] for step in plan["steps"]] == list(range(1, len(actions) + 1))
    assert plan["peakBytes"] == max(step["memoryAfterBytes"] for step in plan["steps"]) <= plan["boundBytes"]
    assert host.ids() == before


@together.with_one_compose
def test_a_change_must_replace_only_what_it_changes(host: Host) -> None:
    host.push(three("1"), **DATA)
    host.once()
    before = host.ids()
    host.push(three("2"), **DATA)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    after = host.ids()
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == [f"{host.stack}-app-1"]
    assert {item["service"]: item["action"] for item in turn["services"]} == {
        "app": "Switched", "db": "Unchanged", "worker": "Unchanged",
    }  # fmt: skip


@together.with_one_compose
def test_a_broken_commit_must_leave_the_containers_that_ran(host: Host) -> None:
    good = host.push(three("1"), **DATA)
    host.once()
    before = host.ids()
    bad = host.push(three("2", app={**BROKEN, "depends_on": ["db"]}, worker=stated("2")), **DATA)
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "RolledBack", "Crashed")
    assert turn["revertedTo"] == good
    assert (turn["failure"]["service"], turn["failure"]["exitCode"]) == ("app", 7)
    assert turn["failure"]["log"] == ["the broken one"]
    assert host.ids() == before
    assert set(host.states().values()) == {"running"}
    assert {item["HostConfig"]["RestartPolicy"]["Name"] for item in host.containers().values()} == {
        "always", "unless-stopped",
    }  # fmt: skip
    note = host.note(bad)
    assert note is not None
    assert note.first == f"{host.name} failure Crashed"
    assert "the broken one" in note.text
    assert note.trailers["Reverted-To"] == good
    machine = host.ids(), host.repository.git("for-each-ref")
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["effects"], turn["reason"]) == (1, 0, "RevisionQuarantined")
    assert (host.ids(), host.repository.git("for-each-ref")) == machine
    assert finals(host, bad) == ["RolledBack"]
    status = host.status()
    assert status.code == 1
    assert status["lastGoodRevision"] == good
    assert [item["revision"] for item in status["quarantinedRevisions"]] == [bad]


@together.with_one_compose
def test_bad_content_must_not_be_tried_again_under_another_sha(host: Host) -> None:
    host.push(three("1"), **DATA)
    host.once()
    broken = three("1", app=BROKEN)
    host.push(broken, **DATA)
    host.once()
    before = host.containers()
    again = host.push(broken, files={"README": "words that change nothing"}, **DATA)
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", "RevisionQuarantined")
    note = host.note(again)
    assert note is not None
    assert note.trailers["State"] == "failure"
    started = {name: item["State"]["StartedAt"] for name, item in before.items()}
    assert {name: item["State"]["StartedAt"] for name, item in host.containers().items()} == started


@together.with_one_compose
def test_git_revert_must_need_no_pull_and_no_build(host: Host) -> None:
    def built(text: str) -> tuple[dict[str, Any], dict[str, str | bytes]]:
        services = three("1", app=service(image=None, build="./app"))
        return services, {"app/Dockerfile": f"FROM {IMAGE}\nCOPY text /text\n", "app/text": text}

    first = host.push(*built("one"), **DATA)
    host.once()
    image = host.container("app")["Image"]
    host.push(*built("two"), **DATA)
    host.once()
    assert host.container("app")["Image"] != image
    assert host.exec("app-1", "cat /text") == "two"
    before = host.ids()
    reverted = host.revert(first)
    assert not {step["action"] for step in host.plan()["steps"]} & {"Pull", "Build"}
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Succeeded", reverted)
    assert host.container("app")["Image"] == image
    assert host.exec("app-1", "cat /text") == "one"
    after = host.ids()
    assert [name for name in after if after[name] != before[name]] == [f"{host.stack}-app-1"]


@together.with_one_compose
def test_git_revert_of_a_broken_commit_must_find_everything_in_place(host: Host) -> None:
    first = host.push(three("1"), **DATA)
    host.once()
    host.push(three("2", app=BROKEN), **DATA)
    host.once()
    before = host.containers()
    reverted = host.revert(first)
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    assert {n: c["State"]["StartedAt"] for n, c in host.containers().items()} == {
        n: c["State"]["StartedAt"] for n, c in before.items()
    }
    note = host.note(reverted)
    assert note is not None
    assert note.trailers["State"] == "success"
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_first_commit_that_is_broken_must_be_stopped_with_its_data_kept(host: Host) -> None:
    db = living("echo precious > /data/sentinel; touch /tmp/healthy", volumes=["data:/data"])
    bad = host.push({"db": db, "app": {**BROKEN, "depends_on": ["db"]}}, **DATA)
    turn = host.once()
    assert (turn.code, turn["revertedTo"]) == (1, None)
    assert "running" not in host.states().values()
    assert host.volumes() == {f"{host.stack}_data"}
    note = host.note(bad)
    assert note is not None
    assert note.trailers["State"] == "failure"
    for _ in range(2):
        turn = host.once()
        assert (turn.code, turn["outcome"], turn["effects"]) == (1, "Held", 0)
    corrected = host.push({"db": living("", volumes=["data:/data"])}, **DATA)
    turn = host.once()
    assert (turn.code, turn["revision"]) == (0, corrected)
    assert host.exec("db-1", "cat /data/sentinel") == "precious"


@together.with_one_compose
def test_a_removed_service_must_go_with_its_network_and_leave_its_volume(host: Host) -> None:
    extra = living("echo precious > /data/sentinel", volumes=["extra:/data"], networks=["own"])
    services = {"web": stated("1"), "other": stated("1"), "extra": extra}
    host.push(services, volumes={"extra": {}}, networks={"own": {}})
    host.once()
    assert f"{host.stack}_own" in host.networks()
    host.push({"web": stated("1"), "other": stated("1")})
    turn = host.once()
    assert (turn.code, turn["outcome"]) == (0, "Succeeded")
    assert host.states() == {"other-1": "running", "web-1": "running"}
    assert list(host.networks()) == [f"{host.stack}_default"]
    assert host.volumes() == {f"{host.stack}_extra"}
    assert host.status()["leftovers"]["volumes"] == [f"{host.stack}_extra"]
    host.push(services, volumes={"extra": {}}, networks={"own": {}})
    assert host.once().code == 0
    assert host.exec("extra-1", "cat /data/sentinel") == "precious"


@together.with_one_compose
def test_a_removed_service_must_come_back_if_the_commit_fails(host: Host) -> None:
    host.push({"web": stated("1"), "other": stated("1"), "extra": stated("1")})
    host.once()
    before = host.ids()
    host.push({"web": BROKEN, "other": stated("1")})
    assert host.once()["outcome"] == "RolledBack"
    assert host.ids() == before
    assert set(host.states().values()) == {"running"}
