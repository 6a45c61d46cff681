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
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_ANNOTATIONS = {"$schema", "$id", "$comment", "$defs", "title", "description", "default", "examples"}
_CHECKED = {
    "type",
    "const",
    "properties",
    "propertyNames",
    "additionalProperties",
    "required",
    "items",
    "minItems",
    "uniqueItems",
    "pattern",
    "minLength",
    "minimum",
    "maximum",
    "enum",
}

Schema = Mapping[str, Any]


def fits(value: Any, schema: Schema, root: Schema | None = None) -> bool:
    """True: the value fits. False: it does not, or the schema uses a keyword that is unknown here.

    `root`: the schema in which `$ref` is looked up, if it is not `schema`.
    """
    root = schema if root is None else root
    if "$ref" in schema:
        return schema.keys() - _ANNOTATIONS == {"$ref"} and fits(value, _referred(schema["$ref"], root), root)
    if not schema.keys() <= _ANNOTATIONS | _CHECKED:
        return False
    if "const" in schema:
        return isinstance(value, str) and value == schema["const"]
    if not _type(value, schema.get("type", [])):
        return False
    if isinstance(value, dict):
        return _object(value, schema, root)
    if isinstance(value, list):
        return _array(value, schema, root)
    if value not in schema.get("enum", [value]):
        return False
    if isinstance(value, str):
        return len(value) >= schema.get("minLength", 0) and _pattern(value, schema.get("pattern"))
    if isinstance(value, int | float):
        return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))
    return value is None


def _referred(place: str, root: Schema) -> Schema:
    """A definition of the same schema. A schema that nothing fits if it is elsewhere."""
    found: Schema = root.get("$defs", {}).get(place.removeprefix("#/$defs/"), {"type": []})
    return found


def _type(value: Any, named: str | list[str]) -> bool:
    kinds = [named] if isinstance(named, str) else named
    if isinstance(value, bool):
        return "boolean" in kinds
    return any(isinstance(value, _TYPES.get(kind, ())) for kind in kinds)


def _object(value: dict[str, Any], schema: Schema, root: Schema) -> bool:
    known: Schema = schema.get("properties", {})
    more = schema.get("additionalProperties")
    if not set(schema.get("required", ())) <= value.keys():
        return False
    if "propertyNames" in schema:
        names = {"type": "string", **schema["propertyNames"]}
        if not all(fits(name, names, root) for name in value):
            return False
    if more is False:
        more = {"type": []}
    return isinstance(more, dict) and all(fits(item, known.get(key, more), root) for key, item in value.items())


def _array(value: list[Any], schema: Schema, root: Schema) -> bool:
    if schema.get("uniqueItems") and not (all(isinstance(item, str) for item in value) and len({*value}) == len(value)):
        return False
    items = schema.get("items", {"type": []})
    return len(value) >= schema.get("minItems", 0) and all(fits(item, items, root) for item in value)


def _pattern(value: str, pattern: str | None) -> bool:
    return pattern is None or re.search(re.sub(r"\$\Z", r"\\Z", pattern), value) is not None
