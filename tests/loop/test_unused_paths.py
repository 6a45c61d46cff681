"""Faults of paths that no stack mounts, builds or reads reject nothing; others are reported once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.loop.prepare import Preparer
from reconciler.model.files import LONGEST_TOLD, ODD_PATH, told_path
from reconciler.model.outcome import Level, Reason, Violation
from tests.commits import CommitFiles
from tests.fakes.life import ROOT, RULES, CanonicalRenderer, document, service

ODD = "docs/a\n"
BINDS = {"type": "bind", "target": "/x", "read_only": True}


def judged(web: dict[str, Any], *odd: str, paths: tuple[str, ...] = (), **more: Any) -> list[tuple[str, str, str]]:
    """(rule, path, level) of what is wrong with paths of a commit."""
    model = {"services": {"web": service("web:1", **web)}, **more}
    contents = {"desired-state/mini.yaml": document(), "shop.yaml": json.dumps(model)}
    contents |= {"docs/x": "x", "app/Dockerfile": ""}
    faults = tuple(
        Violation(Reason.POLICY_VIOLATION, ODD_PATH, "odd", "rename", path=told_path(path.encode())) for path in odd
    )
    files = CommitFiles(contents | dict.fromkeys(paths, "x"), revision="c0ffee", refused=faults)
    found = Preparer(CanonicalRenderer(), RULES).prepare(files).violations
    return [(item.rule, item.path or "", item.level) for item in found if item.rule in (ODD_PATH, "case-collision")]


def bind(path: str) -> dict[str, Any]:
    return {"volumes": [BINDS | {"source": f"{ROOT}/{path}".removesuffix("/.")}]}


USES: dict[str, dict[str, Any]] = {
    "the folder": bind("docs"),
    "the file": bind(ODD),
    "what would lie below it": bind(f"{ODD}/x"),
    "all": bind("."),
    "a context": {"build": {"context": f"{ROOT}/docs", "dockerfile": "x"}},
    "a further context": {"build": {"context": f"{ROOT}/app", "additional_contexts": {"more": f"{ROOT}/docs"}}},
    "a Dockerfile": {"build": {"context": f"{ROOT}/app", "dockerfile": f"../{ODD}"}},
}


@pytest.mark.parametrize("use", USES)
def test_an_odd_path_that_is_used_is_refused_once(use: str) -> None:
    assert judged(USES[use], ODD) == [(ODD_PATH, "docs/a\\n", Level.DENY)]


def test_so_is_one_of_a_config() -> None:
    configs = {"c": {"name": "shop_c", "file": f"{ROOT}/docs/x"}, "d": {"name": "shop_d", "file": f"{ROOT}/docs/a\n"}}
    assert judged({"configs": [{"source": "c"}]}, ODD, configs=configs) == [(ODD_PATH, "docs/a\\n", Level.DENY)]


@pytest.mark.parametrize("web", [{}, bind("app"), bind("doc"), {"build": {"context": f"{ROOT}/app"}}], ids=str)
def test_one_that_nothing_uses_is_a_warning(web: dict[str, Any]) -> None:
    assert judged(web, ODD) == [(ODD_PATH, "docs/a\\n", Level.WARN)]


@pytest.mark.parametrize("depth", [LONGEST_TOLD // 2 - 3, LONGEST_TOLD, 2 * LONGEST_TOLD])
def test_a_path_that_is_told_in_part_counts_by_that_part(depth: int) -> None:
    deep = "docs/" + "d/" * depth
    assert [level for _, _, level in judged(bind("docs"), f"{deep}\n")] == [Level.DENY]
    assert [level for _, _, level in judged(bind(f"{deep}d"), f"{deep}d/\n")] == [Level.DENY]
    assert [level for _, _, level in judged(bind("app"), f"{deep}\n")] == [Level.WARN]


def test_names_that_differ_in_case_count_where_they_are_laid_out() -> None:
    paths = ("docs/A", "docs/a")
    assert judged({}, paths=paths) == judged(bind("app"), paths=paths) == []
    assert judged(bind("docs"), paths=paths) == [("case-collision", "docs/a", Level.DENY)]
