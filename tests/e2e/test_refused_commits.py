"""A wrong commit is rejected with place and remedy, before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.host import COMPOSE_FILE, Answer, Host, new_host
from tests.e2e.services import stated

pytestmark = pytest.mark.engine

SERVICES = {"web": stated("1"), "db": stated("1", volumes=["data:/data"])}
DATA: dict[str, Any] = {"volumes": {"data": {}}}
HOST_FILE = "desired-state"


@dataclass(frozen=True)
class Mistake:
    """`compose` or `host` instead of the good file's text; `links` are entries of the root folder: name → mode.

    `place`: end of the violation's path, and its line, None if it has none.
    """

    reason: str
    place: tuple[str, int | None]
    says: str
    compose: str | None = None
    host: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def compose(**services: Any) -> str:
    """The good stack with these services changed or added; each key on a line of its own."""
    return json.dumps({"services": {**SERVICES, **services}, **DATA}, indent=1)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def bomb() -> str:
    steps = "".join(f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    return f"x-bomb:\n  a0: &a0 [lol, lol]\n{steps}services: {{web: {{image: reconciler-test/actor}}}}\n"


DEEP = "[" * 50_000 + "]" * 50_000
TWICE = "services:\n  web: {image: a}\n  web: {image: b}\n"
TYPO = "services:\n  web:\n    image: reconciler-test/actor\n    comand: [sleep, '1']\n"
CYCLE = compose(web={**stated("1"), "depends_on": ["db"]}, db={**stated("1"), "depends_on": ["web"]})
UNSET = compose(web=stated("1", hostname="${NOWHERE_SET}"))
MISSING = compose(web=stated("1", env_file=["./missing.env"]))
LINKED = compose(web=stated("1", volumes=["../../link:/in:ro"]))
MODULE = compose(web=stated("1", volumes=["../../module:/in:ro"]))
CASED = compose(web=stated("1", volumes=["../../docs:/in:ro"]))
PRIVILEGED = compose(web=stated("1", privileged=True))
NO_NETWORK = compose(web=stated("1", networks=["nowhere"]))

MISTAKES = {
    "YAML that is none": Mistake("ParseFailed", ("compose.yaml", 3), "", "services:\n  web:\n image: [\n"),
    "a Host document that is no YAML": Mistake("ParseFailed", ("HOST", 2), "", host="spec:\n\t- x\n"),
    "an unknown key of Compose": Mistake("SchemaInvalid", ("compose.yaml", 4), "command", TYPO),
    "keys twice": Mistake("ParseFailed", ("compose.yaml", 3), "web", TWICE),
    "a bomb": Mistake("ParseFailed", ("compose.yaml", None), "", bomb()),
    "50,000 levels": Mistake("ParseFailed", ("compose.yaml", 1), "level", DEEP),
    "50,000 levels in the Host document": Mistake("ParseFailed", ("HOST", 1), "level", host=DEEP),
    "two documents": Mistake("ParseFailed", ("HOST", None), "document", host="a: 1\n---\nb: 2\n"),
    "a link": Mistake("PolicyViolation", ("", None), "link", LINKED, links={"link": "120000"}),
    "a submodule": Mistake("PolicyViolation", ("", None), "module", MODULE, links={"module": "160000"}),
    "names that differ by case only": Mistake(
        "PolicyViolation", ("", None), "README", CASED, files={"docs/README": "a", "docs/readme": "b"}
    ),
    "a missing file": Mistake("FileMissing", ("compose.yaml", line_of(MISSING, "missing.env")), "missing.env", MISSING),
    "a circle of dependencies": Mistake(
        "SchemaInvalid", ("compose.yaml", None), "cycle", CYCLE
    ),
    "an unset variable": Mistake("PolicyViolation", ("compose.yaml", line_of(UNSET, "NOWHERE")), "NOWHERE_SET", UNSET),
    "what only Compose rejects": Mistake(
        "SchemaInvalid", ("compose.yaml", line_of(NO_NETWORK, '"web"')), "nowhere", NO_NETWORK
    ),
    "what policies deny": Mistake(
        "PolicyViolation", ("compose.yaml", line_of(PRIVILEGED, "privileged")), "privileged", PRIVILEGED
    ),
    "a missing Compose file": Mistake(
        "FileMissing", ("HOST", None), "none.yaml",
        host='{"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "NAME"},'
        ' "spec": {"stacks": [{"name": "NAME-s", "files": ["none.yaml"]}]}}',
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def running(compose: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host with a stack that no test of this file may touch."""
    with new_host(tmp_path_factory.mktemp("running"), compose) as host:
        host.push(SERVICES, **DATA)
        assert host.once().code == 0
        yield host


def push(host: Host, mistake: Mistake) -> str:
    files = {**host.files(SERVICES, **DATA), **mistake.files}
    if mistake.compose is not None:
        files[COMPOSE_FILE] = mistake.compose
    if mistake.host is not None:
        files[f"{HOST_FILE}/{host.name}.yaml"] = mistake.host.replace("NAME", host.name)
    repository = host.repository
    tree = repository.tree(files)
    if mistake.links:
        listed = [line.split(None, 3) for line in repository.git("ls-tree", tree).splitlines()]
        lines = [(mode, kind, oid, name.encode()) for mode, kind, oid, name in listed]
        target, commit = repository.blob("compose/stack/compose.yaml"), repository.head()
        lines += [
            (mode, "blob" if mode == "120000" else "commit", target if mode == "120000" else commit, name.encode())
            for name, mode in mistake.links.items()
        ]
        tree = repository.raw_tree(sorted(lines, key=lambda item: item[3]))
    return repository.set(repository.commit_tree(tree, "a mistake", repository.head()))


def check(found: list[dict[str, Any]], mistake: Mistake, host: Host) -> None:
    denied = [item for item in found if item["level"] == "deny"]
    assert denied
    path, line = mistake.place
    wanted = path.replace("HOST", f"{host.name}.yaml")
    for item in denied:
        assert item["message"]
        assert item["hint"], "what is to be done"
    assert any(
        item["reason"] == mistake.reason
        and (item["path"] or "").endswith(wanted)
        and mistake.says in f"{item['message']} {item['hint']}"
        and (line is None or (item["line"] == line and item["column"] >= 1))
        for item in denied
    ), denied


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_must_be_rejected_with_its_place_and_nothing_touched(running: Host, name: str) -> None:
    mistake = MISTAKES[name]
    before = running.machine()
    sha = push(running, mistake)
    validated = running.validate(sha)
    assert (validated.code, validated["valid"]) == (1, False)
    check(validated["violations"], mistake, running)
    turn = running.once()
    first = next(item for item in turn["violations"] if item["level"] == "deny")
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", first["reason"])
    check(turn["violations"], mistake, running)
    note = running.note(sha)
    assert note is not None
    assert note.first == f"{running.name} failure {turn['reason']}"
    assert running.machine() == before
    assert running.once()["effects"] == 0


def test_all_mistakes_must_be_reported_at_once(running: Host) -> None:
    host = json.loads(running.host_document())
    host["spec"]["memory"]["budgte"] = "1GiB"
    host["spec"]["defaults"]["memory"] = "many"
    host["spec"]["stacks"][0]["depends_on"] = ["no-such-stack"]
    del host["apiVersion"]
    text = json.dumps(host, indent=1)
    sha = push(running, Mistake("SchemaInvalid", ("", None), "", host=text))
    found = running.validate(sha)["violations"]
    lines = {item["line"]: item for item in found}
    assert "budget" in lines[line_of(text, "budgte")]["hint"]
    assert lines[line_of(text, '"many"')]["pointer"] == "/spec/defaults/memory"
    assert any("apiVersion" in item["message"] for item in found)
    assert any("no-such-stack" in item["message"] for item in found) or len(found) >= 3


def test_mistakes_of_both_kinds_of_policy_must_be_reported_at_once(running: Host) -> None:
    text = compose(web=stated("1", privileged=True, pid="host"), db=stated("1", volumes=["/etc:/etc", "data:/data"]))
    found = running.validate(push(running, Mistake("PolicyViolation", ("", None), "", text)))["violations"]
    denied = {(item["rule"], item["service"]): item for item in found if item["level"] == "deny"}
    assert set(denied) == {("privileged", "web"), ("host-namespace", "web"), ("absolute-bind", "db")}
    assert denied["privileged", "web"]["line"] == line_of(text, '"privileged"')
    assert denied["absolute-bind", "db"]["line"] == line_of(text, '"/etc:/etc"')


def test_a_corrected_commit_must_be_applied_after_all_of_these(running: Host) -> None:
    before = running.ids()
    sha = running.push({**SERVICES, "web": stated("2")}, **DATA)
    turn = running.once()
    assert (turn.code, turn["revision"]) == (0, sha)
    assert [name[-5:] for name, id in running.ids().items() if before[name] != id] == ["web-1"]


def refused_at(host: Host, turn: Answer, reason: str) -> dict[str, Any]:
    assert (turn.code, turn["outcome"], turn["reason"]) == (1, "Rejected", reason)
    return next(item for item in turn["violations"] if item["level"] == "deny")


def test_a_commit_over_the_budget_must_be_rejected(running: Host) -> None:
    before = running.machine()
    steady = running.push({**SERVICES, "big": stated("1", mem_limit="15g")}, **DATA)
    validated = running.validate(steady)
    assert (validated.code, validated["budget"]["overBytes"]) != (0, 0)
    assert {row["service"]: row["limitBytes"] for row in validated["budget"]["rows"]}["big"] == 15 << 30
    assert "memory" in refused_at(running, running.once(), "BudgetExceeded")["hint"]
    running.push(
        {**SERVICES, "web": stated("2", mem_limit="200m")},
        **DATA,
        memory={"budget": "200MiB", "steady": "100%", "reserve": "0"},
    )
    refused_at(running, running.once(), "BudgetExceeded")
    assert running.machine() == before
