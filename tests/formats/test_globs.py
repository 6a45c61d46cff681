"""Patterns mean the same as for git and the builder."""

from __future__ import annotations

import time

import pytest

from reconciler.formats.globs import DockerIgnore, GitFilters, fits


@pytest.mark.parametrize(
    ("pattern", "path", "whole", "above"),
    [
        ("x.bin", "x.bin", True, True),
        ("*.bin", "x.bin", True, True),
        ("*.bin", "a/x.bin", False, False),
        ("**/*.bin", "x.bin", True, True),
        ("**/*.bin", "a/b/x.bin", True, True),
        ("docs", "docs/x/y", False, True),
        ("docs", "docs2/x", False, False),
        ("docs/**", "docs/x/y", True, True),
        ("**/docs/**/*.md", "a/docs/b/c/x.md", True, True),
        ("*", "a/b", False, True),
        ("a/*", "a/b/c", False, True),
        ("**", "x/y", True, True),
        ("[ab].c", "b.c", True, True),
        ("[!ab].c", "b.c", False, False),
        ("a[", "a[", True, True),
        (r"\*.c", "x.c", False, False),
        (r"\*.c", "*.c", True, True),
        ("?.c", "xy.c", False, False),
    ],
)
def test_patterns(pattern: str, path: str, whole: bool, above: bool) -> None:
    assert (fits(pattern, path), fits(pattern, path, above=True)) == (whole, above)


@pytest.mark.parametrize("pattern", ["**/" * 500 + "b", "*a" * 100 + "b", "**/*a" * 100, "[a" * 500])
def test_no_pattern_takes_long(pattern: str) -> None:
    begun = time.process_time()
    fits(pattern, "/".join(["a" * 250] * 12), above=True)
    assert time.process_time() - begun < 2


def test_the_last_line_of_dockerignore_that_fits_decides() -> None:
    ignore = DockerIgnore("# a comment\n*\n!src\nsrc/*.bin\n!./src/kept.bin\n /docs/ \n\n")
    names = ["a", "src/x", "src/y.bin", "src/kept.bin", "docs/z", "deep/src/x"]
    assert [ignore.excludes(name) for name in names] == [True, False, True, False, True, True]
    assert not DockerIgnore("").excludes("a")


def test_filters_of_git() -> None:
    outer = "# no\n*.bin filter=lfs diff=lfs -text\n/top.dat filter=lfs\nconf/secret/** filter=git-crypt\n*.txt text\n"
    filters = GitFilters([("", outer), ("a", "*.bin -filter\nd.x filter=crypt diff=crypt\n")])
    expected = {
        "x.bin": "lfs", "d/x.bin": "lfs", "a/x.bin": "", "top.dat": "lfs", "b/top.dat": "", "a/d.x": "crypt",
        "conf/secret/k/y": "git-crypt", "conf/x": "", "d.x": "", "b.txt": "",
    }  # fmt: skip
    assert {name: filters.of(name) for name in expected} == expected
