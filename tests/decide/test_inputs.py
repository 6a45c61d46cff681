"""The amount that Compose must read is judged before it is parsed, and before a byte is written."""

from __future__ import annotations

import json
import time

from reconciler.decide.read.inputs import MOST_BYTES, MOST_FILES, Inputs
from reconciler.decide.read.scan import Scan, scan
from reconciler.model.documents import StackDocument
from tests.commits import CommitFiles

MEBIBYTE = 1 << 20
BUSY_SECONDS = 10.0
LARGE = b"#" * (MEBIBYTE - 1) + b"\n"


def look(compose: object, files: dict[str, bytes], inputs: Inputs | None = None) -> Scan:
    contents = {"compose.yaml": json.dumps(compose).encode(), **files}
    return scan(CommitFiles(contents), StackDocument("shop", ("compose.yaml",)), {}, inputs)


def rules(found: Scan) -> list[str]:
    return [item.rule for item in found.violations]


def test_what_compose_reads_is_known() -> None:
    web = {"image": "x", "env_file": ["a.env", {"path": "none.env", "required": False}], "label_file": "labels"}
    files = {"a.env": b"A=1\n", "labels": b"", "page.html": b"", ".env": b"", "more.yaml": b"services: {}"}
    found = look({"include": ["more.yaml"], "services": {"web": web}}, files)
    assert sorted(found.named) == [".env", "a.env", "compose.yaml", "labels", "more.yaml"]


def test_many_large_env_files_are_refused_before_they_are_read() -> None:
    names = [f"{number}.env" for number in range(200)]
    began = time.process_time()
    found = look({"services": {"web": {"image": "x", "env_file": names}}}, dict.fromkeys(names, LARGE))
    assert time.process_time() - began < BUSY_SECONDS
    assert rules(found) == ["too-large"]
    (told,) = found.violations
    assert (told.path, told.line, told.service) == ("compose.yaml", 1, "web")
    assert "0.env (1 MiB)" in told.message
    assert len(found.named) <= MOST_BYTES // MEBIBYTE + 1


def test_many_small_ones_too() -> None:
    names = [f"{number}.env" for number in range(MOST_FILES + 1)]
    found = look({"services": {"web": {"image": "x", "env_file": names}}}, dict.fromkeys(names, b"A=1\n"))
    assert rules(found) == ["too-large"]


def test_one_file_that_is_read_again_and_again_counts_each_time() -> None:
    units = {f"{number}/compose.yaml": b"services: {}" for number in range(20)}
    entries = [{"path": path, "env_file": "large.env"} for path in units]
    assert rules(look({"include": entries}, {**units, "large.env": LARGE})) == ["too-large"]


def test_stacks_of_one_host_share_what_there_is() -> None:
    inputs, files = Inputs(), {"large.env": LARGE}
    compose = {"services": {"web": {"image": "x", "env_file": "large.env"}}}
    found = [rules(look(compose, files, inputs)) for _ in range(9)]
    assert found[:7] == [[]] * 7
    assert found[8] == ["too-large"]


def test_thousands_of_missing_files_are_told_in_time() -> None:
    names = [f"missing/{number}/app.env" for number in range(20_000)]
    there = {f"there/{number}/app.env": b"" for number in range(20_000)}
    began = time.process_time()
    found = look({"services": {"web": {"image": "x", "env_file": names}}}, there)
    assert time.process_time() - began < BUSY_SECONDS
    assert set(rules(found)) == {"file-missing"}
    assert len(found.violations) <= 200
