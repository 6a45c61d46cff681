"""We accept what Compose accepts, and reject what it rejects; if we are stricter, a named rule says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.corpus.oracle import compose_says, denied, product_says, validation
from tests.corpus.public import newest_compose
from tests.corpus.written import Case, cases

CASES = cases()


def test_names_are_unique_and_there_are_many() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) > 300


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_compose_file_must_be_judged_as_compose_judges_it(case: Case, tmp_path: Path, compose_binary: Path) -> None:
    file = case.write(tmp_path / "stack")
    theirs, ours = compose_says(compose_binary, file), product_says(compose_binary, file)
    if case.rules and theirs.valid and not ours.valid:  # a rule that holds without policies, too
        assert {item["rule"] for item in denied(validation(compose_binary, file))} == case.rules
    else:
        assert ours.valid == theirs.valid, f"Compose: {theirs.said}\nreconciler: {ours.said}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_refusal_of_ours_must_name_its_rule_and_its_file(case: Case, tmp_path: Path) -> None:
    file = case.write(tmp_path / "stack")
    document = validation(newest_compose(), file, policies=True)
    refused = denied(document)
    assert document["valid"] == (not refused)
    if case.rules or document["valid"]:
        assert {item["rule"] for item in refused} == case.rules
    assert all(item["path"] and item["hint"] for item in refused)
    assert all(item["line"] and item["column"] for item in refused if item["rule"] != "compose-rejects")
