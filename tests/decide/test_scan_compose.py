"""The scan compared with Compose itself: it rejects what Compose rejects, knows the same variables, and accepts real
stacks."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from reconciler.decide.read.scan import Scan, scan
from reconciler.model.documents import StackDocument
from reconciler.model.outcome import Level, Reason
from tests.commits import CommitFiles

CORPUS = Path(os.environ.get("RECONCILER_CORPUS", Path(__file__).resolve().parents[3] / "shared/corpus"))
STACKS = sorted(path.parent for path in CORPUS.glob("awesome-compose/*/*compose.y*ml"))

CASES = {
    "duplicate key": "services:\n  a: {image: x}\n  a: {image: y}\n",
    "duplicate key by text": 'services: {a: {image: y, environment: {1: a, "1": b}}}\n',
    "duplicate merge key": "x-a: &a {init: true}\nservices: {a: {<<: *a, <<: *a, image: y}}\n",
    "merge of several": "x-a: &a {init: true}\nx-b: &b {tty: true}\nservices: {a: {<<: [*a, *b], image: y}}\n",
    "same anchor twice": "x-a: &a {init: true}\nx-b: &a {tty: true}\nservices: {a: {<<: *a, image: x}}\n",
    "duplicate in extension": "x-a: {b: 1, b: 2}\nservices: {a: {image: x}}\n",
    "circular": "x-a: &a {b: *a}\nservices: {a: {image: x}}\n",
    "unknown alias": "services: {a: {image: *x}}\n",
    "tab": "services:\n  a:\n\timage: x\n",
    "unknown tag": "services: {a: {image: !foo x}}\n",
    "empty": "",
    "a list": "[a]\n",
    "open brace": 'services: {a: {image: "x${"}}\n',
    "two lines": 'services: {a: {image: x, command: "${A:-b\\nc}"}}\n',
    "plain dollars": 'services: {a: {image: x, command: "$ $1 a$"}}\n',
    "broken extension": 'x-a: "${"\nservices: {a: {image: x}}\n',
    "required": 'services: {a: {image: "${GONE:?no}"}}\n',
    "required when idle": 'services: {a: {image: x}, b: {image: "${GONE?no}", profiles: [p]}}\n',
    "missing env_file": "services: {a: {image: x, env_file: gone.env}}\n",
    "missing env_file, optional": "services: {a: {image: x, env_file: [{path: gone.env, required: false}]}}\n",
    "missing env_file when idle": "services: {a: {image: x}, b: {image: x, env_file: gone.env, profiles: [p]}}\n",
    "missing include": "include: [gone.yaml]\nservices: {a: {image: x}}\n",
    "include of itself": "include: [compose.yaml]\nservices: {a: {image: x}}\n",
    "missing extends": "services: {a: {extends: {file: gone.yaml, service: a}, image: x}}\n",
    "extends in a circle": "services: {a: {extends: b}, b: {extends: a, image: x}}\n",
    "byte order mark": "\ufeffservices: {a: {image: x}}\n",
    "key that is a list": "services: {a: {image: x}}\n? [b]\n: 1\n",
}


def config(binary: Path, folder: Path, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [binary, "-p", "s", "-f", name, "config", "--quiet"],
        cwd=folder,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def look(folder: Path, name: str) -> Scan:
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return scan(CommitFiles(files), StackDocument("s", (name,)), {})


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_the_scan_refuses_what_compose_refuses_and_nothing_else(
    compose_binary: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "compose.yaml").write_text(text, "utf-8")

    found = look(tmp_path, "compose.yaml")

    refused = [item for item in found.violations if item.level is Level.DENY]
    assert (config(compose_binary, tmp_path, "compose.yaml").returncode != 0) == bool(refused), refused


def test_unset_variables_are_those_that_compose_warns_of(compose_binary: Path, tmp_path: Path) -> None:
    text = """
x-base: &base {labels: {l: "${IN_ANCHOR}"}}
services:
  a:
    <<: *base
    image: "a:${TAG}${A:-${NESTED}}"
    command: ["$$NOT", "${B-default}", "${C:+never}", "$PLAIN"]
    build: {context: "${CTX}", args: {"${KEY}": "${ARG}"}}
networks: {default: {name: "${NETWORK}"}}
"""
    (tmp_path / "compose.yaml").write_text(text)

    done = config(compose_binary, tmp_path, "compose.yaml")
    warned = set(re.findall(r'The \\"(\w+)\\" variable is not set', done.stderr))
    named = {item.message.split()[2] for item in look(tmp_path, "compose.yaml").violations}

    assert warned == named == {"IN_ANCHOR", "TAG", "NESTED", "PLAIN", "CTX", "ARG", "NETWORK"}


@pytest.mark.skipif(not STACKS, reason=f"no corpus of public stacks at {CORPUS}")
@pytest.mark.parametrize("folder", STACKS, ids=[path.name for path in STACKS])
def test_a_public_stack_passes(folder: Path) -> None:
    name = next(path.name for path in sorted(folder.glob("*compose.y*ml")))
    found = look(folder, name)

    assert [item for item in found.violations if item.reason is not Reason.FILE_MISSING] == []
    missing = {item.resolved: "" for item in found.references if item.kind in ("env_file", "label_file")}
    files: dict[str, str | bytes] = {path: text for path, text in missing.items() if path is not None}
    files |= {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert scan(CommitFiles(files), StackDocument("s", (name,)), {}).violations == ()
