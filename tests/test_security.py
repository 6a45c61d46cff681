"""The threat model names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_test_that_the_threat_model_names_is_there() -> None:
    named = set(re.findall(r"tests/[\w/]+\.py", (ROOT / "SECURITY.md").read_text()))
    assert len(named) > 15
    assert not [path for path in sorted(named) if not (ROOT / path).is_file()]


def test_every_decision_that_it_names_is_there() -> None:
    told = re.findall(r"ADR ((?:\d+(?:, )?)+)", (ROOT / "SECURITY.md").read_text())
    numbers = {int(number) for text in told for number in re.findall(r"\d+", text)}
    written = {int(path.name[:4]) for path in (ROOT / "docs/adr").glob("0*.md")}
    assert numbers <= written
