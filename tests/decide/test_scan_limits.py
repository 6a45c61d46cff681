"""Compose files that are made to cost time or memory are rejected, or read, with little of both."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from reconciler.decide.read.scan import Scan, scan
from reconciler.model.documents import StackDocument
from tests.commits import CommitFiles

MEBIBYTE = 1 << 20
HEAD = b"services:\n  a:\n    image: x\n"
LETTERS = b"abcdefghij"


def nested(levels: int, form: bytes) -> bytes:
    """Each line names the one before it nine times."""
    first = b"%c0: &%c0 {k: v}\n" % (LETTERS[0], LETTERS[0])
    lines = (b"x%d: &x%d " % (n, n) + form % b",".join([b"*x%d" % (n - 1)] * 9) for n in range(1, levels))
    return first.replace(b"a0", b"x0") + b"\n".join(lines)


def each_on_all_before(count: int, line: bytes) -> bytes:
    services = (
        b"  s%d: {image: x, %s}\n" % (n, line % b",".join(b"s%d" % other for other in range(n))) for n in range(count)
    )
    return b"services:\n" + b"".join(services)


REFUSED = {
    "alias bomb": (nested(20, b"[%s]"), "too-many-nodes"),
    "merge bomb": (nested(60, b"{<<: [%s]}"), "too-many-nodes"),
    "text bomb": (b'x: &x "' + b"x" * 500_000 + b'"\ny: [' + b",".join([b"*x"] * 40_000) + b"]", "too-large"),
    "deep flow": (b"a: " + b"[" * 50_000, "too-deep"),
    "deep maps": (b"a: " + b"{a: " * 50_000, "too-deep"),
    "deep blocks": (b"".join(b" " * n + b"a:\n" for n in range(1_400)), "too-deep"),
    "deep lists": (b"- " * 50_000, "too-deep"),
    "deep aliases": (
        b"x0: &x0 [v]\n" + b"".join(b"x%d: &x%d [*x%d]\n" % (n, n, n - 1) for n in range(1, 70)),
        "too-deep",
    ),
    "many values": (b"a: [" + b"a," * 400_000 + b"]", "too-many-nodes"),
    "large file": (b"#" * (MEBIBYTE + 1), "too-large"),
    "many documents": (b"--- {a: b}\n" * 30_000, "too-many-files"),
    "nested variables": (HEAD + b'    command: "' + b"${GONE-" * 100_000 + b"}" * 100_000 + b'"', "invalid-variable"),
    "odd braces": (HEAD + b'    command: "' + b"${GONE-{}}" * 90_000 + b'"', "invalid-variable"),
    "variable bomb": (HEAD + b'    command: "' + b"$BIG" * 200_000 + b'"', "invalid-variable"),
    "variable bombs": (HEAD + b"    command: [" + b",".join([b'"$BIG"'] * 45_000) + b"]", "too-large"),
    "duplicates": (b"a: 1\n" * 49_000, "duplicate-key"),
    "chain of extends": (
        b"services:\n" + b"".join(b"  s%d: {extends: s%d, image: x}\n" % (n, n + 1) for n in range(9_000)),
        "too-many-nodes",
    ),
    "copies by extends": (
        b"services:\n  b: {environment: {"
        + b",".join(b"k%d: v" % n for n in range(20_000))
        + b"}}\n"
        + b"".join(b"  s%d: {extends: b}\n" % n for n in range(9_000)),
        "too-many-nodes",
    ),
    "many services": (b"services:\n" + b"".join(b"  s%d: {image: x}\n" % n for n in range(20_000)), "too-complex"),
    "two ranges of ports": (HEAD + b'    ports: ["1-65535", "1-65535:1-65535"]', "too-complex"),
    "a range that others extend": (
        b"services:\n  b: {ports: [1-2000]}\n" + b"".join(b"  s%d: {extends: b}\n" % n for n in range(5)),
        "too-complex",
    ),
    "dependencies": (each_on_all_before(150, b"depends_on: [%s]"), "too-complex"),
    "links": (each_on_all_before(30, b"links: [%s]"), "too-complex"),
    "binary": (bytes(range(256)) * 4_000, "invalid-yaml"),
    "tags": (b"!" * 900_000, "not-compose"),
    "one key": (b'"' + b"k" * 900_000 + b'": v\n', "invalid-yaml"),
}

BUSY_SECOND = 2.0
"""Seconds of processor time for work that takes at most 0.7 s on an idle core: two threads on one core share it."""

READ = {
    "long number": HEAD + b"    mem_limit: " + b"9" * 20_000,
    "long text": HEAD + b'    command: "' + b"x" * (MEBIBYTE - 100) + b'"',
    "many keys": b"".join(b"k%d: v\n" % n for n in range(49_000)),
    "many services": b"services:\n" + b"".join(b"  s%d: {extends: b, image: x}\n" % n for n in range(900)),
    "many variables": HEAD + b'    command: "' + b"$A" * 500_000 + b'"',
}


@pytest.fixture(autouse=True)
def garbage_of_other_tests() -> Iterator[None]:
    """It is not searched: this would take longer than what is measured here."""
    gc.freeze()
    yield
    gc.unfreeze()


def look(data: bytes) -> Scan:
    files = CommitFiles({"compose.yaml": data})
    return scan(files, StackDocument("s", ("compose.yaml",)), {"BIG": "y" * 50_000, "A": "a"})


@pytest.mark.parametrize(("data", "rule"), REFUSED.values(), ids=REFUSED)
def test_a_bomb_is_refused_at_once(data: bytes, rule: str) -> None:
    began = time.process_time()
    found = look(data)

    assert time.process_time() - began < BUSY_SECOND
    assert rule in {item.rule for item in found.violations}
    assert len(found.violations) <= 200


@pytest.mark.parametrize("data", READ.values(), ids=READ)
def test_a_large_but_honest_file_is_read(data: bytes) -> None:
    began = time.process_time()
    found = look(data)
    found.locate("services", "a", "command")

    assert time.process_time() - began < 3
    assert found.violations == ()


@pytest.mark.parametrize("name", ["alias bomb", "merge bomb", "text bomb", "deep flow", "many values"])
def test_a_bomb_needs_little_memory(name: str) -> None:
    tracemalloc.start()
    look(REFUSED[name][0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 80 * MEBIBYTE


@pytest.mark.parametrize("key", ["env_file", "label_file"])
def test_files_of_variables_are_bounded_too(key: str) -> None:
    bomb = "A0=xxxxxxxxxx\n" + "".join(f"A{n}=$A{n - 1}$A{n - 1}\n" for n in range(1, 40))
    text = f"services: {{a: {{image: x, {key}: [bomb.env]}}}}\n"

    found = scan(CommitFiles({"compose.yaml": text, "bomb.env": bomb}), StackDocument("s", ("compose.yaml",)), {})

    assert {(item.rule, item.path) for item in found.violations} == {("too-large", "bomb.env")}


def test_files_that_include_each_other_are_counted() -> None:
    fan = {f"f{n}.yaml": f"include: [f{n + 1}.yaml, f{n + 1}.yaml]\n" for n in range(40)} | {"f40.yaml": "x-a: 1\n"}
    began = time.process_time()
    found = scan(CommitFiles(fan), StackDocument("s", ("f0.yaml",)), {})

    assert time.process_time() - began < BUSY_SECOND
    assert [item.rule for item in found.violations] == ["too-many-files"]


def test_values_of_all_files_together_are_counted() -> None:
    large = b"".join(b"k%d: v\n" % n for n in range(40_000))
    files: dict[str, str | bytes] = {f"f{n}.yaml": large for n in range(9)}
    files["compose.yaml"] = "include: [" + ",".join(files) + "]\n"

    found = scan(CommitFiles(files), StackDocument("s", ("compose.yaml",)), {})

    assert [(item.rule, item.path, item.line) for item in found.violations] == [("too-many-files", "compose.yaml", 1)]
    assert len(found.files) < 6


@pytest.mark.parametrize(
    "ports",
    [
        b'["1-10000"]', b'["1-10000:20001-30000"]', b'["127.0.0.1:1-10000:1-10000/udp"]', b'["1-9999", "20000"]',
        b'[{target: 80, published: "1-10000"}]', b'["${P:-1-10000}"]',
    ],
)  # fmt: skip
@pytest.mark.parametrize("more", [False, True])
def test_ten_thousand_ports_are_read_and_not_one_more(ports: bytes, more: bool) -> None:
    one_more = b'  b:\n    image: x\n    expose: ["7"]\n' if more else b""
    found = look(HEAD + b"    ports: " + ports + b"\n" + one_more)

    told = [(item.rule, item.service) for item in found.violations]
    assert told == ([("too-complex", "b")] if more else [])


@pytest.mark.parametrize(("count", "refused"), [(63, False), (64, True)])
def test_sixty_four_levels_are_read(count: int, refused: bool) -> None:
    found = look(b"x-a: " + b"[" * count + b"]" * count)

    assert bool(found.violations) == refused


def test_a_hundred_thousand_values_are_read() -> None:
    assert look(b"x-a: [" + b"a," * 99_996 + b"]").violations == ()
    assert [item.rule for item in look(b"x-a: [" + b"a," * 99_998 + b"]").violations] == ["too-many-nodes"]
