"""Open pull requests are judged against the real machine. The program runs as a process."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.host import Host, eventually, new_host
from tests.e2e.services import healthy, stated
from tests.report.fake_forge import TOKEN, FakeForge, OpenPull, serving

pytestmark = pytest.mark.engine


@pytest.fixture
def forge() -> Iterator[FakeForge]:
    with serving("github") as made:
        yield made
        assert made.wrong == []


@pytest.fixture
def host(tmp_path: Path, compose: Path, forge: FakeForge) -> Iterator[Host]:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    os.chmod(token, 0o600)
    named = {"kind": "github", "api": forge.api, "repository": "me/home", "token_file": str(token)}
    report = {"forge": named, "comments": "none", "statuses": False, "preview": {"pull_requests": "same-repository"}}
    with new_host(tmp_path / "host", compose, report=report) as made:
        yield made
        assert TOKEN not in "".join(made.outputs)


def proposed(host: Host, branch: str, base: str, files: dict[str, str | bytes]) -> str:
    host.repository.set(base, branch)
    return host.repository.push(files, branch)


def rolling(host: Host) -> bool:
    """Whether the agent's status shows a rollout."""
    return json.loads((host.state / "status.json").read_text())["rollout"] is not None


def test_a_pull_request_is_judged_and_nothing_is_touched(host: Host, forge: FakeForge) -> None:
    context = f"reconciler/{host.name}/preview"
    base = host.push({"web": stated("1"), "db": stated("1")})
    assert host.once()["outcome"] == "Succeeded"
    assert any(line.endswith("/pulls") for line in forge.requests), "`once` looks after a rollout, too"
    ours = proposed(host, "ours", base, host.files({"web": stated("1"), "db": stated("2"), "new": stated("1")}))
    bad = proposed(host, "bad", base, host.files({"web": stated("1") | {"privileged": True}, "db": stated("1")}))
    forge.open += [OpenPull(1, "ours", ours), OpenPull(2, "bad", bad), OpenPull(3, "ours", ours, fork=True)]
    # The branch has moved on. The pull request must not seem to remove the newer changes.
    head = host.push({"web": stated("1"), "db": stated("1")}, {"note": "later"})
    assert host.once()["outcome"] == "Succeeded"
    before, journal = host.machine(), (host.state / "journal.jsonl").read_bytes()

    answer = host.run("preview")
    assert {item["number"]: item["outcome"] for item in answer["pullRequests"]} == {1: "Unchanged", 2: "Unchanged"}
    assert forge.states(ours, context) == ["success"]
    assert f"restarts {host.stack}/db; starts {host.stack}/new" in forge.newest(ours, context)["description"]
    (comment,) = forge.comments_of("pull 1")
    assert comment.startswith(f"<!-- reconciler:{host.name} -->\n<!-- preview:1 -->\n")
    assert f"- restarts `{host.stack}/db`, down for at most" in comment
    assert f"merged into `main` at `{head[:12]}`" in comment
    assert "MiB" in comment
    assert forge.states(bad, context) == ["failure"]
    (comment,) = forge.comments_of("pull 2")
    assert "compose/stack/compose.yaml:" in comment
    assert "privileged" in comment
    assert forge.comments_of("pull 3") == []
    assert (host.machine(), (host.state / "journal.jsonl").read_bytes()) == (before, journal)
    assert list((host.state / "preview").iterdir()) == []

    better = host.repository.push(host.files({"web": stated("1"), "db": stated("1")}), "bad")
    forge.open[1] = OpenPull(2, "bad", better)
    del forge.open[0]
    assert host.run("preview").code == 0
    assert forge.states(better, context) == ["success"]
    (comment,) = forge.comments_of("pull 2")
    assert "nothing has to restart" in comment
    assert list(json.loads((host.state / "preview.json").read_text())["pulls"]) == ["2"]
    (told,) = [item for item in host.status()["report"] if item["channel"] == "preview"]
    assert (told["pending"], told["error"]) == (0, None)


def test_an_agent_at_rest_judges_by_itself_and_never_during_a_rollout(host: Host, forge: FakeForge) -> None:
    slow = healthy("sleep 4; touch /tmp/healthy")
    patient = {"min_healthy_time": "1s", "healthy_deadline": "60s", "progress_deadline": "90s"}
    base = host.push({"web": stated("1")})
    ours = proposed(host, "ours", base, host.files({"web": stated("2")}))
    forge.open.append(OpenPull(1, "ours", ours))
    during: list[str] = []
    with host.started("run"):
        eventually(lambda: forge.states(ours, f"reconciler/{host.name}/preview"), 40)
        forge.after = lambda method, path: during.append(path if rolling(host) else "")
        head = host.push({"web": slow}, stack={"gate": patient})
        ended = eventually(lambda: [item for item in host.history(head) if item["outcome"] != "Started"], 40)
        assert ended[0]["outcome"] == "Succeeded", ended
        eventually(lambda: "restarts" in forge.newest(ours, f"reconciler/{host.name}/preview")["description"], 40)
    assert not any("pulls" in path for path in during)
