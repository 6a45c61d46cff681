"""Checks documents against the packaged JSON Schemas (Draft 2020-12). The schema's own words make the messages."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from reconciler.formats.fits import fits
from reconciler.formats.nodes import shorten
from reconciler.formats.packaged import packaged
from reconciler.formats.yamls import Document, Pointer, json_pointer
from reconciler.model.outcome import Reason, Violation

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "nothing",
}


def text(name: str) -> str:
    """A packaged schema (`host`, `agent`, `output`) as it is published."""
    return packaged(f"{name}.schema.json").decode()


@cache
def load(name: str) -> dict[str, Any]:
    """A packaged schema, parsed."""
    loaded: dict[str, Any] = json.loads(text(name))
    return loaded


def never(_: Pointer) -> bool:
    return False


def check(document: Document, name: str, secret: Callable[[Pointer], bool] = never) -> tuple[Violation, ...]:
    """Every violation of the schema `name`, in the order of the file.

    Values at pointers for which `secret` is true are never repeated in a message.
    """
    if fits(document.value, load(name)):
        return ()
    found = [violation for error in _errors(document.value, name) for violation in _violations(error, document, secret)]
    return tuple(sorted(found, key=lambda item: (item.line or 0, item.column or 0)))


def _errors(value: Any, name: str) -> Iterable[ValidationError]:
    # Imported here: its import takes longer than most verbs.
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    # An empty registry, so that no reference is ever fetched. Patterns: '$' must not accept a last line break.
    strict: Any = extend(Draft202012Validator, {"pattern": _pattern})  # type: ignore[no-untyped-call]
    errors: Iterable[ValidationError] = strict(load(name), registry=Registry()).iter_errors(value)
    return errors


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not _matches(pattern, instance):
        yield ValidationError("does not match")


def _matches(pattern: str, value: str) -> bool:
    return re.search(re.sub(r"\$\Z", r"\\Z", pattern), value) is not None


def _violations(error: ValidationError, document: Document, secret: Callable[[Pointer], bool]) -> Iterator[Violation]:
    pointer: Pointer = tuple(error.absolute_path)
    where = _dotted(pointer)
    schema = error.schema if isinstance(error.schema, dict) else {}
    keyword = str(error.validator)
    if keyword == "additionalProperties":
        yield from _unknown_keys(error, document, pointer, schema)
        return
    if keyword == "required":
        missing = _missing(error)
        hint = _example(schema.get("properties", {}).get(missing, {}))
        yield _violation(document, pointer, "missing-key", f"'{missing}' is missing in {where}", hint)
        return
    is_key = "propertyNames" in error.absolute_schema_path
    silent = not is_key and (secret(pointer) or isinstance(error.instance, (dict, list)))
    shown = "" if silent else " (nothing is written)" if error.instance is None else f" ({_show(error.instance)})"
    near = "" if silent else _near(error.instance, schema)
    if is_key:
        pointer, where = (*pointer, str(error.instance)), f"a key in {where}"
    yield _violation(document, pointer, *_told(keyword, error, where, shown), near or _example(schema), key=is_key)


def _told(keyword: str, error: ValidationError, where: str, shown: str) -> tuple[str, str]:
    value: Any = error.validator_value
    if keyword == "type":
        kinds = [value] if isinstance(value, str) else list(value)
        return "wrong-type", f"{where} must be {' or '.join(_TYPES[kind] for kind in kinds)}{shown}"
    if keyword in ("enum", "const"):
        allowed = [value] if keyword == "const" else value
        return "wrong-value", f"{where} must be {' or '.join(_show(item) for item in allowed)}{shown}"
    if keyword == "uniqueItems":
        items: Any = error.instance
        twice = next(item for number, item in enumerate(items) if item in items[:number])
        return "repeated-item", f"{where} names {_show(twice)} twice"
    if keyword in ("minimum", "maximum"):
        most = "least" if keyword == "minimum" else "most"
        return "out-of-range", f"{where} must be at {most} {value}{shown}"
    if keyword in ("minItems", "minLength", "minProperties"):
        return "empty-value", f"{where} must not be empty"
    schema: Any = error.schema
    return "wrong-value", f"{where} must be {schema['$comment']}{shown}"


def _near(value: object, schema: Mapping[str, Any]) -> str:
    """The correct name or number if only case, spaces or odd characters are wrong; '' if it is not clear."""
    pattern = str(schema.get("pattern") or "")
    if not isinstance(value, str) or not pattern:
        return ""
    near = value.replace(" ", "").lower() if value[:1].isdigit() else ""
    if "[a-z0-9_-]" in pattern and "A-Z" not in pattern:
        near = re.sub(r"[^a-z0-9_-]+", "-", value[:100].lower()).strip("-_")[:63]
    return f"Write {_show(near)}." if near and _matches(pattern, near) else ""


def _unknown_keys(
    error: ValidationError, document: Document, pointer: Pointer, schema: dict[str, Any]
) -> Iterator[Violation]:
    known = list(schema.get("properties", {}))
    instance: Any = error.instance
    for key in instance:
        if key not in known:
            hint = suggestion(key, known) or f"Known keys here: {', '.join(known)}."
            message = f"unknown key '{shorten(key)}' in {_dotted(pointer)}"
            yield _violation(document, (*pointer, key), "unknown-key", message, hint, key=True)


def suggestion(word: str, known: Iterable[str]) -> str:
    """`Did you mean '…'?`, or '' if nothing is similar."""
    import difflib

    near = difflib.get_close_matches(word[:100], list(known), n=1, cutoff=0.6)
    return f"Did you mean '{near[0]}'?" if near else ""


def _violation(
    document: Document, pointer: Pointer, rule: str, message: str, hint: str, key: bool = False
) -> Violation:
    line, column = document.place(pointer, key)
    return Violation(
        Reason.SCHEMA_INVALID,
        rule,
        message,
        hint,
        path=document.path,
        line=line,
        column=column,
        pointer=json_pointer(pointer),
    )


def _missing(error: ValidationError) -> str:
    required: Any = error.validator_value
    return next(str(key) for key in required if error.message.startswith(repr(key)))


def _example(schema: dict[str, Any]) -> str:
    description = str(schema.get("description", "")).split("\n", 1)[0]
    examples = schema.get("examples") or []
    example = f"For example: {_show(examples[0])}" if examples else ""
    return " ".join(part for part in (description, example) if part)


def _show(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), 80)


def _dotted(pointer: Pointer) -> str:
    """`spec.stacks[0].name`: a place for people."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{shorten(part, 40)}" for part in pointer)
    return parts.removeprefix(".") or "the document"
