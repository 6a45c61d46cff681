"""The names in a Dockerfile, in every spelling that the builder understands."""

from __future__ import annotations

import pytest

from reconciler.formats.dockerfile import is_builtin, read, without_frontend


@pytest.mark.parametrize(
    ("text", "frontend"),
    [
        ("FROM x\n", None),
        ("# syntax=docker/dockerfile:1\nFROM x", "docker/dockerfile:1"),
        ("#syntax=a/b\nFROM x", "a/b"),
        ("#  SYNTAX = a/b --flag\r\nFROM x", "a/b --flag"),
        ("# escape=`\n# syntax=a/b\nFROM x", "a/b"),
        ("#!/bin/x\n# syntax=a/b\nFROM x", "a/b"),
        ("\ufeff# syntax=a/b\nFROM x", "a/b"),
        ("// syntax=a/b\nFROM x", "a/b"),
        ('{"syntax": "a/b"}', "a/b"),
        ('{"other": 1,\n "Syntax": "a/b"}\n', "a/b"),
        ("FROM x\n# syntax=a/b\n", None),
    ],
)
def test_the_frontend_that_is_asked_for(text: str, frontend: str | None) -> None:
    found = read(text, {}).frontend
    assert (found.name if found else None) == frontend


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("FROM x\n", "FROM x\n"),
        ("", ""),
        ("# syntax=a\nFROM x\n", "# escape=\\\nFROM x\n"),
        ("# said\n# syntax=a\n\nFROM x\n", "# escape=\\\n#\n\nFROM x\n"),
        ("# escape=`\r\n#syntax=a\r\nFROM x\r\n", "# escape=`\n#\nFROM x\r\n"),
        ("#!x\n// syntax=a\nFROM x", "# escape=\\\n#\nFROM x"),
        ("\ufeff# syntax=a\nFROM x", "# escape=\\\nFROM x"),
        ('{"syntax": "a"}', '#\n{"syntax": "a"}'),
        ("\n# syntax=a\nFROM x", "#\n\n# syntax=a\nFROM x"),
        (" # syntax=a\nFROM x", "# escape=\\\nFROM x"),
    ],
)
def test_without_a_frontend(text: str, rest: str) -> None:
    assert without_frontend(text) == rest
    assert read(rest, {}).frontend is None or rest.startswith("#\n")


@pytest.mark.parametrize(
    ("name", "builtin"),
    [
        ("docker/dockerfile", True),
        ("docker/dockerfile:1.7-labs", True),
        ("docker.io/docker/dockerfile:1@sha256:0", True),
        ("docker/dockerfile-upstream:master", True),
        ("docker/dockerfile:1 --x=y", True),
        ("docker/dockerfiles", False),
        ("evil/docker/dockerfile:1", False),
        ("evil.example/docker/dockerfile", False),
    ],
)
def test_frontends_for_which_the_engine_s_own_does(name: str, builtin: bool) -> None:
    assert is_builtin(name) == builtin


@pytest.mark.parametrize(
    ("text", "remote"),
    [
        ("ADD http://h/x /x", ["http://h/x"]),
        ("add --chown=1:1 --checksum=sha256:0 https://h/x /x", ["https://h/x"]),
        ('ADD ["https://h/a b", "local", "/x/"]', ["https://h/a b"]),
        ('ADD ["\\u0068ttp://h/x", "/x"]', ["http://h/x"]),
        ("ADD a.txt git@h:r.git git://h/r /x/", ["git@h:r.git", "git://h/r"]),
        ("ADD h\\ttp://h/x /x", ["h\\ttp://h/x"]),
        ("ADD 'http'://h/x /x", ["'http'://h/x"]),
        ("ADD github.com/a/b /x", ["github.com/a/b"]),
        ("ADD $URL /x", ["$URL"]),
        ("ADD ${A}${B} /x", ["${A}${B}"]),
        ("ADD ht${A}/x /x", ["ht${A}/x"]),
        ("ADD \\\n  # a comment\n\n  http://h/x \\\n  /x", ["http://h/x"]),
        ("ONBUILD ADD http://h/x /x", ["http://h/x"]),
        ("# no\nRUN <<END\nADD http://h/x /x\nEND\nADD http://h/y /y", ["http://h/y"]),
        ("ADD <<-'A' /x\nhttp://h/x\n\tA\nADD http://h/y /y", ["http://h/y"]),
        ("ADD a.tar ./b/$VERSION.tar dist/$X /x", []),
        ("ADD http /x", []),
        ("COPY a@b.txt /x", []),
        ("RUN curl http://h/x", []),
        ("LABEL x=http://h", []),
    ],
)
def test_what_add_may_fetch(text: str, remote: list[str]) -> None:
    assert [item.name for item in read(f"FROM x\n{text}\n", {}).remotes] == remote


@pytest.mark.parametrize(
    ("text", "images"),
    [
        ("FROM a", ["a"]),
        ("from --platform=$BUILDPLATFORM a:1 as One\nFROM one\nFROM scratch", ["a:1"]),
        ("ARG V=1\nFROM a:$V\nFROM b:${V}-x", ["a:1", "b:1-x"]),
        ("ARG V\nFROM a:${V:-2}\nFROM ${V:+c}a", ["a:2", "a"]),
        ("ARG B=9\nFROM a:$B", ["a:given"]),
        ("FROM a:$NOWHERE", []),
        ("FROM a\nCOPY --from=b:2 --chown=1 /x /y\nCOPY --from=0 /x /y", ["a", "b:2"]),
        ("FROM a AS s\nFROM a\nCOPY --from=S /x /y", ["a", "a"]),
        ("FROM a\nRUN --mount=type=bind,from=b,target=/m --mount=type=cache,target=/c true", ["a", "b"]),
        ("FROM a\nRUN --mount='type=bind,from=b' true", ["a", "b"]),
        ("FROM a\nONBUILD COPY --from=b /x /y", ["a", "b"]),
        ("# escape=`\nFROM `\n  a\nRUN C:\\x\\\nFROM b", ["a", "b"]),
        ("FROM a\\\n\nRUN x", ["aRUN"]),
    ],
)
def test_images_that_it_names(text: str, images: list[str]) -> None:
    assert [item.name for item in read(text, {"B": "given", "UNSET": None}).images] == images


def test_where_it_stands() -> None:
    found = read("# syntax=x\n\nFROM a\nADD \\\n http://h/x /x\n", {})
    assert [item.line for item in (found.frontend, *found.images, *found.remotes) if item] == [1, 3, 4]
