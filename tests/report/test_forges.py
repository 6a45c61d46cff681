"""Each forge by real HTTP, every request judged by the forge's published API."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from reconciler.errors import Usage
from reconciler.report import web
from reconciler.report.answers import LONGEST_WAIT, ForgeError, Refused, Unreachable
from reconciler.report.forge import connect, id_of
from reconciler.report.messages import Policy
from reconciler.report.token import read_token
from reconciler.settings import ForgeSettings
from tests.report.attempts import BACK, BAD, GOOD, back, bad, good, history, overtaken, running
from tests.report.fake_forge import TOKEN, Comment, FakeForge, Reply, serving
from tests.report.outboxes import Sender

WORDS = {
    "github": {"running": "pending", "failure": "failure", "superseded": "error"},
    "gitlab": {"running": "running", "failure": "failed", "superseded": "canceled"},
    "gitea": {"running": "pending", "failure": "failure", "superseded": "error"},
}


@pytest.fixture(params=["github", "gitlab", "gitea"])
def forge(request: pytest.FixtureRequest) -> Iterator[FakeForge]:
    with serving(request.param) as made:
        made.pulls = {GOOD: 1, BAD: 2}
        yield made
        assert made.wrong == []
        assert made.tokens <= {TOKEN}


@pytest.fixture
def sender(forge: FakeForge, tmp_path: Path) -> Sender:
    made = Sender(forge, tmp_path, now=50.0)
    if forge.kind == "gitea":
        made.policy = replace(made.policy, deployments=False)
        made.start()
    return made


def test_the_whole_story_of_a_commit_that_failed(forge: FakeForge, sender: Sender) -> None:
    words = WORDS[forge.kind]
    sender.tell_all(history(good()))
    assert forge.states(GOOD, "reconciler/mini") == ["success"]
    sender.tell_all(history(good(), running(BAD, 200.0, "2-bbbbbbbb")))
    assert forge.states(BAD, "reconciler/mini") == [words["running"]]
    (planned,) = forge.comments_of(BAD)
    assert "restarts `shop/web`, down for at most 40 s" in planned
    sender.tell_all(history(good(), bad()))
    assert forge.states(BAD, "reconciler/mini") == [words["running"], words["failure"]]
    assert forge.states(BAD, "reconciler/mini/shop")[-1] == words["failure"]
    (outcome,) = forge.comments_of(BAD)
    assert "    cannot connect to db:5432" in outcome
    assert "git revert bbbbbbbbbbbb" in outcome
    sender.tell_all(history(good(), bad(), back()))
    assert forge.states(BACK, "reconciler/mini") == ["success"]
    assert forge.newest(BACK, "reconciler/mini")["description"] == "healthy; nothing had to restart"
    assert forge.comments_of(BACK) == []
    if forge.kind != "gitea":
        deployed = {item["sha"]: item["states"][-1] for item in forge.deployments}
        assert deployed == {GOOD: "success", BAD: words["failure"], BACK: "success"}


def test_what_was_told_is_not_told_again(forge: FakeForge, sender: Sender) -> None:
    told = history(good(), bad())
    sender.tell_all(told)
    before = len(forge.requests)
    sender.start()
    sender.tell_all(told)
    assert len(forge.requests) == before


def test_superseded_commits_get_one_state(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(overtaken(GOOD, 100.0, "1-a", stacks=("shop",)), good(BAD, name="2-b")))
    assert forge.states(GOOD, "reconciler/mini") == [WORDS[forge.kind]["superseded"]]
    assert forge.states(GOOD, "reconciler/mini/shop") == []
    assert forge.comments_of(GOOD) == []


def test_a_superseded_commit_gets_no_comment_although_its_plan_was_tried(forge: FakeForge, sender: Sender) -> None:
    forge.faults += [Reply(503, {"message": "away"})] * 20
    sender.tell(history(running()))
    forge.faults.clear()
    sender.tell_all(history(overtaken(GOOD, 100.0, "1-aaaaaaaa", stacks=("shop",)), good(BAD, name="2-b")))
    assert forge.states(GOOD, "reconciler/mini") == [WORDS[forge.kind]["superseded"]]
    assert forge.comments_of(GOOD) == []
    assert GOOD not in [item["sha"] for item in forge.deployments]


def test_a_comment_that_is_gone_is_made_again(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(running(BAD, 200.0, "2-bbbbbbbb")))
    forge.comments.clear()
    sender.tell_all(history(bad()))
    assert len(forge.comments_of(BAD)) == 1


def test_a_comment_of_a_lost_outbox_is_found_by_its_mark(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(running(BAD, 200.0, "2-bbbbbbbb")))
    for n in range(60):
        forge.comments.insert(0, Comment(1000 + n, BAD, f"talk {n}"))
    (sender.folder / "outbox.json").unlink()
    sender.now = 1000.0
    sender.start()
    sender.tell_all(history(bad()))
    ours = [text for text in forge.comments_of(BAD) if "reconciler:mini" in text]
    assert len(ours) == 1
    assert "rolled back" in ours[0]


def test_somebody_elses_comment_with_our_mark_is_left_alone(forge: FakeForge, sender: Sender) -> None:
    forged = f"<!-- reconciler:mini -->\n<!-- revision:{BAD} -->\nmine"
    forge.comments.append(Comment(1, BAD, forged, mine=False))
    sender.tell_all(history(bad()))
    assert forge.comments_of(BAD)[0] == forged
    assert "rolled back" in forge.comments_of(BAD)[1]


def test_a_comment_that_only_looks_like_ours_is_not_edited_though_the_token_may(
    forge: FakeForge, tmp_path: Path
) -> None:
    """Who could edit it into anything later is somebody else."""
    sealed = Policy("mini", seal=lambda digest: f"sealed{digest}")
    forged = f"<!-- reconciler:mini -->\n<!-- revision:{BAD} -->\n<!-- seal:guess -->\nmine"
    forge.comments.append(Comment(1, BAD, forged))
    sender = Sender(forge, tmp_path, sealed, now=50.0)
    sender.tell_all(history(bad()))
    (tmp_path / "outbox.json").unlink()
    sender.now = 1000.0
    sender.start()
    sender.tell_all(history(bad()))
    assert len(forge.comments_of(BAD)) == 2
    assert forge.comments_of(BAD)[0] == forged
    assert "rolled back" in forge.comments_of(BAD)[1]


def test_a_comment_of_the_user_of_an_earlier_token_is_written_anew(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(running(BAD, 200.0, "2-bbbbbbbb")))
    forge.comments[0].mine = False
    sender.tell_all(history(bad()))
    old, new = forge.comments_of(BAD)
    assert "rollout under way" in old
    assert "rolled back" in new
    assert sender.delivery.box.channel("comments").refused == ""


def test_an_id_of_another_repository_is_not_used(forge: FakeForge, sender: Sender) -> None:
    """After a move to another forge or repository, the same id is somebody else's comment, which the token may edit."""
    sender.tell_all(history(running(BAD, 200.0, "2-bbbbbbbb")))
    forge.comments[0] = theirs = Comment(forge.comments[0].id, GOOD, "talk of others")
    sender.settings, sender.now = ForgeSettings(forge.kind, forge.api, "me/moved"), 1000.0
    sender.start()
    sender.tell_all(history(bad()))
    assert theirs.body == "talk of others"
    (outcome,) = forge.comments_of(BAD)
    assert "rolled back" in outcome


def test_two_hosts_report_on_one_commit_side_by_side(forge: FakeForge, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Sender(forge, tmp_path / "other", replace(sender.policy, host="nas"), now=50.0)
    for each in (sender, other, sender):
        each.tell_all(history(bad()))
    assert len(forge.comments_of(BAD)) == 2
    assert len(forge.states(BAD, "reconciler/mini")) == len(forge.states(BAD, "reconciler/nas")) == 1


def test_a_retry_opens_the_status_again(forge: FakeForge, sender: Sender) -> None:
    sender.tell_all(history(bad()))
    sender.tell_all(history(replace(bad(), final=False), running(BAD, 400.0, "3-bbbbbbbb")))
    sender.tell_all(history(replace(bad(), final=False), good(BAD, 400.0, "3-bbbbbbbb")))
    words = WORDS[forge.kind]
    assert forge.states(BAD, "reconciler/mini") == [words["failure"], words["running"], "success"]
    assert len(forge.comments_of(BAD)) == 1


# -- what a network and a server can do ------------------------------------------------------------------------------


def client(forge: FakeForge, **changes: str) -> web.Web:
    return web.Web(changes.get("api", forge.api), {"Authorization": f"Bearer {TOKEN}"}, str)


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(502, b"<html>bad gateway</html>"), "answers 502"),
        (Reply(404, b"<!DOCTYPE html><title>Not found</title>"), "is `api` right?"),
        (Reply(200, {"id": 1}, cut=3), ""),
        (Reply(200, {"id": 1, "name": "home"}, cut=15, chunked=True), ""),
        (Reply(200, b"<html>welcome</html>"), "no JSON"),
        (Reply(200, b"[" * 100_000), "no JSON"),
        (Reply(200, b"x" * (web.LARGEST + 10)), "too large"),
        (Reply(503, {"message": "later"}, {"Retry-After": "7"}), "later"),
        (Reply(429, {"message": "slow down"}), "rate limit"),
        (Reply(301, None, {"Location": "http://127.0.0.1:1/elsewhere"}), "redirects to"),
        (Reply(302, None, {"Location": "https://evil.example/"}), "redirects to https://evil.example"),
    ],
)
def test_bad_answers_are_errors_with_a_reason(reply: Reply, said: str) -> None:
    with serving("gitea") as forge:
        forge.faults.append(reply)
        with pytest.raises(ForgeError) as caught:
            client(forge).ask("GET", "/repos/me/home")
        assert said in caught.value.message
        assert len(forge.requests) == 1


def test_answers_come_in_pieces_too() -> None:
    with serving("gitea") as forge:
        forge.faults.append(Reply(200, {"id": 1, "name": "home"}, chunked=True))
        assert client(forge).ask("GET", "/repos/me/home").body == {"id": 1, "name": "home"}


def test_a_certificate_is_believed_by_its_authority_alone(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=forge", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving("gitea", context) as forge:
        settings = ForgeSettings("gitea", forge.api.replace("http:", "https:"), "me/home")
        with pytest.raises(Unreachable, match="certificate"):
            connect(settings, TOKEN, str, "main").look()
        assert forge.requests == []
        connect(replace(settings, ca_file=str(certificate)), TOKEN, str, "main").look()
        with pytest.raises(Unreachable, match="gone"):
            connect(replace(settings, ca_file="/gone.pem"), TOKEN, str, "main").look()


def test_a_slow_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WHOLE", 0.5)
    with serving("gitea") as forge:
        forge.faults.append(Reply(200, b" " * 100, slow=0.1))
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="takes more than"):
            client(forge).ask("GET", "/repos/me/home")
        assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    ],
    ids=["interim", "header", "trailer"],
)
def test_what_stands_around_an_answer_ends_too(first: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "WHOLE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def endless() -> None:
            with suppress(OSError), server.accept()[0] as peer:
                peer.sendall(first)
                for _ in range(200):
                    time.sleep(0.05)
                    peer.sendall(piece)

        threading.Thread(target=endless, daemon=True).start()
        made = web.Web(f"http://127.0.0.1:{server.getsockname()[1]}", {}, str)
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="takes more than"):
            made.ask("GET", "/repos/me/home")
        assert time.monotonic() - begun < 5.0


@pytest.mark.parametrize(
    "address", ["http://127.0.0.2:{port}\\@127.0.0.1:{port}/", "//127.0.0.2:{port}\\@127.0.0.1:{port}/"]
)
def test_an_address_that_two_parsers_read_differently_gets_no_token(address: str) -> None:
    with serving("gitea") as forge:
        forge.faults.append(Reply(302, None, {"Location": address.format(port=forge.port)}))
        with pytest.raises(Refused, match=r"redirects to http://127\.0\.0\.2, where no token is sent"):
            client(forge).ask("GET", "/repos/me/home")


def test_what_a_forge_says_of_permissions_is_masked_and_short() -> None:
    with serving("github") as forge:
        forge.faults.append(Reply(403, {}, {"X-Accepted-GitHub-Permissions": f"{TOKEN} " + "a" * 60_000}))
        made = web.Web(forge.api, {}, lambda text: text.replace(TOKEN, "***"))
        with pytest.raises(Refused) as caught:
            made.ask("GET", "/repos/me/home")
        assert caught.value.hint.startswith("*** ")
        assert len(caught.value.hint) <= web.SAID


def test_a_renamed_repository_is_followed_on_the_same_host_alone() -> None:
    with serving("gitea") as forge:
        forge.faults.append(Reply(301, None, {"Location": "/api/v1/repos/me/new"}))
        assert client(forge).ask("GET", "/repos/me/home").status in (200, 401)
        assert forge.requests == ["GET /repos/me/home", "GET /repos/me/new"]
        forge.faults.extend(Reply(301, None, {"Location": "/api/v1/repos/me/new"}) for _ in range(9))
        with pytest.raises(Refused, match="in a circle"):
            client(forge).ask("GET", "/repos/me/home")


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "120"}, 120.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:20:00 GMT"}, 200.0),
        ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1300"}, 300.0),
        ({"RateLimit-Remaining": "0", "RateLimit-Reset": "1400"}, 400.0),
        ({"Retry-After": "99999999"}, LONGEST_WAIT),
        ({"Retry-After": "nonsense"}, 60.0),
        ({"Retry-After": "Thu, 99999999999999999999999 Jan 1970 00:20:00 GMT"}, 60.0),
        ({"Retry-After": "Thu, 01 Jan 1970 00:20:00 +99999999999999999999"}, 60.0),
    ],
)
def test_how_long_a_forge_has_us_wait(headers: dict[str, str], wait: float) -> None:
    with serving("github") as forge:
        forge.faults.append(Reply(403, {"message": "API rate limit exceeded"}, headers))
        made = web.Web(forge.api, {}, str, now=lambda: 1000.0)
        with pytest.raises(Unreachable) as caught:
            made.ask("GET", "/repos/me/home")
        assert caught.value.wait == wait


def test_nobody_else_decides_who_gets_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """requests would take what ~/.netrc says in place of our own header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving("gitea") as forge:
        client(forge).ask("GET", "/repos/me/home")
        assert forge.tokens == {TOKEN}
        assert requests.get(f"{forge.api}/repos/me/home", timeout=5).status_code == 401
        assert forge.tokens == {TOKEN, "c29tZWJvZHk6ZWxzZQ=="}, "netrc would have counted"


def test_a_server_that_is_away_is_unreachable(tmp_path: Path) -> None:
    with serving("gitea") as forge:
        settings = ForgeSettings("gitea", forge.api, "me/home")
    with pytest.raises(Unreachable) as caught:
        connect(settings, TOKEN, str, "main").look()
    assert "127.0.0.1" in caught.value.message


def test_a_pipe_in_place_of_the_token_holds_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "token", 0o600)
    settings = ForgeSettings("gitea", "http://127.0.0.1:1", "me/home", token_file=str(tmp_path / "token"))
    told: list[str] = []

    def read() -> None:
        with pytest.raises(Usage) as caught:
            read_token(settings, {}, lambda values: None)
        told.append(caught.value.message)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30.0)
    assert told == [f"{tmp_path}/token holds no token"]


@pytest.mark.parametrize("given", [None, True, "", "x" * 101, 1.5, [1], {}])
def test_an_id_that_is_none_is_not_kept(given: object) -> None:
    with pytest.raises(ValueError, match="names no id"):
        id_of({"id": given})
