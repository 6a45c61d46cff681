"""The process that sends: real requests over HTTP and SMTP to servers on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.formats.targets import problems, secrets, shown
from reconciler.report.courier import Courier
from tests.report.targets import Receiver, http, smtp

KEY = f"canary-key-{uuid.uuid4().hex[:8]}-of-the-target"
"""Of this run: all processes of the machine are searched for it."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with http() as made:
        yield made


@pytest.fixture
def courier() -> Courier:
    return Courier({**os.environ, "RECONCILER_REPORT_FORGE_TOKEN": "canary-token-of-the-forge"})


def test_over_http(receiver: Receiver, courier: Courier) -> None:
    """No other user sees the address: it is in no command line and in no environment."""
    seen: list[str] = []

    def look() -> None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                seen.append((folder / "cmdline").read_text() + (folder / "environ").read_text())
            except OSError:
                continue

    receiver.during = look
    sent = courier.send(receiver.url(KEY), "mini: bbbb rolled back", "‹b› :smile: \\n", "failure")
    receiver.during = lambda: None
    assert sent.ok, sent
    arrived = receiver.got[-1]
    assert (arrived["title"], arrived["message"], arrived["type"]) == (
        "mini: bbbb rolled back", "‹b› :smile: \\n", "failure",
    )  # fmt: skip
    ours = [text for text in seen if "reconciler.report" in text]
    assert ours
    assert KEY not in "".join(seen)
    assert "canary-token-of-the-forge" not in "".join(ours)


def test_what_a_target_refuses(receiver: Receiver, courier: Courier) -> None:
    receiver.statuses = [404]
    sent = courier.send(receiver.url(KEY), "t", "b", "success")
    assert not sent.ok
    assert "404" in sent.message
    assert KEY not in sent.message


def test_a_redirect_elsewhere_is_not_followed(receiver: Receiver, courier: Courier) -> None:
    with http() as other:
        receiver.headers = {"Location": other.url("", "http")}
        receiver.statuses, receiver.gets = [307], [302]
        assert not courier.send(receiver.url(KEY), "t", "b", "success").ok
        assert not courier.fetch(receiver.url(KEY, "http")).ok
        receiver.headers = {}
        assert other.raw == []


def test_an_answer_without_end_fills_no_memory(receiver: Receiver, courier: Courier) -> None:
    receiver.endless = True
    try:
        sent = courier.send(receiver.url(KEY), "t", "b", "success")
        assert not sent.ok
        assert not courier.fetch(receiver.url(KEY, "http")).ok
    finally:
        receiver.endless = False
    assert KEY not in sent.message


def test_a_message_without_a_body_is_sent(receiver: Receiver, courier: Courier) -> None:
    assert courier.send(receiver.url(KEY), "all is well", "", "recovered").ok
    assert "all is well" in receiver.raw[-1]


def test_over_smtp(courier: Courier) -> None:
    with smtp() as box:
        assert courier.send(box.url, "mini: Ünal ‹b›", "line one\n.\nline three", "failure").ok
        (mail,) = box.mails
        assert mail["Subject"] == "mini: Ünal ‹b›"
        assert mail["To"] == "me@example.org"
        assert mail["X-Injected"] is None
        assert "line three" in str(mail)
        box.refuse = True
        sent = courier.send(box.url, "t", "b", "failure")
        assert not sent.ok
        assert box.mails == [mail]


def test_a_target_that_is_not_there(courier: Courier) -> None:
    sent = courier.send(f"json://127.0.0.1:1/{KEY}", "t", "b", "failure")
    assert not sent.ok
    assert "onnection" in sent.message
    assert KEY not in sent.message


def test_an_address_that_nobody_understands(courier: Courier) -> None:
    sent = courier.check(f"nosuch://{KEY}")
    assert not sent.ok
    assert sent.message.startswith("apprise cannot use nosuch://***")
    assert KEY not in sent.message
    assert courier.check("ntfy://topic").ok


def test_without_apprise_it_is_said_how_to_get_it(courier: Courier, tmp_path: Path) -> None:
    (tmp_path / "apprise.py").write_text("raise ImportError('not here')\n")
    sent = Courier({**os.environ, "PYTHONPATH": str(tmp_path)}).send("json://127.0.0.1:1", "t", "b", "failure")
    remedy = f"{sys.executable} -m pip install 'reconciler[notify]'"
    assert sent == (False, f"the library apprise is not installed: {remedy}")


def test_nothing_of_the_working_folder_is_run(receiver: Receiver, courier: Courier, tmp_path: Path) -> None:
    for name in ("apprise", "json", "reconciler", "requests"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert courier.fetch(receiver.url("here", "http")).ok
    finally:
        os.chdir(before)
    assert not (tmp_path / "ran").exists()


def test_the_heartbeat(receiver: Receiver, courier: Courier) -> None:
    assert courier.fetch(receiver.url(f"{KEY}?msg=well", "http")).ok
    assert receiver.fetched[-1] == f"/{KEY}?msg=well"
    receiver.gets = [500]
    sent = courier.fetch(receiver.url(KEY, "http"))
    assert not sent.ok
    assert "500" in sent.message


def test_a_python_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch, courier: Courier) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert courier.fetch("http://127.0.0.1:1") == (False, "the process that sends it ended with 1")
    assert subprocess.run(["/bin/false"], check=False).returncode == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("json://127.0.0.1:8080/hook", "json://127.0.0.1:8080/***"),
        ("jsons://user:pass@host.example.org", "jsons://***@host.example.org"),
        ("mailtos://me:pa/ss@example.org", "mailtos://***"),
        ("mailtos://me:1234/5@example.org", "mailtos://***"),
        ("mailto://me:pass", "mailto://***"),
        ("ntfy://secret-topic", "ntfy://***"),
        ("slack://bot@T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ", "slack://***"),
        ("tgram://123456789:AAF_abc/12315544", "tgram://***"),
        ("https://hc-ping.com/0d6b8b1e", "https://hc-ping.com/***"),
        ("http://[::1]:80/x", "http://[::1]:80/***"),
    ],
)
def test_addresses_are_masked(url: str, told: str) -> None:
    assert shown(url) == told


def test_what_looks_like_a_key_is_secret_and_a_word_is_not() -> None:
    found = secrets("jsons://user:pass%21word@host.example.org/alerts/0d6b8b1e-0000-4000-8000-2f6e7c0e1a55")
    assert {"pass%21word", "pass!word", "0d6b8b1e-0000-4000-8000-2f6e7c0e1a55"} <= set(found)
    assert not {"alerts", "user", "host.example.org"} & set(found)


def test_odd_settings_are_told() -> None:
    odd = {
        "heartbeat": {"url": "https://x:99999", "every": "500ms"},
        "notify": [{"url": "ntfy://x", "quiet": "07:00-07:00"}, {"url": "ntfy://x", "on": []}, "text", None],
    }
    assert [pointer for pointer, *_ in problems(odd)] == [
        ("heartbeat", "every"), ("heartbeat", "url"), ("notify", 0, "quiet"), ("notify", 1, "on"),
    ]  # fmt: skip
    assert list(problems({"notify": "text", "heartbeat": None})) == []
