"""Patterns of paths in .dockerignore, .gitattributes and COPY. No pattern takes more than linear time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache

MOST_FILTERS = 100
"""Lines with a filter in git's attributes that are read."""


def fits(pattern: str, path: str, *, above: bool = False) -> bool:
    """Whether a pattern matches a whole '/'-separated path; with `above`, also one of the folders above it.

    `*` and `?` stay within a name, `**` as a separate name matches any number of folders.
    """
    parts = pattern.split("/")
    reached = _after_stars({0}, parts)
    for name in path.split("/"):
        following = set()
        for at in reached:
            if at < len(parts) and parts[at] == "**":
                following.add(at)
            elif at < len(parts) and _name(parts[at]).match(name):
                following.add(at + 1)
        reached = _after_stars(following, parts)
        if above and len(parts) in reached:
            return True
    return len(parts) in reached


def _after_stars(reached: set[int], parts: list[str]) -> set[int]:
    """`**` can match nothing."""
    found = set(reached)
    for at in sorted(reached):
        while at < len(parts) and parts[at] == "**":
            at += 1
            found.add(at)
    return found


@lru_cache(256)
def _name(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(re.sub(r"\\(.)", r"[\1]", pattern)))


class DockerIgnore:
    """A .dockerignore. The last line that matches a path, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        self._lines: list[tuple[bool, str]] = []
        for line in text.removeprefix("\ufeff").splitlines():
            plain = line.strip()
            if plain and not line.startswith("#"):
                again = plain.startswith("!")
                path = "/".join(part for part in plain.removeprefix("!").strip().split("/") if part not in ("", "."))
                self._lines.append((again, path))

    def excludes(self, path: str) -> bool:
        excluded = False
        for again, text in self._lines:
            if excluded == again and fits(text, path, above=True):
                excluded = not again
        return excluded


class GitFilters:
    """The filter that git's attributes set for a file. `files`: (folder, text) of each .gitattributes, outer ones
    first."""

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._lines: list[tuple[str, str, str]] = []
        for folder, text in files:
            for line in text.removeprefix("\ufeff").splitlines():
                name, *attributes = line.split()[:50] or [""]
                found = [item for item in attributes if item.lstrip("-!").partition("=")[0] == "filter"]
                wanted = name and found and not name.startswith("#")
                if wanted and len(self._lines) < MOST_FILTERS:
                    self._lines.append((folder, name, found[-1].partition("=")[2]))

    def of(self, path: str) -> str:
        """The filter's name, '' for none."""
        chosen = ""
        for folder, name, filtered in self._lines:
            inner = path.removeprefix(f"{folder}/") if folder else path
            if folder and inner == path:
                continue
            asked = inner if "/" in name else inner.rpartition("/")[2]
            if fits(name.lstrip("/"), asked):
                chosen = filtered
        return chosen
