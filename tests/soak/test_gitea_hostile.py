"""Hostile texts, several hosts, reverts and poor tokens with a real Gitea or Forgejo:
`GITEA=PROGRAM pytest -m soak tests/soak/test_gitea_hostile.py`."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import docker
import pytest
import requests

from tests.conftest import find_compose
from tests.e2e.host import eventually, new_host
from tests.e2e.services import BROKEN, health, one_shot
from tests.hooks.tool import git, write
from tests.soak.gitea_server import PERSON, Gitea, gitea, push
from tests.soak.test_gitea import SCOPES, Told, telling

pytestmark = [
    pytest.mark.engine,
    pytest.mark.soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif("GITEA" not in os.environ, reason="GITEA names no program of Gitea or Forgejo"),
]

CANARY = "hunter2-canary-4711"
HOSTILE = (
    "```", "~~~~", "</code></pre></details><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "@me @org/team",
    "#1 me/hostile#1 me/hostile@main", "![x](http://evil.example/x.png)", "[click](javascript:alert(1))",
    "https://evil.example/?x=1", "\x1b[31mred\x1b[0m \x1b]8;;http://evil.example\x07link\x1b]8;;\x07", "\u202egnp.exe",
    "/close", "<!-- reconciler:mini -->", "&lt;b&gt;", "| a | b |\n|---|---|", ":tada:", f"password={CANARY}",
    "\r\x08\x07",
)  # fmt: skip
HARMLESS = {"strong", "code", "p", "ul", "li", "pre", "details", "summary", "div", "span", "h4"}


@pytest.fixture(scope="module")
def server() -> Iterator[Gitea]:
    with gitea() as made:
        yield made


class Comments(HTMLParser):
    """The rendered comments of a page: their tags with attributes, and their texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text, self._depth = "", 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._depth:
            self.tags.append((tag, dict(attrs)))
        if self._depth or "render-content" in (dict(attrs).get("class") or ""):
            self._depth += tag not in ("img", "br", "hr", "input")

    def handle_endtag(self, tag: str) -> None:
        self._depth -= bool(self._depth)

    def handle_data(self, data: str) -> None:
        self.text += data if self._depth else ""


def merged(told: Told, branch: str) -> tuple[int, str]:
    """A pull request with the clone's head, merged. Returns its number and the merged sha."""
    push(told.clone, told.server.ssh(told.name), told.server.git, f"HEAD:refs/heads/{branch}")
    number, sha = told.server.merge(told.name, branch)
    git(told.clone, "pull", "-q", "--no-rebase", told.server.ssh(told.name), "main", **told.server.git)
    return number, sha


def test_nothing_hostile_has_an_effect_on_a_page(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    encoded = base64.b64encode("\n".join(HOSTILE).encode()).decode()
    say = f"echo {encoded} | base64 -d"
    long = "head -c 10000000 /dev/zero | tr '\\0' x; echo"
    with (
        telling(server, tmp_path, "hostile", private=False, comments="all", container_output="all") as told,
        told.run(),
    ):
        secret = told.host.secrets / told.host.stack / "TOKEN"
        secret.parent.mkdir(mode=0o700)
        secret.touch(mode=0o600)
        secret.write_text(CANARY)
        told.commit("1")
        told.push()
        told.ends(git(told.clone, "rev-parse", "HEAD"), "success")
        bad = one_shot(f"{say} >&2; exit 1", restart="no", environment={"TOKEN": "${TOKEN}"}, healthcheck=health(say))
        told.commit("2", {"web": bad})
        git(
            told.clone, "commit", "-q", "--amend", "-m", "<script>alert(2)</script> @me ![x](http://evil.example/y.png)"
        )
        number, sha = merged(told, "bad")
        told.ends(sha, "failure")
        eventually(lambda: "rolled back" in "".join(server.comments("hostile", number)), 60)
        page = requests.get(f"{server.root}/{PERSON}/hostile/pulls/{number}", timeout=30)
        shown = Comments(page.text)
        assert page.ok
        assert "rolled back" in shown.text, page.text[-3000:]
        odd = [(tag, found) for tag, found in shown.tags if tag not in HARMLESS]
        ours = f"/{PERSON}/hostile/commit/"
        assert not [item for item in odd if item[0] != "a" or ours not in str(item[1].get("href"))], odd
        assert not [found for _, found in shown.tags if any(name.startswith("on") for name in found)]
        assert "<script>alert(1)</script>" in shown.text, server.comments("hostile", number)
        assert "@me @org/team" in shown.text
        assert not set("\x1b\x07\x08\u202e") & set(shown.text)
        assert server.ask("GET", f"/repos/{PERSON}/hostile/issues/{number}")["state"] == "closed"
        told.commit("3", {"web": one_shot(f"{long} >&2; exit 1", restart="no", healthcheck=health())})
        number, sha = merged(told, "long")
        told.ends(sha, "failure")
        eventually(lambda: "rolled back" in "".join(server.comments("hostile", number)), 60)
        (text,) = server.comments("hostile", number)
        assert len(text) < 60_000
        assert "xxx…" in text
        eventually(lambda: {item["pending"] for item in told.host.status()["report"]} == {0}, 60)
        told.note(sha)
    kept = b"".join(path.read_bytes() for path in server.folder.glob("gitea.db*"))
    assert b"rolled back" in kept
    assert CANARY.encode() not in kept
    for ref in git(told.clone, "for-each-ref", "--format=%(refname)", "refs/notes").splitlines():
        assert CANARY not in git(told.clone, "log", "-p", "-a", ref)


def test_a_failed_commit_its_revert_and_its_retry(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "revert") as told, told.run():
        good = told.commit("1")
        told.push()
        told.ends(good, "success")
        told.commit("2", {"web": BROKEN | {"restart": "no"}})
        number, bad = merged(told, "bad")
        told.ends(bad, "failure")
        eventually(lambda: "rolled back" in "".join(server.comments("revert", number)), 60)
        told.host.run("retry", bad)
        eventually(lambda: told.states(bad).count("failure") == 2, 60)
        first = told.states(bad).index("failure")
        assert told.states(bad)[first + 1] == "pending", "the retry has opened it again"
        assert len(server.comments("revert", number)) == 1
        git(told.clone, "revert", "--no-edit", "-m", "1", bad)
        revert = git(told.clone, "rev-parse", "HEAD")
        told.push()
        told.ends(revert, "success")
        said = [item["description"] for item in server.statuses("revert", revert) if item["context"] == told.context]
        assert said[-1] == "healthy; nothing had to restart"


def test_two_hosts_report_side_by_side(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    with telling(server, tmp_path, "two", comments="all") as told:
        source = {"url": server.ssh("two"), "interval": "1s"}
        report = {"forge": told.forge, "comments": "all"}
        with (
            new_host(
                tmp_path / "other", find_compose()[-1], source=source, report=report, notes={"push": True}
            ) as other,
            told.run(),
            other.started("run", **server.git),
        ):
            for number in (1, 2):
                write(told.clone, {f"desired-state/{other.name}.yaml": other.host_document()})
                told.commit(str(number))
                pull, sha = (0, git(told.clone, "rev-parse", "HEAD")) if number == 1 else merged(told, "work")
                if number == 1:
                    told.push()
                told.ends(sha, "success")
                eventually(lambda sha=sha: told.states(sha, f"reconciler/{other.name}")[-1:] == ["success"], 60)
            eventually(lambda: len([text for text in server.comments("two", pull) if "healthy" in text]) == 2, 60)
            starts = {text.splitlines()[0] for text in server.comments("two", pull)}
            assert starts == {f"<!-- reconciler:{name} -->" for name in (told.host.name, other.name)}
            eventually(lambda: len(server.ask("GET", f"/repos/{PERSON}/two/git/refs/notes")) == 2, 60)


def test_notes_are_pushed_over_http(
    engine: docker.APIClient, images: dict[str, str], server: Gitea, tmp_path: Path
) -> None:
    """Without encryption, so commits must be signed."""
    token, signers, key = tmp_path / "git-token", tmp_path / "signers", tmp_path / "signing"
    token.touch(mode=0o600)
    token.write_text(server.token("over-http", "write:repository"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signers.write_text(f"me@example.org {key.with_suffix('.pub').read_text()}")
    url = f"{server.root}/{PERSON}/http.git"
    more = {"token_file": str(token), "username": PERSON, "allowed_signers": str(signers)}
    with telling(server, tmp_path, "http", source=url) as told:
        told.host.configure(
            source={"url": url, "interval": "1s", **more}, notes={"push": True}, report={"forge": told.forge}
        )
        for name, value in (("gpg.format", "ssh"), ("user.signingKey", str(key)), ("commit.gpgSign", "true")):
            git(told.clone, "config", name, value)
        with told.run():
            sha = told.commit("1")
            push(told.clone, server.http("http"), {})
            told.ends(sha, "success")
            eventually(lambda: told.report("notes")["pending"] == 0, 30)
            assert told.note(sha).trailers["Revision"] == sha


@pytest.mark.parametrize(
    ("scopes", "channel", "needs"),
    [
        (("write:issue",), "statuses", "`write:repository`"),
        (("write:issue", "read:repository"), "statuses", "`write:repository`"),
        (("write:repository",), "comments", "`write:issue`"),
        (("write:repository", "read:issue"), "comments", "`write:issue`"),
        (("read:user",), "statuses", "`write:repository`"),
        (("public-only", "write:repository", "write:issue"), "statuses", ""),
    ],
)
def test_each_scope_that_a_token_lacks_is_named(
    engine: docker.APIClient,
    images: dict[str, str],
    server: Gitea,
    tmp_path: Path,
    scopes: tuple[str, ...],
    channel: str,
    needs: str,
) -> None:
    name = "-".join(scopes).replace(":", "-")
    with telling(server, tmp_path, name, scopes=scopes) as told:
        with told.run():
            told.commit("1")
            told.push()
            first = git(told.clone, "rev-parse", "HEAD")
            eventually(lambda: told.host.history(first) and told.host.history(first)[0]["final"], 60)
            told.commit("2")
            merged(told, "work")
            eventually(lambda: told.report(channel)["error"], 60)
        error = str(told.report(channel)["error"])
        assert needs in error
        checks = {item["name"]: item for item in told.host.run("doctor", **server.git)["checks"]}
        assert checks["forge"]["ok"] is False
        assert needs in checks["forge"]["message"] + checks["forge"]["hint"]
        assert needs in "".join(told.host.outputs), "the log"
        told.token.write_text(server.token(f"{name}-able", *SCOPES))
        assert told.host.once(**server.git).code == 0
        eventually(lambda: told.report(channel)["error"] is None, 30)
