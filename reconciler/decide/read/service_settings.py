"""Reads `x-reconciler` of the services of a stack.

Compose leaves keys that begin with x- out of its canonical model, so they are read from the files, and merged as
Compose merges maps: key by key, later files first, then what the service extends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide.read.keys import OVERRIDE, items, pairs
from reconciler.decide.read.scan import Scan
from reconciler.formats import endpoints, schemas
from reconciler.formats.compose_names import SETTINGS
from reconciler.formats.nodes import Mapping as MapNode
from reconciler.formats.nodes import Node, Scalar
from reconciler.formats.quantities import seconds
from reconciler.formats.yamls import Document, Pointer, json_pointer, plain_value
from reconciler.model.outcome import Level, Reason, Violation

LONGEST_DRAIN = 600.0
"""Seconds; the same as the engine's longest stop that a commit may ask for."""


def with_settings(model: Mapping[str, Any], found: Scan, stack: str) -> tuple[Mapping[str, Any], tuple[Violation, ...]]:
    """The canonical model with each service's settings below `x-reconciler`, and what is wrong with them."""
    violations: list[Violation] = []
    services: dict[str, Any] = {}
    for name, service in (model.get("services") or {}).items():
        nodes = list(found.nodes("services", name, SETTINGS))
        services[name] = service
        if nodes:
            settings = {SETTINGS: _merged(nodes)}
            wrong = list(_wrong(settings, found, stack, name))
            violations += wrong
            services[name] = service if wrong else {**service, **settings}
            if targets := [] if wrong else _hidden_volumes(service, settings[SETTINGS]):
                violations.append(_placed(_with_empty_volumes(targets), found, stack, name, (SETTINGS, "trial")))
    return {**model, "services": services}, tuple(violations)


def _merged(nodes: list[Node]) -> Any:
    """The first value wins; maps are merged."""
    maps: list[Node] = []
    for node in nodes:
        if not isinstance(node, MapNode):
            break
        maps.append(node)
        if node.tag == OVERRIDE:
            break
    if not maps:
        return _value(nodes[0])
    held: dict[str, list[Node]] = {}
    for node in maps:
        for key, (_, value) in pairs(node).items():
            held.setdefault(key, []).append(value)
    return {key: _merged(values) for key, values in held.items()}


def _value(node: Node) -> Any:
    if isinstance(node, Scalar):
        return plain_value(node.text) if node.plain else node.text
    if isinstance(node, MapNode):
        return _merged([node])
    return [_value(item) for item in items(node)]


def _wrong(settings: Mapping[str, Any], found: Scan, stack: str, service: str) -> Iterator[Violation]:
    whole = Document("", settings, (), {}, {}, {})
    schema = schemas.check(whole, "service")
    for item in (*schema, *(() if schema else _wrong_endpoint(settings[SETTINGS]))):
        yield _placed(item, found, stack, service, _parts(item.pointer or ""))
    for pointer in ((SETTINGS, "drain"), (SETTINGS, "trial", "time")):
        value: Any = settings
        for part in pointer:
            value = value.get(part) if isinstance(value, Mapping) else None
        if isinstance(value, str) and _too_long(value):
            message = f"{'.'.join(pointer)} is longer than 10m ({value})"
            item = Violation(
                Reason.SCHEMA_INVALID, "out-of-range", message, "Write a duration of at most 10m, like 5s."
            )
            yield _placed(item, found, stack, service, pointer)


def _wrong_endpoint(settings: Mapping[str, Any]) -> Iterator[Violation]:
    """A fault that the schema cannot find: an impossible port number, brackets around something that is no address."""
    try:
        endpoints.parse(settings.get("endpoint") or "http://localhost")
    except ValueError as error:
        message = f"{SETTINGS}.endpoint is no address: {error} ({settings['endpoint']})"
        pointer = f"/{SETTINGS}/endpoint"
        hint = "Write one like http://localhost:8080/health."
        yield Violation(Reason.SCHEMA_INVALID, "wrong-value", message, hint, pointer=pointer)


def _hidden_volumes(service: Mapping[str, Any], settings: Any) -> list[str]:
    """Targets of volumes that a trial does not get."""
    trial = settings.get("trial") if isinstance(settings, Mapping) else None
    if not trial or (isinstance(trial, Mapping) and trial.get("volumes") == "shared"):
        return []
    mounts = service.get("volumes") or ()
    return [
        str(item.get("target"))
        for item in mounts
        if item.get("type") in ("volume", "bind") and not item.get("read_only")
    ]


def _with_empty_volumes(targets: Iterable[str]) -> Violation:
    return Violation(
        Reason.POLICY_VIOLATION,
        "trial-volumes",
        f"its trial finds nothing at {', '.join(targets)}",
        "Drop the trial for a database or an agent; write trial: {volumes: shared} if two containers may write there.",
        level=Level.WARN,
    )


def _too_long(text: str) -> bool:
    try:
        return seconds(text) > LONGEST_DRAIN
    except ValueError:
        return False  # the schema has named it


def _parts(pointer: str) -> Pointer:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])


def _placed(item: Violation, found: Scan, stack: str, service: str, parts: Iterable[str | int]) -> Violation:
    pointer: Pointer = ("services", service, *parts)
    place = found.locate(*pointer)
    return replace(
        item,
        message=f"service {service}: {item.message}",
        path=place.path,
        line=place.line,
        column=place.column,
        pointer=json_pointer(pointer),
        stack=stack,
        service=service,
    )
