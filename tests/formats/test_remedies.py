"""Every keyword of the host's and the agent's schema fails once, and each violation says what to write."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from reconciler.formats import schemas
from reconciler.formats.yamls import document
from reconciler.model.outcome import Violation

Pointer = tuple[str | int, ...]

BASES = {
    "host": {"apiVersion": "reconciler/v1", "kind": "Host", "metadata": {"name": "mini"}, "spec": {"stacks": []}},
    "agent": {"host": "mini", "source": {"url": "/srv/git/home.git"}, "state": "/s"},
}
WRONG: dict[str, Any] = {
    "type": {"x": [1]},
    "enum": "none of these",
    "const": "none of these",
    "pattern": "~!",
    "minLength": "",
    "minimum": -1,
    "maximum": 10**6,
    "minItems": [],
}


def failures(root: dict[str, Any], schema: dict[str, Any], at: Pointer) -> Iterator[tuple[Pointer, str, Any]]:
    """Place, keyword, and a value that it rejects."""
    schema = {**root["$defs"][schema["$ref"].rpartition("/")[2]], **schema} if "$ref" in schema else schema
    for keyword, value in WRONG.items():
        if keyword in schema:
            yield at, keyword, value if keyword != "type" or "object" not in schema["type"] else "text"
    if schema.get("uniqueItems"):
        yield at, "uniqueItems", ["a", "a"]
    if schema.get("additionalProperties") is False:
        yield at, "additionalProperties", {"speling": 1}
    if isinstance(schema.get("additionalProperties"), dict):
        yield (*at, "NAME"), "type", ["x"]
        yield at, "propertyNames", {"A B": "x"}
    if schema.get("required"):
        yield at, "required", {}
    for name, child in schema.get("properties", {}).items():
        yield from failures(root, child, (*at, name))
    if "items" in schema:
        yield from failures(root, schema["items"], (*at, 0))


def planted(name: str, at: Pointer, value: Any) -> Any:
    """The smallest document with `value` at a place."""
    whole: Any = copy.deepcopy(BASES[name])
    if not at:
        return value
    here = whole
    for part, following in pairwise(at):
        empty: Any = [] if following == 0 else {}
        if part == 0:
            here.append(empty)
            here = here[0]
        else:
            here = here.setdefault(part, empty)
    if at[-1] == 0:
        here.append(value)
    else:
        here[at[-1]] = value
    return whole


CASES = [
    pytest.param(name, at, value, id=f"{name}:{'.'.join(map(str, at))}:{keyword}")
    for name in BASES
    for at, keyword, value in failures(schemas.load(name), schemas.load(name), ())
]


@pytest.mark.parametrize(("name", "at", "value"), CASES)
def test_each_mistake_is_answered_with_what_to_write(name: str, at: Pointer, value: Any) -> None:
    found = schemas.check(document(json.dumps(planted(name, at, value)).encode(), "a.yaml"), name)
    pointer = "".join(f"/{part}" for part in at)
    told = [item for item in found if (item.pointer or "").startswith(pointer)]
    assert told
    for item in told:
        assert item.hint.startswith("Write ") or "For example: " in item.hint or "nown keys here: " in item.hint, item
        assert "as it must be" not in item.message
        assert item.line


def only(name: str, *at: str | int, value: Any) -> Violation:
    found = schemas.check(document(json.dumps(planted(name, at, value)).encode(), "a.yaml"), name)
    return next(item for item in found if (item.pointer or "").startswith("".join(f"/{part}" for part in at)))


@pytest.mark.parametrize(
    ("value", "hint"),
    [("Upper", 'Write "upper".'), ("My Shop", 'Write "my-shop".'), ("shop.example", 'Write "shop-example".')],
)
def test_a_name_says_which_characters_and_proposes_one(value: str, hint: str) -> None:
    found = only("host", "spec", "stacks", 0, "name", value=value)
    assert "must be small letters, digits, _ and -" in found.message
    assert found.hint == hint
    assert only("agent", "host", value=value).hint == hint


def test_what_only_its_writer_knows_is_not_guessed() -> None:
    profile = only("host", "spec", "stacks", 0, "profiles", 0, value="*")
    assert "* does not stand for all" in profile.hint
    assert only("host", "spec", "stacks", 0, "profiles", 0, value="My Web").hint == profile.hint
    assert only("host", "spec", "defaults", "memory", value="much").hint.endswith('For example: "512MiB"')
    assert only("host", "spec", "defaults", "gate", "min_healthy_time", value="10 s").hint == 'Write "10s".'
    assert only("host", "spec", "stacks", 0, "files", value=["a", "a"]).message.endswith('names "a" twice')
    assert only("host", "spec", "stacks", value=None).message == "spec.stacks must be a list (nothing is written)"


def test_a_key_that_is_no_name_is_told_with_its_place() -> None:
    text = b"apiVersion: reconciler/v1\nkind: Host\nmetadata: {name: m}\nspec:\n  stacks:\n"
    text += b"    - name: a\n      files: [a.yaml]\n      env:\n        OK: 1\n        A B: 2\n"
    [found] = schemas.check(document(text, "a.yaml"), "host", lambda pointer: "env" in pointer)
    assert (found.line, found.message) == (
        10,
        'a key in spec.stacks[0].env must be letters, digits and _, the first no digit ("A B")',
    )
