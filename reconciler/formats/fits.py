"""A quick check whether a document fits a schema, so that a start with a good config need not load a whole
validator."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_TYPES: Mapping[str, tuple[type[Any], ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS = {"$schema", "$id", "$comment", "title", "description", "default", "examples"}
_CHECKED = {
    "type",
    "properties",
    "additionalProperties",
    "required",
    "items",
    "pattern",
    "minLength",
    "minimum",
    "maximum",
    "enum",
}


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """True: the value fits. False: it does not, or the schema uses a keyword that is unknown here."""
    if not schema.keys() <= _ANNOTATIONS | _CHECKED or not _type(value, schema.get("type", [])):
        return False
    if isinstance(value, dict):
        return _object(value, schema)
    if isinstance(value, list):
        return all(fits(item, schema.get("items", {"type": []})) for item in value)
    if value not in schema.get("enum", [value]):
        return False
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and _pattern(value, schema.get("pattern"))
    if isinstance(value, int):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return value is None


def _type(value: Any, named: str | list[str]) -> bool:
    kinds = [named] if isinstance(named, str) else named
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES.get(kind, ())) for kind in kinds)


def _object(value: dict[str, Any], schema: Mapping[str, Any]) -> bool:
    known: Mapping[str, Any] = schema.get("properties", {})
    if schema.get("additionalProperties") is not False or not set(schema.get("required", ())) <= value.keys():
        return False
    return value.keys() <= known.keys() and all(fits(item, known[key]) for key, item in value.items())


def _pattern(value: str, pattern: str | None) -> bool:
    return pattern is None or re.search(re.sub(r"\$\Z", r"\\Z", pattern), value) is not None
