"""Kinds of repositories: several stacks, only a Compose file, a folder of a larger repository, an empty one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.e2e.host import Host
from tests.e2e.services import healthy, stated
from tests.e2e.together import Together

pytestmark = pytest.mark.engine
together = Together()


def compose(services: dict[str, Any], **more: Any) -> str:
    return json.dumps({"services": services, **more})


@together.with_one_compose
def test_a_repository_with_only_a_compose_file_must_work(host: Host) -> None:
    host.configure(source={"stack": host.stack})
    sha = host.push_files({"compose.yaml": compose({"web": stated("1")}), "README": "no desired-state"})
    turn = host.once()
    assert (turn.code, turn["outcome"], turn["revision"]) == (0, "Succeeded", sha), turn["message"]
    assert host.states() == {"web-1": "running"}
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_folder_of_a_larger_repository_must_be_enough(host: Host) -> None:
    host.configure(source={"path": "machines/home"})
    inside = {f"machines/home/{path}": text for path, text in host.files({"web": stated("1")}).items()}
    host.push_files({**inside, "compose.yaml": "none of ours: ["})
    assert host.once().code == 0
    assert host.states() == {"web-1": "running"}
    bad = host.push_files({**inside, "machines/home/compose/stack/compose.yaml": "services:\n  web: [\n"})
    assert host.validate(bad)["violations"][0]["path"] == "machines/home/compose/stack/compose.yaml"


@together.with_one_compose
def test_a_branch_without_a_commit_must_be_waited_for(host: Host) -> None:
    turn = host.once()
    assert (turn.code, turn["reason"]) == (3, "FetchFailed")
    assert turn["hint"]
    assert host.status().code in (1, 3)
    host.push({"web": stated("1")})
    assert host.once().code == 0


def another_stack(host: Host) -> str:
    """Register another stack of the same host. Returns its name."""
    host.stacks.append(f"{host.name}-t")
    return host.stacks[-1]


def stacks(host: Host, *documents: dict[str, Any]) -> str:
    body = json.loads(host.host_document())
    body["spec"]["stacks"] = list(documents)
    return json.dumps(body)


def push(host: Host, second: str, first_version: str, second_version: str, **more: Any) -> str:
    """Push two stacks; the host's stack depends on `second`. `more`: further keys of `second`."""
    upper = {"name": host.stack, "files": ["upper/compose.yaml"], "depends_on": [second]}
    lower = {"name": second, "files": ["lower/compose.yaml", "lower/more.yaml"], **more}
    return host.push_files({
        f"desired-state/{host.name}.yaml": stacks(host, upper, lower),
        "upper/compose.yaml": compose({"web": stated(first_version)}),
        "lower/compose.yaml": compose({"db": healthy("sleep 1; touch /tmp/healthy")}),
        "lower/more.yaml": compose({"db": {"environment": {"VERSION": second_version}}}),
    })  # fmt: skip


def inspected(host: Host, name: str) -> dict[str, Any]:
    answer: dict[str, Any] = host.engine.inspect_container(name)
    return answer


@together.with_one_compose
def test_a_stack_must_wait_for_those_it_depends_on(host: Host) -> None:
    second = another_stack(host)
    push(host, second, "1", "1")
    assert host.once().code == 0
    db, web = f"{second}-db-1", f"{host.stack}-web-1"
    first = inspected(host, db), inspected(host, web)
    assert first[0]["State"]["StartedAt"] < first[1]["State"]["StartedAt"]
    assert {item["name"] for item in host.status()["stacks"]} == {host.stack, second}
    push(host, second, "2", "1")
    assert host.once().code == 0
    assert inspected(host, db)["Id"] == first[0]["Id"]
    assert inspected(host, web)["Id"] != first[1]["Id"]
    assert host.once()["effects"] == 0


@together.with_one_compose
def test_a_suspended_stack_must_be_left_as_it_is(host: Host) -> None:
    second = another_stack(host)
    push(host, second, "1", "1")
    assert host.once().code == 0
    db, web = f"{second}-db-1", f"{host.stack}-web-1"
    first = inspected(host, db)["Id"], inspected(host, web)["Id"]
    push(host, second, "2", "2", suspended=True)
    assert host.once().code == 0
    assert inspected(host, db)["Id"] == first[0]
    assert inspected(host, web)["Id"] != first[1]
    assert host.once()["effects"] == 0
    push(host, second, "2", "2")
    assert host.once().code == 0
    assert inspected(host, db)["Id"] != first[0]


@together.with_one_compose
def test_a_stack_that_leaves_the_host_document_must_leave_only_volumes(host: Host) -> None:
    second = another_stack(host)
    document = {"name": host.stack, "files": ["upper/compose.yaml"]}
    services = {"web": stated("1"), "other": stated("1")}
    files: dict[str, str | bytes] = {
        f"desired-state/{host.name}.yaml": stacks(host, document, {"name": second, "files": ["lower.yaml"]}),
        "upper/compose.yaml": compose(services),
        "lower.yaml": compose({"db": stated("1", volumes=["data:/data"])}, volumes={"data": {}}),
    }
    host.push_files(files)
    assert host.once().code == 0
    host.push_files({**files, f"desired-state/{host.name}.yaml": stacks(host, document)})
    assert host.once().code == 0
    label = {"label": f"com.docker.compose.project={second}"}
    assert host.engine.containers(all=True, filters=label) == []
    assert host.engine.networks(filters=label) == []
    assert [item["Name"] for item in host.engine.volumes(filters=label)["Volumes"]] == [f"{second}_data"]
    assert host.status()["leftovers"]["volumes"] == [f"{second}_data"]
    assert set(host.states().values()) == {"running"}
