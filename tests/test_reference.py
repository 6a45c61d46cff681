"""The pages that follow from the code are the current ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler import reference
from reconciler.commands import VERBS

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
            assert f"| `{option.name}" in page


def test_every_kind_of_record_is_explained() -> None:
    sources = [path.read_text("utf-8") for path in (ROOT / "reconciler/loop").glob("*.py")]
    written = {kind for text in sources for kind in re.findall(r"(?:append|owe)\(\s*\"([a-z]+)\"", text)}
    explained = re.findall(r"^\| ([a-z, ]+) \|", reference.journal_page(), re.MULTILINE)
    assert {"healed", "recovered", "requested", "silent"} <= written
    assert written <= {kind for row in explained for kind in row.split(", ")}


LINK = re.compile(r"\[[^\]]+\]\((?!https?:|#)([^)#]+)")


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", *sorted(reference.pages())])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    dead = [target for target in LINK.findall(text) if not (ROOT / page).parent.joinpath(target).exists()]
    assert dead == []
