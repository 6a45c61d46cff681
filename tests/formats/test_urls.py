from __future__ import annotations

import pytest

from reconciler.formats.urls import login_problems, url_problem

GOOD = [
    "/srv/git/home.git",
    "~/git/home.git",
    "/Users/me/My Repositories/home.git",
    "https://git.example.org/a/home.git",
    "https://user:token@git.example.org:8443/home.git",
    "ssh://git@git.example.org:2222/home.git",
    "ssh://git.example.org/home.git",
    "git@git.example.org:a/home.git",
    "git.example.org:home.git",
    "https://[::1]/home.git",
]

BAD = {
    "": "absolute path",
    "home.git": "neither",
    "../home.git": "absolute path",
    "-uX": "absolute path",
    "--upload-pack=touch x": "blank",
    "ext::sh -c touch% x": "blank",
    "ext::sh": "'::'",
    "fd::17": "'::'",
    "file:///srv/git": "file://",
    "http://git.example.org/home.git": "not encrypted",
    "git://git.example.org/home.git": "not allowed",
    "http+unix://socket/home.git": "not allowed",
    "ftp://git.example.org/home.git": "not allowed",
    "ssh://-oProxyCommand=x/home.git": "host or user",
    "ssh://-l@git.example.org/home.git": "host or user",
    "ssh://git:secret@git.example.org/home.git": "has a password",
    "https://git.example.org\nhost/home.git": "line break",
    "https:///home.git": "host or user",
    "https://git.example.org": "no repository",
    "https://git.example.org:port/home.git": "no valid address",
    "git@-host:home.git": "neither",
    "host:-home.git": "neither",
    "/srv/git\x1b[31m": "control",
    "/srv/my\u00a0git": "blank",
    "https://git.example.org/my home.git": "blank",
    " /srv/git": "blank",
}


@pytest.mark.parametrize("url", GOOD)
def test_what_git_may_be_given(url: str) -> None:
    assert url_problem(url) is None


@pytest.mark.parametrize(("url", "told"), BAD.items())
def test_what_git_may_not_be_given(url: str, told: str) -> None:
    problem = url_problem(url)

    assert problem is not None
    assert told in problem[0]
    assert problem[1]


@pytest.mark.parametrize("url", ["http://user:hunter2@h/x", "ssh://git:hunter2@h/x", "https://user:hunter2@-h/x"])
def test_a_password_is_never_repeated(url: str) -> None:
    assert "hunter2" not in " ".join(url_problem(url) or ())


def test_http_is_for_commits_that_must_be_signed() -> None:
    assert url_problem("http://git.example.org/home.git", signed=True) is None
    problem = url_problem("http://git.example.org/home.git")
    assert problem is not None
    assert "could put other commits in the place of yours" in problem[0]
    assert "allowed_signers" in problem[1]
    assert "in the clear" in (url_problem("http://me:hunter2@git.example.org/x", signed=True) or ("",))[0]
    assert url_problem("http://me:hunter2@127.0.0.1:3000/x", signed=True) is None


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"url": "https://h/x", "token_file": "/t", "username": "me", "ca_file": "/c"}, []),
        ({"url": "ssh://git@h/x", "key_file": "/k", "known_hosts_file": "/h"}, []),
        ({"url": "git@h:x", "key_file": "/k"}, []),
        ({"url": "http://127.0.0.1:3000/x", "token_file": "/t"}, []),
        ({"url": "http://h/x", "token_file": "/t"}, ["token_file"]),
        ({"url": "http://127.0.0.1/x", "ca_file": "/c"}, ["ca_file"]),
        ({"url": "/srv/x", "token_file": "/t", "key_file": "/k"}, ["token_file", "key_file"]),
        (
            {"url": "ssh://h/x", "token_file": "/t", "username": "me", "ca_file": "/c"},
            ["token_file", "username", "ca_file"],
        ),
        ({"url": "https://h/x", "key_file": "/k", "known_hosts_file": "/h"}, ["key_file", "known_hosts_file"]),
        ({"url": "https://h/x", "username": "me"}, ["username"]),
        ({"url": "https://me:pw@h/x", "token_file": "/t"}, ["token_file"]),
        ({"url": "ssh://h/x", "key_file": "/my keys/k"}, ["key_file"]),
        ({"url": "ssh://h/x", "known_hosts_file": "/%h"}, ["known_hosts_file"]),
    ],
)
def test_which_credentials_go_with_which_address(given: dict[str, str], wrong: list[str]) -> None:
    found = list(login_problems(given))
    assert [key for key, _, _ in found] == wrong
    assert all(what and hint for _, what, hint in found)
