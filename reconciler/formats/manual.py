"""The manuals of our documents, made from their schemas: see `PAGES`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.formats import schemas

Schema = Mapping[str, Any]

PAGES = {
    "host": "docs/desired-state.md",
    "agent": "docs/agent-config.md",
    "service": "docs/service-settings.md",
    "hosts": "docs/hosts.md",
}


def page(name: str) -> str:
    """The manual of one schema, as Markdown."""
    schema = schemas.load(name)
    parts = [
        f"# {schema['title']}",
        schema["description"],
        "```yaml\n" + "\n".join(_yaml(schema["examples"][0], 0)) + "\n```",
        "Unknown keys are errors. Durations: `500ms`, `10s`, `5m`, `2h`, `1m30s`. Sizes: `512MiB`, `14GiB`, `512m`, or "
        "a number of bytes; every unit counts in 1024s.",
        *_sections(schema, schema, ""),
        f"*Made from `reconciler/data/{name}.schema.json` by `python -m reconciler.reference`.*",
    ]
    return "\n\n".join(parts) + "\n"


def _sections(root: Schema, schema: Schema, path: str) -> Iterator[str]:
    """A table for this object, then one for each object below it."""
    children = {name: _followed(root, child) for name, child in schema["properties"].items()}
    required = schema.get("required", ())
    yield f"## `{path}`" if path else "## Keys"
    rows = [_row(name, child, name in required) for name, child in children.items()]
    yield "\n".join(["| key | meaning | default | example |", "|---|---|---|---|", *rows])
    for name, child in children.items():
        inner, suffix = child, ""
        if child.get("type") == "array":
            inner, suffix = _followed(root, child["items"]), "[]"
        if "properties" in inner:
            yield from _sections(root, inner, f"{path}.{name}{suffix}".lstrip("."))


def _followed(root: Schema, schema: Schema) -> dict[str, Any]:
    """The schema merged with the definition that `$ref` names; its own keys win."""
    if "$ref" not in schema:
        return dict(schema)
    target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return {**target, **schema}


def _row(name: str, schema: Schema, required: bool) -> str:
    default = "required" if required else _code(schema["default"])
    return f"| `{name}` | {_escaped(schema['description'])} | {default} | {_code(schema['examples'][0])} |"


def _code(value: Any) -> str:
    if value in ("", [], {}, None):
        return "–"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "`" + text.replace("|", "\\|") + "`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: Any, depth: int) -> Iterator[str]:
    """The few shapes of examples, as YAML in the style of the documentation."""
    for key, item in value.items():
        if isinstance(item, dict) and any(isinstance(inner, (dict, list)) for inner in item.values()):
            yield f"{'  ' * depth}{key}:"
            yield from _yaml(item, depth + 1)
        elif isinstance(item, list):
            yield f"{'  ' * depth}{key}:"
            yield from (f"{'  ' * (depth + 1)}- {_flow(inner)}" for inner in item)
        else:
            yield f"{'  ' * depth}{key}: {_flow(item)}"


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return value if isinstance(value, str) else json.dumps(value)
