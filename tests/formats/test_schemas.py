"""The packaged schemas: complete, published as they are, and the source of the manual and of every message."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.formats import schemas
from reconciler.formats.fits import fits
from reconciler.formats.yamls import document

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["host", "agent"]


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(path, schema, required) of every key in a schema."""
    for name, child in schema.get("properties", {}).items():
        yield f"{path}.{name}", child, name in schema.get("required", ())
        yield from properties(child, f"{path}.{name}")
    for inner in [*schema.get("$defs", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from properties(inner, f"{path}[]")


@pytest.mark.parametrize("name", NAMES)
def test_every_key_has_a_description_examples_and_a_default(name: str) -> None:
    found = list(properties(schemas.load(name)))

    assert len(found) > 20
    for path, schema, required in found:
        assert schema["description"].endswith("."), path
        assert schema["examples"], path
        assert required or "default" in schema, path


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_and_defaults_of_a_schema_fit_it(name: str) -> None:
    whole = schemas.load(name)
    jsonschema.Draft202012Validator.check_schema(whole)
    for path, schema, required in properties(whole):
        checked = jsonschema.Draft202012Validator({**schema, "$defs": whole.get("$defs", {})})
        for value in [*schema["examples"], *([] if required else [schema["default"]])]:
            assert not list(checked.iter_errors(value)), (path, value)
    for example in whole["examples"]:
        assert not list(jsonschema.Draft202012Validator(whole).iter_errors(example))


def test_messages_name_the_place_the_value_and_the_remedy() -> None:
    read = document(b"host: Mini\nsource: {url: /x, intervall: 1s, branch: 7}\nreport: {log_lines: 40}\n", "a.yaml")
    found = {item.pointer: item for item in schemas.check(read, "agent")}

    assert set(found) == {"/host", "/source/intervall", "/source/branch", "/report/log_lines", ""}
    assert found["/source/intervall"].hint == "Did you mean 'interval'?"
    assert (found["/source/intervall"].line, found["/source/intervall"].column) == (2, 19)
    assert found["/source/branch"].message == "source.branch must be text (7)"
    assert "at most 20 (40)" in found["/report/log_lines"].message
    assert found[""].message == "'state' is missing in the document"
    assert '"mini"' in found["/host"].hint


def test_secret_values_are_not_repeated() -> None:
    read = document(b"host: [hunter2]\nstate: {x: hunter2}\nsource: {url: 5}\n", "a.yaml")
    found = schemas.check(read, "agent", lambda pointer: pointer == ("source", "url"))

    assert found
    assert "hunter2" not in str(found)
    assert "5" not in next(item.message for item in found if item.pointer == "/source/url")


def test_a_line_break_after_a_name_is_no_part_of_it() -> None:
    read = document(b'host: "mini\\n"\nsource: {url: /x}\nstate: /s\n', "a.yaml")

    assert [item.pointer for item in schemas.check(read, "agent")] == ["/host"]


def test_a_reference_to_elsewhere_is_never_fetched() -> None:
    for name in NAMES:
        references = [part for part in schemas.text(name).split('"') if part.startswith(("http", "#"))]
        assert set(references) <= {
            "https://json-schema.org/draft/2020-12/schema",
            "#/$defs/size",
            "#/$defs/duration",
            "#/$defs/gate",
            "#/$defs/stack",
        } | {url for url in references if re.match(r"https://[a-z]+\.example\.org/", url)}


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-5, 99)
    | st.sampled_from(["mini", "Mini", "/srv/x", "", "30s", "30", "main", "-main", "x\n", "*", "10ms"])
)
sources = st.dictionaries(
    st.sampled_from(["url", "branch", "path", "stack", "interval", "require_fast_forward", "extra"]), scalars
)
grants = st.dictionaries(st.sampled_from(["policy", "stack", "service", "reason", "extra"]), scalars)
configs = st.fixed_dictionaries(
    {},
    optional={
        "host": scalars,
        "state": scalars,
        "source": scalars | sources | st.just({"url": "/srv/x"}),
        "grants": scalars | st.lists(grants, max_size=2),
        "notes": scalars | st.dictionaries(st.sampled_from(["push", "x"]), scalars),
        "report": st.dictionaries(st.just("log_lines"), scalars),
        "extra": scalars,
    },
)


@given(configs | configs.map(lambda config: {"host": "mini", "state": "/s", "source": {"url": "/x"}, **config}))
def test_the_quick_yes_says_what_the_validator_says(config: dict[str, Any]) -> None:
    checked = jsonschema.Draft202012Validator(schemas.load("agent"))
    line_breaks = "x\n" in str(config)

    quick = fits(config, schemas.load("agent"))

    assert quick <= checked.is_valid(config)
    assert quick or line_breaks or not checked.is_valid(config)


HOST: dict[str, Any] = {
    "apiVersion": "reconciler/v1",
    "kind": "Host",
    "metadata": {"name": "mini"},
    "spec": {
        "memory": {"budget": "14GiB", "steady": "80%", "reserve": "512MiB"},
        "defaults": {"memory": "1GiB", "order": "start-first", "gate": {"min_healthy_time": "10s"}},
        "alerts": {"memory-near-limit": {"threshold": "85%", "for": "10m"}},
        "stacks": [
            {"name": "shop", "files": ["a.yaml", "b.yaml"], "env": {"A": "x", "B": 1, "C": True, "D": 1.5}},
            {"name": "blog", "files": ["c.yaml"], "depends_on": ["shop"], "gate": {"healthy_deadline": "5m"}},
        ],
    },
}
SERVICE: dict[str, Any] = {
    "x-reconciler": {"drain": "5s", "trial": {"time": "10s", "volumes": "empty"}, "shared_volumes": True}
}


def spots(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each place below a value: what holds it, and its key."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from spots(item)


@given(
    st.sampled_from([("host", HOST), ("service", SERVICE)]),
    st.integers(0, 99),
    scalars
    | st.sampled_from([[], {}, ["a.yaml"], ["a", "a"], {"x": 1}, {"A": 2.5}, 1.0, "start-first", "5s", "64MiB"]),
    st.sampled_from(["put", "add", "drop"]),
)
def test_the_quick_yes_says_so_of_all_documents(
    which: tuple[str, dict[str, Any]], number: int, value: Any, how: str
) -> None:
    name, document = which[0], copy.deepcopy(which[1])
    places = list(spots(document))
    holder, key = places[number % len(places)]
    if how == "drop":
        del holder[key]
    elif how == "put" or isinstance(holder, list):
        holder[key] = value
    else:
        holder[f"more-{number}"] = value
    valid = jsonschema.Draft202012Validator(schemas.load(name)).is_valid(document)

    quick = fits(document, schemas.load(name))

    assert quick <= valid
    # What it leaves to the validator: whole numbers that are written with a point, and line breaks at the end.
    assert quick or not valid or value in (1.0, "x\n")


def test_a_document_that_fits_needs_no_validator() -> None:
    for name, value in (("host", HOST), ("service", SERVICE)):
        code = (
            "from reconciler.formats import schemas, yamls; import sys; "
            f"schemas.check(yamls.Document('', {value!r}, (), {{}}, {{}}, {{}}), {name!r}); "
            "print('jsonschema' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n", name


def test_the_quick_yes_does_not_guess() -> None:
    assert fits("x", {"type": "string"})
    assert not fits("x", {"$ref": "https://example.org/schema"})
    assert not fits("x", {"$ref": "#/$defs/a", "minLength": 2, "$defs": {"a": {"type": "string"}}})
    assert not fits([1, 1.0], {"type": "array", "uniqueItems": True, "items": {"type": "number"}})
    assert not fits("x", {"type": "string", "format": "date"})
    assert not fits({"a": 1}, {"type": "object", "properties": {"a": {"type": "integer"}}})
