"""The pages that are made from the code are up to date."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler import reference
from reconciler.commands import VERBS
from reconciler.wiring.assembly import Application

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", sorted(reference.pages()))
def test_page_is_current(path: str) -> None:
    written = (ROOT / path).read_text("utf-8")
    assert written == reference.pages()[path], "run `python -m reconciler.reference`"


def test_every_verb_and_option_is_explained() -> None:
    page = reference.commands_page()
    for verb in VERBS:
        assert f"## {verb.name}\n" in page
        for option in verb.options:
            assert re.search(rf"^\| `(-., )?{re.escape(option.name)}", page, re.MULTILINE)


def test_every_verb_is_answered() -> None:
    assert [verb.name for verb in VERBS if not callable(getattr(Application, verb.method, None))] == []


def test_every_kind_of_record_is_explained() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "reconciler/loop").glob("*.py")]
    written = {kind for text in sources for kind in re.findall(r"(?:append|owe)\(\s*\"([a-z]+)\"", text)}
    explained = re.findall(r"^\| ([a-z, ]+) \|", reference.journal_page(), re.MULTILINE)
    assert {"healed", "recovered", "requested", "silent"} <= written
    assert written <= {kind for row in explained for kind in row.split(", ")}


def test_every_fault_is_told_where_the_page_says() -> None:
    page = (ROOT / "docs/testing.md").read_text("utf-8")
    rows = page.partition("| fault | in memory | real |")[2].partition("\n\n")[0]
    matrix = (ROOT / "tests/faults/test_matrix.py").read_text("utf-8")
    file = ""
    told = re.findall(r"`([a-z_0-9/]*\.py)?::(\w+)`", rows)
    assert len(told) > 40
    for name, part in told:
        file = name or file
        tests = re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text("utf-8"), re.MULTILINE)
        assert any(part in test for test in tests), f"{file}::{part}"
    for row in re.findall(r"`F(\d+)`", rows):
        assert re.search(rf"^ *{row}  [A-Z-]", matrix, re.MULTILINE), row


LINK = re.compile(r"\[[^\]]+\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", *sorted(reference.pages())])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    dead = [target for target in LINK.findall(text) if not (ROOT / page).parent.joinpath(target).exists()]
    assert dead == []
