"""All reporting to a real Gitea or Forgejo: `GITEA=PROGRAM pytest -m soak tests/soak/test_gitea.py`."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from tests.conftest import find_compose
from tests.e2e.host import Host, Note, eventually, new_host
from tests.e2e.services import BROKEN, healthy, stated
from tests.hooks.tool import git, write
from tests.soak.gitea_server import PERSON, Gitea, gitea, push

pytestmark = [
    pytest.mark.engine,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("GITEA" not in os.environ, reason="GITEA names no program of Gitea or Forgejo"),
]

SCOPES = ("write:repository", "write:issue")


@pytest.fixture(scope="module")
def server() -> Iterator[Gitea]:
    with gitea() as made:
        yield made


@dataclass
class Told:
    """A host whose agent reports to the repository `name` on the server, and the clone of a person who pushes there."""

    server: Gitea
    host: Host
    name: str
    clone: Path
    token: Path
    forge: dict[str, str]

    @property
    def context(self) -> str:
        return f"reconciler/{self.host.name}"

    @property
    def contexts(self) -> set[str]:
        return {self.context, f"{self.context}/{self.host.stack}"}

    def commit(self, version: str, services: dict[str, object] | None = None) -> str:
        write(
            self.clone,
            {path: str(text) for path, text in self.host.files(services or {"web": stated(version)}).items()},
        )
        git(self.clone, "add", "-A")
        git(self.clone, "commit", "-q", "--allow-empty", "-m", f"version {version}")
        return git(self.clone, "rev-parse", "HEAD")

    def push(self, *what: str) -> None:
        push(self.clone, self.server.ssh(self.name), self.server.git, *what)

    def states(self, sha: str, context: str = "") -> list[str]:
        return self.server.states(self.name, sha, context or self.context)

    def ends(self, sha: str, state: str, seconds: float = 60) -> None:
        """Wait until each context of the commit has this state. It must be the only final state of the context."""
        eventually(lambda: all(self.states(sha, item)[-1:] == [state] for item in self.contexts), seconds)
        for context in self.contexts:
            assert [item for item in self.states(sha, context) if item != "pending"] == [state]

    def note(self, sha: str) -> Note:
        ref = f"refs/notes/reconciler/{self.host.name}"
        git(self.clone, "fetch", "-q", "-f", self.server.ssh(self.name), f"{ref}:{ref}", **self.server.git)
        return Note(git(self.clone, "notes", f"--ref={ref}", "show", sha))

    def report(self, channel: str) -> dict[str, object]:
        found: dict[str, object] = next(item for item in self.host.status()["report"] if item["channel"] == channel)
        return found

    def run(self) -> AbstractContextManager[object]:
        """The agent runs during the block."""
        return self.host.started("run", **self.server.git)


@contextmanager
def telling(
    server: Gitea, folder: Path, name: str, scopes: tuple[str, ...] = SCOPES, source: str = "", *,
    private: bool = True, **report: object,
) -> Iterator[Told]:  # fmt: skip
    server.repository(name, private)
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(server.token(name, *scopes))
    forge = {"kind": "gitea", "api": server.api, "repository": f"{PERSON}/{name}", "token_file": str(token)}
    named = {"url": source or server.ssh(name), "interval": "1s"}
    compose = find_compose()[-1]
    with new_host(
        folder / "host", compose, source=named, report={"forge": forge, **report}, notes={"push": True}
    ) as host:
        clone = folder / "clone"
        git(folder, "init", "-q", "-b", "main", str(clone))
        yield Told(server, host, name, clone, token, forge)
        assert token.read_text() not in "".join(host.outputs)


def test_pull_requests_get_the_outcome_of_their_commits(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    """Commits are pushed over ssh and http, and merged by merge, squash and rebase."""
    with telling(server, tmp_path, "pulls") as told, told.run():
        first = told.commit("1")
        told.push()
        told.ends(first, "success")
        combined = server.ask("GET", f"/repos/{PERSON}/pulls/commits/{first}/status")
        assert combined["state"] == "success"
        assert {item["context"] for item in combined["statuses"]} == told.contexts
        for number, how in enumerate(("merge", "squash", "rebase"), 2):
            git(told.clone, "checkout", "-q", "-b", how)
            told.commit(str(number))
            push(told.clone, server.http("pulls"), server.git, f"HEAD:refs/heads/{how}")
            pull, sha = server.merge("pulls", how, how)
            told.ends(sha, "success")
            eventually(lambda pull=pull: [text for text in server.comments("pulls", pull) if "healthy" in text], 60)
            (text,) = server.comments("pulls", pull)
            assert text.startswith(f"<!-- reconciler:{told.host.name} -->\n<!-- revision:{sha} -->")
            git(told.clone, "checkout", "-q", "main")
            git(told.clone, "pull", "-q", server.ssh("pulls"), "main", **server.git)
        git(told.clone, "checkout", "-q", "-b", "bad")
        told.commit("bad", {"web": BROKEN | {"restart": "no"}})
        push(told.clone, server.http("pulls"), server.git, "HEAD:refs/heads/bad")
        pull, sha = server.merge("pulls", "bad")
        told.ends(sha, "failure")
        eventually(lambda: [text for text in server.comments("pulls", pull) if "rolled back" in text], 60)
        (text,) = server.comments("pulls", pull)
        assert "    the broken one" in text, "the failing service's log"
        assert f"git revert {sha[:12]}" in text
        eventually(lambda: told.report("notes")["pending"] == 0, 30)
        assert told.note(sha).first.startswith(f"{told.host.name} failure ")
        assert {item["pending"] for item in told.host.status()["report"]} == {0}


def test_a_commit_without_a_pull_request_leaves_no_pending_comment(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "plain") as told, told.run():
        sha = told.commit("1")
        told.push()
        told.ends(sha, "success")
        eventually(lambda: told.report("comments")["pending"] == 0, 60)
        assert told.report("comments")["error"] is None


def test_a_token_without_its_scope_is_reported_and_a_new_one_works(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "scopes", scopes=("read:repository",)) as told, told.run():
        sha = told.commit("1")
        told.push()
        eventually(lambda: told.host.history(sha) and told.host.history(sha)[0]["final"], 60)
        eventually(lambda: told.report("statuses")["error"], 30)
        assert "needs" in str(told.report("statuses")["error"]) or "need" in str(told.report("statuses")["error"])
        assert "`write:repository`" in str(told.report("statuses")["error"])
        checks = {item["name"]: item for item in told.host.run("doctor", **server.git)["checks"]}
        assert checks["forge"]["ok"] is False
        assert told.states(sha) == []
        told.token.write_text("0" * 40)
        eventually(lambda: "not valid" in str(told.report("statuses")["error"]), 90)
        told.token.write_text(server.token("scopes2", *SCOPES))
        told.ends(sha, "success", 90)
        assert told.report("statuses")["error"] is None


def test_a_forge_that_is_killed_in_a_rollout_gets_the_outcome_afterwards(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "killed") as told, told.run():
        sha = told.commit("1", {"web": healthy("sleep 5; touch /tmp/healthy")})
        told.push()
        eventually(lambda: told.states(sha) == ["pending"], 60)
        server.kill()
        eventually(lambda: told.host.history(sha)[0]["outcome"] == "Succeeded", 60)
        assert told.report("statuses")["error"]
        server.start()
        told.ends(sha, "success", 90)
        assert told.report("statuses")["error"] is None


def test_fifty_commits_at_once_get_no_more_than_one_final_state_each(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "fifty") as told, told.run():
        first = told.commit("0")
        told.push()
        told.ends(first, "success")
        shas = [told.commit(str(number)) for number in range(1, 51)]
        told.push()
        told.ends(shas[-1], "success")
        assert [sha for sha in shas[:-1] if server.statuses("fifty", sha)] == [], "nobody has seen them as the head"
        more = []
        for number in range(51, 76):  # one push each, faster than they can be rolled out
            more.append(told.commit(str(number)))
            told.push()
        told.ends(more[-1], "success", 120)
        eventually(lambda: told.report("statuses")["pending"] == 0, 120)
        for sha in more[:-1]:
            final = [state for state in told.states(sha) if state != "pending"]
            assert final in ([], ["error"], ["success"])
            seen = told.host.history(sha)
            assert bool(final) == bool(seen and seen[0]["final"])


def test_a_commit_that_the_forge_gets_later_is_reported_later(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    """The source is another repository, which has the commit first. The forge answers 500 to an unknown commit."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "mirror.git")
    with telling(server, tmp_path, "later", source=str(tmp_path / "mirror.git")) as told, told.run():
        sha = told.commit("1")
        push(told.clone, str(tmp_path / "mirror.git"), {})
        eventually(lambda: "500" in str(told.report("statuses")["error"]), 60)
        told.push()
        told.ends(sha, "success", 120)


def test_after_a_lost_outbox_nothing_is_reported_twice(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    """The commit has many pages of statuses, the pull request many comments. Nothing is reported twice."""
    with telling(server, tmp_path, "pages", comments="all") as told:
        first = told.commit("1")
        told.push()
        with told.run():
            told.ends(first, "success")
            git(told.clone, "checkout", "-q", "-b", "work")
            told.commit("2")
            told.push("HEAD:refs/heads/work")
            pull, sha = server.merge("pages", "work")
            told.ends(sha, "success")
            eventually(lambda: [text for text in server.comments("pages", pull) if "healthy" in text], 60)
        for number in range(130):
            body = {"state": "success", "context": f"other/{number}", "description": "x"}
            server.ask("POST", f"/repos/{PERSON}/pages/statuses/{sha}", **body)
        for number in range(60):
            server.ask("POST", f"/repos/{PERSON}/pages/issues/{pull}/comments", body=f"talk {number}")
        before = len(server.statuses("pages", sha))
        (told.host.state / "outbox.json").unlink()
        with told.run():
            eventually(lambda: (told.host.state / "outbox.json").exists(), 60)
            eventually(lambda: told.report("statuses")["pending"] == told.report("comments")["pending"] == 0, 60)
        assert len(server.statuses("pages", sha)) == before
        assert len([text for text in server.comments("pages", pull) if "reconciler:" in text]) == 1
        box = json.loads((told.host.state / "outbox.json").read_text())
        assert f"statuses {sha} {told.context}" in box["entries"]
