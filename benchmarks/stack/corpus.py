"""The documents to ingest: the docstrings of Python's standard library, real English with real references."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Document = dict[str, Any]
"""An artifact in brain-api's format."""

ROOT = Path(sysconfig.get_paths()["stdlib"])
SHORTEST = 80
"""Fewest characters of a text: shorter ones are too much alike."""

LEFT_OUT = ("test", "site-packages", "idlelib", "lib2to3", "config-", "turtledemo")


def documents(count: int) -> list[Document]:
    """The first `count` documents; with the same Python always the same. They describe modules, classes and functions.
    Each class and function is linked to its module, each module to those that it imports."""
    found: list[Document] = []
    for path in _modules():
        found += _of(path)
        if len(found) >= count:
            return found[:count]
    raise ValueError(f"the standard library has {len(found)} documents, not {count}")


def questions(items: list[Document]) -> list[str]:
    """Search texts as people would write them: the first sentence of every seventh document."""
    return [item["content"].split("\n\n")[0][:300] for item in items[::7]]


def _modules() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*.py")):
        if not any(part.startswith(LEFT_OUT) for part in path.relative_to(ROOT).parts):
            yield path


def _of(path: Path) -> list[Document]:
    try:
        tree = ast.parse(path.read_text())
    except (SyntaxError, UnicodeDecodeError):
        return []
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    members = [_document(module, node) for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    links = [{"kind": "imports", "path": f"library/{name}"} for name in sorted(imports)]
    about = ast.get_docstring(tree) or f"The module {module} of Python's standard library."
    head = {"path": f"library/{module}", "kind": "module", "title": module, "content": about, "links": links}
    by_path = {item["path"]: item for item in members if len(item["content"]) >= SHORTEST}
    return [head, *by_path.values()] if by_path else []


def _document(module: str, node: ast.ClassDef | ast.FunctionDef) -> Document:
    return {
        "path": f"library/{module}/{node.name}", "kind": "member", "title": f"{module}: {node.name}",
        "content": ast.get_docstring(node) or "", "links": [{"kind": "part_of", "path": f"library/{module}"}],
    }  # fmt: skip
