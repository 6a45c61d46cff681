"""Everything that the pages for contributors name exists, and decision pages have one form."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DECISIONS = sorted((ROOT / "docs" / "adr").glob("0*.md"))
PLACE = re.compile(r"`([\w./-]+)`(?:: `(\w+)`)?")


def rows() -> list[list[tuple[str, str]]]:
    """Of each row of the table "Where is …?": each path, and the name in it ('' for the whole file).

    A file without a folder is beside the one before it.
    """
    table = (ROOT / "ARCHITECTURE.md").read_text("utf-8").split("## Where is …?")[1].split("\n## ")[0]
    found = []
    for cell in [line.split("|")[2] for line in table.splitlines() if line.startswith("| ")][1:]:
        row: list[tuple[str, str]] = []
        for place in PLACE.finditer(cell):
            beside = row[-1][0].rpartition("/")[0] + "/" if row and "/" not in place[1] else ""
            row.append((beside + place[1], place[2] or ""))
        found.append(row)
    return found


def test_every_row_names_a_place() -> None:
    assert len(rows()) > 20
    assert all(rows())


@pytest.mark.parametrize(("path", "name"), [place for row in rows() for place in row])
def test_place_exists(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    if name:
        assert re.search(rf"^ *(class |def )?{name}\b", (ROOT / path).read_text("utf-8"), re.MULTILINE)


def test_paths_in_the_guide_exist() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    named = re.findall(r"`((?:reconciler|tests|docs|scripts|schemas)/[\w./-]*)`", guide)
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", DECISIONS, ids=lambda page: page.stem)
def test_decision_has_the_form(page: Path) -> None:
    text = page.read_text("utf-8")
    number = int(page.stem.split("-")[0])
    assert re.match(rf"# {number}\. .+\n\nStatus: (accepted|replaced by \d+)\.\n\n## Question\n", text)
    assert "\n## Decision\n" in text
    title = text.splitlines()[0].removeprefix(f"# {number}. ")
    assert f"| {number} | [{title}]({page.name}) |" in (page.parent / "README.md").read_text("utf-8")
