"""`validate --grants`: what a commit needs, as blocks to be pasted where their first line says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reconciler.formats.grants import flow, line
from reconciler.record.text.layout import Style
from reconciler.record.text.words import violations

Json = Mapping[str, Any]


def needs(document: Json, style: Style) -> list[str]:
    """First what nothing can allow, since it must be corrected in the commit."""
    lines = violations(document["others"], style)
    blocks = [*_agent_config(document, style), *_exports(document["exports"]), *_variables(document["variables"])]
    for block in blocks:
        lines += [*block, ""]
    return lines


def _agent_config(document: Json, style: Style) -> Iterator[list[str]]:
    entries = [(kind, document[kind]) for kind in ("grants", "binds") if document[kind]]
    if entries:
        block = ["# In the agent's config, with a reason for each entry:"]
        for kind, items in entries:
            block += [f"{kind}:", *(text for item in items for text in _entry(item, style))]
        yield block


def _entry(entry: Json, style: Style) -> list[str]:
    """One line if that is not too long for the terminal."""
    if len(short := f"  - {line(entry)}") <= style.width:
        return [short]
    lines = [text for key, value in entry.items() for text in _field(key, value, style)]
    return [f"  - {lines[0]}", *(f"    {text}" for text in lines[1:])]


def _field(key: str, value: Any, style: Style) -> list[str]:
    text = f"{key}: {flow(value)}"
    if len(text) + 4 <= style.width or not isinstance(value, list):
        return [text]
    return [f"{key}:", *(f"  - {flow(item)}" for item in value)]


def _exports(items: Sequence[Json]) -> Iterator[list[str]]:
    for item in items:
        named = {kind: item[kind] for kind in ("networks", "volumes") if item[kind]}
        yield [f"# In the Host document, at the stack {item['stack']}:", f"exports: {line(named)}"]


def _variables(items: Sequence[Json]) -> Iterator[list[str]]:
    for item in items:
        yield [f"# In <secrets_dir>/{item['stack']}.env, with their values:", *(f"{name}=" for name in item["names"])]
    if items:
        yield ["# Grants and binds are known once these are set: run it again then."]
