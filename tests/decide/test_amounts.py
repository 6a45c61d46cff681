"""The size of a commit on the disk is judged before a byte is written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from reconciler.decide.admit.policies.amounts import MOST_BYTES, MOST_FILES
from reconciler.formats.nodes import shorten
from reconciler.model.files import Entry
from reconciler.model.outcome import Level, Violation
from tests.decide.judging import ROOT, Commit, candidate, judge_stacks

MEBIBYTE = 1 << 20
BUSY_SECONDS = 20.0


@dataclass(frozen=True)
class Sizes(Commit):
    """A commit of which only the sizes are known."""

    sizes: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def entries(self) -> Mapping[str, Entry]:
        return {path: Entry(path, "100644", "0", size) for path, size in self.sizes.items()}


def mount(*paths: str) -> dict[str, Any]:
    return {
        "image": "x:1",
        "volumes": [{"type": "bind", "source": f"{ROOT}/{path}", "target": f"/t{n}"} for n, path in enumerate(paths)],
    }


def built(context: str, **more: Any) -> dict[str, Any]:
    return {"build": {"context": f"{ROOT}/{context}", "dockerfile": "Dockerfile", **more}}


def refused(sizes: Mapping[str, int], *models: dict[str, Any]) -> list[Violation]:
    candidates = [candidate(model, f"shop{n}" if n else "shop") for n, model in enumerate(models)]
    return [item for item in judge_stacks(candidates, Sizes(sizes=sizes)) if item.rule == "too-large"]


def services(**named: dict[str, Any]) -> dict[str, Any]:
    return {"services": named}


BOMB = {f"bomb/{number:04}/file": MEBIBYTE for number in range(2_000)}
LARGE = {"big.bin": MOST_BYTES + 1}
HALF = MOST_BYTES // 2 + 1

USES = {
    "a folder": (services(web=mount("bomb")), BOMB, ("services", "web", "volumes", 0)),
    "a file": (services(web=mount("big.bin")), LARGE, ("services", "web", "volumes", 0)),
    "the whole repository": (services(web=mount(".")), BOMB, ("services", "web", "volumes", 0)),
    "a config": ({"configs": {"c": {"file": f"{ROOT}/big.bin"}}}, LARGE, ("configs", "c", "file")),
    "a secret": ({"secrets": {"c": {"file": f"{ROOT}/big.bin"}}}, LARGE, ("secrets", "c", "file")),
    "a build context": (services(web=built("bomb")), BOMB, ("services", "web", "build", "context")),
    "a further context": (
        services(web=built("app", additional_contexts={"more": f"{ROOT}/bomb"})),
        {**BOMB, "app/Dockerfile": 1},
        ("services", "web", "build", "additional_contexts", "more"),
    ),
    "a Dockerfile": (
        services(web=built("app", dockerfile="../big.bin")),
        {**LARGE, "app/x": 1},
        ("services", "web", "build", "dockerfile"),
    ),
    "a folder that is called like a list of what to ignore": (
        services(web=built("app", dockerfile="../other/File")),
        {"app/x": 1, "other/File": 1, "other/File.dockerignore/big.bin": MOST_BYTES},
        ("services", "web", "build", "dockerfile"),
    ),
    "nested folders": (
        services(web=mount(*("/".join("a" * depth) for depth in range(1, 40)))),
        {"/".join("a" * 40): 30 * MEBIBYTE},
        None,
    ),
    "many folders": (
        services(web=mount("deep")),
        {f"deep/{n}/" + "d/" * 90 + "file": 0 for n in range(MOST_FILES // 90)},
        None,
    ),
    "many files": (services(web=mount("many")), {f"many/{n}": 0 for n in range(MOST_FILES + 1)}, None),
}


@pytest.mark.parametrize("use", USES)
def test_what_is_too_much_is_refused_at_its_place(use: str) -> None:
    model, sizes, pointer = USES[use]
    began = time.process_time()
    (found,) = refused(sizes, {"services": {}, **model})
    assert time.process_time() - began < BUSY_SECONDS
    assert found.level is Level.DENY
    assert pointer is None or found.pointer == "/" + "/".join(map(str, pointer))
    assert any(shorten(path) in found.message for path in sizes)


def test_services_and_stacks_together_are_one_sum() -> None:
    sizes = {"a/x": HALF, "b/x": HALF}
    assert refused(sizes, services(one=mount("a"))) == []
    assert refused(sizes, services(one=mount("a"), two=mount("b"))) != []
    assert refused(sizes, services(one=mount("a")), services(two=mount("b"))) != []
    assert refused(sizes, services(one=mount("a"), two=built("b"))) != []


def test_what_is_there_once_counts_once() -> None:
    sizes = {"a/x": HALF, "a/Dockerfile": 1}
    assert refused(sizes, services(one=mount("a"), two=mount("a")), services(one=mount("a"))) == []
    assert refused(sizes, services(one=built("a"), two=built("."), three=built("a"))) == []


def test_a_folder_with_places_of_its_own_for_each_service_is_there_for_each() -> None:
    """The engine makes no mountpoint in a read-only folder, so each of them is another tree."""
    sizes = {"a/x": HALF}
    same = {"one": {**mount("a"), "tmpfs": ["/t0/p:size=1m"]}, "two": {**mount("a"), "tmpfs": ["/t0/p"]}}
    other = {**same, "two": {**mount("a"), "tmpfs": ["/t0/q"]}}
    beside = {**same, "one": {**mount("a"), "tmpfs": ["/t01"]}, "two": mount("a")}
    assert [bool(refused(sizes, services(**each))) for each in (same, other, beside)] == [False, True, False]


@pytest.mark.parametrize("key", ["tmpfs", "volumes"])
def test_a_target_that_no_file_system_holds_is_refused(key: str) -> None:
    deep = "/t0/" + "d/" * 1_000
    more = {"tmpfs": [deep]} if key == "tmpfs" else {}
    model = {**mount("a"), **more}
    if key == "volumes":
        model["volumes"] += [{"type": "volume", "source": "v", "target": deep}]
    assert [item.service for item in refused({"a/x": 1}, services(web=model))] == ["web"]


def test_what_nobody_uses_does_not_count() -> None:
    assert refused({**BOMB, **LARGE, "conf/a": 1}, services(web=mount("conf", "data/of/host"))) == []


def test_a_thousand_services_with_thousands_of_files_are_judged_in_time() -> None:
    sizes = {f"d{folder}/{number}": 1 for folder in range(1_000) for number in range(400)}
    many = {f"s{n}": mount(*(f"d{n}/{m}" for m in range(10)), f"data/{n}") for n in range(1_000)}
    began = time.process_time()
    assert refused(sizes, services(**many)) == []
    assert time.process_time() - began < BUSY_SECONDS
