"""Addresses that may be watched, and those that git never gets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.effects import Effects
from reconciler.errors import ReconcilerError, Usage
from reconciler.observe.login import Login
from reconciler.observe.remote import check_branch, parse_remote
from reconciler.observe.source import GitSource
from tests.repository import Repository


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("/srv/git/home.git", "file"),
        ("/srv/my git/home.git", "file"),
        ("./home.git", "file"),
        ("../a:b/home.git", "file"),
        ("https://example.org/home.git", "https"),
        ("https://example.org:8443/~me/home.git", "https"),
        ("https://[::1]/home.git", "https"),
        ("ssh://git@example.org:2222/home.git", "ssh"),
        ("ssh://[2001:db8::1]/home.git", "ssh"),
        ("git@example.org:home.git", "ssh"),
        ("example.org:/srv/home.git", "ssh"),
        ("[2001:db8::1]:home.git", "ssh"),
    ],
)
def test_what_may_be_watched(url: str, protocol: str) -> None:
    remote = parse_remote(url)
    assert remote.protocol == protocol
    assert remote.address == (os.path.abspath(url) if protocol == "file" else url)
    assert (remote.path is not None) == (protocol == "file")


def test_a_path_may_begin_at_home() -> None:
    assert parse_remote("~/home.git").path == Path.home() / "home.git"


@pytest.mark.parametrize(
    ("url", "name", "password"),
    [
        ("https://user:p%40ss%2Fword@example.org/home.git", "user", "p@ss/word"),
        ("https://token@example.org/home.git", "token", ""),
        ("https://:secret@example.org/home.git", "", "secret"),
    ],
)
def test_credentials_are_taken_out_of_the_address(url: str, name: str, password: str) -> None:
    remote = parse_remote(url)
    assert remote.address == remote.shown == "https://example.org/home.git"
    assert remote.origin == "https://example.org"
    assert (remote.login.username, remote.login.password) == (name, password)
    assert not password or password not in repr(remote)


def test_http_is_for_commits_that_must_be_signed() -> None:
    signed, token = Login(signed=True), Login(signed=True, token_file="/t")
    with pytest.raises(Usage, match="could put other commits in the place of yours"):
        parse_remote("http://example.org/home.git")
    assert parse_remote("http://example.org/home.git", signed).protocol == "http"
    assert parse_remote("http://127.0.0.1:3000/home.git", token).protocol == "http"
    for url, login in (("http://me:word@example.org/x", signed), ("http://example.org/x", token)):
        with pytest.raises(Usage, match="in the clear") as caught:
            parse_remote(url, login)
        assert "word@" not in caught.value.message


REFUSED = [
    "", " ", "-u/srv", "--upload-pack=touch MARKER", "-oProxyCommand=touch MARKER",
    "ext::sh -c touch% MARKER", "ext::touch%20MARKER", "ext::sh", "fd::17", "transport::x", "http::x",
    "file:///srv/git/home.git", "http://example.org/home.git", "git://example.org/home.git", "ftp://example.org/x",
    "http+unix://x/y", "ssh+git://example.org/x", "HTTPS+x://y", "://x", "https:///x", "https://",
    "ssh://-oProxyCommand=touch MARKER/x", "ssh://-oProxyCommand=x/y", "ssh://-l@example.org/x", "ssh://git:pw@host/x",
    "-oProxyCommand=x:y", "user@-oProxyCommand=x:y", "https://exa mple.org/x", "https://example.org/x\ny",
    "https://example.org\t/x", "https://example.org:port/x", "https://exam$ple.org/x", "/srv/git\0/x", "a\rb",
    "git@host::x", "https://[::1/x", "https://me:a%0Ahost=evil.example@example.org/x", "https://a%00b@example.org/x",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: url.encode("unicode_escape").decode() or "empty")
def test_what_may_not_be_watched_is_refused_with_a_remedy(url: str) -> None:
    with pytest.raises(Usage, match=r"source\.url") as caught:
        parse_remote(url)
    assert "/srv/git/home.git" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_refusal_names_no_password() -> None:
    for url in ("ssh://git:hunter2@host/x", "http://u:hunter2@host/x", "https://u:hunter2@ho$st/x"):
        with pytest.raises(Usage) as caught:
            parse_remote(url)
        assert "hunter2" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    "branch",
    ["", "-x", "--all", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[b", "a\\b", "a//b", "a/", "/a", ".a", "a/.b",
     "a.lock", "a.lock/b", "a.", "@", "@{-1}", "a@{b", "a\nb", "a\x7f", "x" * 201],
)  # fmt: skip
def test_what_git_would_not_take_for_a_branch_is_refused(branch: str) -> None:
    with pytest.raises(Usage, match=r"source\.branch"):
        check_branch(branch)


@pytest.mark.parametrize("place", ["url", "branch", "commit", "ancestor"])
def test_injections_never_run(tmp_path: Path, place: str) -> None:
    theirs = Repository(tmp_path / "home.git")
    sha = theirs.push({"a": "x"})
    marker = tmp_path / "marker"
    command = f"touch {marker}"
    texts = [
        f"ext::touch% {marker}", f"--upload-pack={command};git-upload-pack", f"--output={marker}", f"$({command})",
        f"`{command}`", f"x; {command}", f"x\n{command}", f"|{command}", f"-oProxyCommand={command}",
        f"ssh://-oProxyCommand=touch$IFS{marker}/x", f"{marker}:x/../y",
    ]  # fmt: skip
    for text in texts:
        try:
            url = text if place == "url" else str(theirs.folder)
            branch = text if place == "branch" else "main"
            environ = {**os.environ, "GIT_SSH_COMMAND": "false"}
            ours = GitSource(url, branch, tmp_path / "m", environ=environ, effects=Effects())
            ours.fetch()
            if place == "commit":
                ours.files(text)
            assert not ours.is_ancestor(text, sha)
        except (ReconcilerError, KeyError):
            pass
        assert not marker.exists()
