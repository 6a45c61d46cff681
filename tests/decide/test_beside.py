"""Compose files beside those of a stack are named in a warning, with what plain Compose does with them."""

from __future__ import annotations

import pytest

from reconciler.decide.read.beside import left_out
from reconciler.decide.read.parse import host_document
from reconciler.formats.compose_names import other_files
from tests.commits import CommitFiles

COMPOSE = "services:\n  web: {image: nginx}\n"
HEAD = "apiVersion: reconciler/v1\nkind: Host\nmetadata: {name: mini}\nspec:\n  stacks:\n"


def told(*names: str, stacks: str = "", base: str = "", env: str = "") -> list[tuple[str, str, str]]:
    """Path and line of each warning, its text, and its remedy."""
    contents = dict.fromkeys(names, COMPOSE) | ({"desired-state/mini.yaml": HEAD + stacks} if stacks else {})
    files = CommitFiles(contents | ({".env": env} if env else {}))
    document, violations = host_document(files, "mini", base)
    assert document is not None, violations
    read = {path for stack in document.stacks for path in stack.files}
    found = list(left_out(files, document, read, base))
    assert {item.level.value for item in found} <= {"warn"}
    return [(f"{item.path}:{item.line}", item.message, item.hint) for item in found]


def test_a_plain_repository_with_an_override_and_an_older_file() -> None:
    older, override = told("compose.yaml", "compose.override.yaml", "docker-compose.yml")
    assert override == (
        "compose.yaml:1",
        "compose.override.yaml is left out; plain Compose would merge it",
        "To merge it, write `files: [compose.yaml, compose.override.yaml]` at the stack of the Host document "
        "(desired-state/<host>.yaml), or without one COMPOSE_FILE=compose.yaml:compose.override.yaml into .env; "
        "else rename it.",
    )
    assert older[1:] == (
        "docker-compose.yml is left out; plain Compose ignores it, too",
        "Remove docker-compose.yml, or name it in `files:` of a stack.",
    )


def test_the_files_of_a_host_document() -> None:
    one = "    - {name: a, files: [home/a/docker-compose.yml, desired-state/mini/a.limits.yaml]}\n"
    limits = "desired-state/mini/a.limits.yaml"
    [found] = told("home/a/docker-compose.yml", "home/a/docker-compose.override.yml", limits, stacks=one)
    assert found == (
        "desired-state/mini.yaml:6",
        "home/a/docker-compose.override.yml is left out, since `files` does not name it; plain Compose would merge it",
        "To merge it, write `files: [home/a/docker-compose.yml, home/a/docker-compose.override.yml, "
        "desired-state/mini/a.limits.yaml]` at the stack of the Host document; else rename it.",
    )
    [other] = told("home/a/docker-compose.yml", "home/a/compose.yaml", limits, stacks=one)
    assert other[1].endswith("plain Compose would read it in place of docker-compose.yml")


def test_of_two_overrides_plain_compose_merges_the_first() -> None:
    found = told("compose.yaml", "compose.override.yaml", "compose.override.yml")
    assert [text.partition("; ")[2] for _, text, _ in found] == [
        "plain Compose would merge it",
        "plain Compose ignores it, too",
    ]


@pytest.mark.parametrize(
    "stacks",
    [
        "    - {name: a, files: [compose.yaml, compose.override.yaml]}\n",
        "    - {name: a, files: [compose.yaml]}\n    - {name: b, files: [compose.override.yaml]}\n",
        "    - {name: a, files: [compose.prod.yaml]}\n",
    ],
)
def test_what_is_named_or_never_expected_is_no_warning(stacks: str) -> None:
    assert told("compose.yaml", "compose.override.yaml", "compose.prod.yaml", stacks=stacks) == []


def test_compose_file_of_the_env_file_is_obeyed() -> None:
    names = ("compose.yaml", "compose.override.yaml")
    assert told(*names, env="COMPOSE_FILE=compose.yaml:compose.override.yaml\n") == []
    env = "COMPOSE_PATH_SEPARATOR=,\nCOMPOSE_FILE=compose.yaml,more/x.yml\n"
    files = CommitFiles({"compose.yaml": COMPOSE, "more/x.yml": "name: Shop\n", ".env": env})
    document, _ = host_document(files, "mini")
    assert document is not None
    assert document.stacks[0].files == ("compose.yaml", "more/x.yml")


@pytest.mark.parametrize("named", ["../x.yml", "/etc/x.yml", "gone.yml"])
def test_compose_file_names_what_the_commit_does_not_have(named: str) -> None:
    document, (found,) = host_document(CommitFiles({"compose.yaml": COMPOSE, ".env": f"COMPOSE_FILE={named}"}), "mini")
    assert document is None
    assert named in found.message
    assert found.hint


def test_names_that_only_a_person_gives() -> None:
    names = ["compose.prod.yml", "docker-compose.postgres.yml", "prod.docker-compose.yaml", "compose.yaml", "x.yml"]
    assert other_files([*names, "compose.override.yml"]) == sorted(names[:3])


def test_a_named_file_that_cannot_be_read_is_not_left_out() -> None:
    named = HEAD + "  - {name: shop, files: [app/compose.yaml]}\n"
    files = CommitFiles({"app/compose.yaml": COMPOSE, "desired-state/mini.yaml": named})
    document, _ = host_document(files, "mini", "")
    assert document is not None
    assert list(left_out(files, document, ())) == []
