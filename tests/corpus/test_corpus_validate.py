"""`validate --file` on stacks of other people: Compose's result without policies, named rules with them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.decide.redact import Redactor
from reconciler.effects import Effects
from reconciler.formats.rules import rules
from reconciler.observe.folder import FolderFiles
from reconciler.record.text import Style, render
from reconciler.settings import load_settings
from reconciler.verbs.validate import validate_compose
from reconciler.wiring.reading import Reading
from tests.corpus.oracle import compose_says, denied, validated, validation
from tests.corpus.public import FOLDERS, REFUSED, copied, needs_corpus, newest_compose

pytestmark = needs_corpus


def test_there_are_39_stacks() -> None:
    assert len(FOLDERS) == 39
    assert set(REFUSED) < set(FOLDERS)


@pytest.mark.parametrize("name", FOLDERS)
def test_without_policies_it_must_agree_with_compose(name: str, tmp_path: Path, compose_binary: Path) -> None:
    file = copied(name, tmp_path)
    document = validation(compose_binary, file)
    assert compose_says(compose_binary, file).valid
    assert denied(document) == []
    assert document["valid"]
    assert {row["service"] for row in document["budget"]["rows"]}


@pytest.mark.parametrize("name", FOLDERS)
def test_each_refusal_must_name_its_rule_and_its_place(name: str, tmp_path: Path) -> None:
    file = copied(name, tmp_path)
    code, document = validated(newest_compose(), file)
    expected = REFUSED.get(name, set())
    assert {item["rule"] for item in denied(document)} == expected
    assert (code, document["valid"]) == ((1, False) if expected else (0, True))
    lines = file.read_text().splitlines()
    for item in document["violations"]:
        assert item["rule"] in rules()
        assert item["path"] == file.name
        assert item["hint"]
        assert lines[item["line"] - 1][item["column"] - 1 :].strip(), item


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_must_be_admitted_by_the_printed_block_and_from_the_owner(name: str, tmp_path: Path) -> None:
    """So are all of the stacks: the others need nothing."""
    (tmp_path / "stack").mkdir()
    file = copied(name, tmp_path / "stack")
    assert granted(file, tmp_path, {"trust": "owner"})[0] == 0
    code, text = granted(file, tmp_path, {})
    assert code == 1
    blocks = [block.partition("\n")[2] for block in text.split("\n\n") if block.startswith("# In the agent's config")]
    entries = [yaml.safe_load(block.replace('reason: ""', "reason: tested")) for block in blocks]
    assert granted(file, tmp_path, {key: value for entry in entries for key, value in entry.items()})[0] == 0


def granted(file: Path, base: Path, more: dict[str, Any]) -> tuple[int, str]:
    """The exit code of `validate --grants` with these settings, and its text."""
    config = base / "agent.yaml"
    usual = {"host": "local", "source": {"url": str(base)}, "state": str(base / "state")}
    config.write_text(json.dumps({**usual, "compose": str(newest_compose()), **more}))
    config.chmod(0o600)
    parts = Reading(load_settings(str(config), os.environ), Redactor(), os.environ, Effects())
    preparer = parts.preparer(base / "render", "local", True)
    code, document = validate_compose([str(file)], True, lambda *_: preparer, FolderFiles, grants=True)
    return code, render(document, Style(), 0)
