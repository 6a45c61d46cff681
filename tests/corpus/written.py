"""Compose files of our own, in the style of public ones: `written/*.txt`.

A case begins with `=== name`, perhaps followed by `(refused: rule, …)` if rules of ours reject what Compose accepts.
Its first file is compose.yaml, further ones begin with `--- path`. ␍ and ␇ stand for the control characters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "written"
HEAD = re.compile(r"^=== (?P<name>[^(\n]+?)(?: \(refused: (?P<rules>[a-z, -]+)\))?\n", re.MULTILINE)
FILE = re.compile(r"^--- (\S+)\n", re.MULTILINE)
CONTROLS = str.maketrans({"␍": "\r", "␇": "\a"})


@dataclass(frozen=True)
class Case:
    """`rules`: rules by which we reject it; none if our result must equal Compose's."""

    name: str
    files: Mapping[str, str]
    rules: frozenset[str]

    def write(self, folder: Path) -> Path:
        """Its Compose file, in a folder of its own."""
        for path, text in self.files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(text.encode())
        return folder / "compose.yaml"


def cases() -> list[Case]:
    return [case for path in sorted(FOLDER.glob("*.txt")) for case in _cases(path.read_text())]


def _cases(text: str) -> list[Case]:
    _, *parts = HEAD.split(text)
    return [
        Case(name, _files(body.translate(CONTROLS)), frozenset(rules.split(", ") if rules else ()))
        for name, rules, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    ]


def _files(body: str) -> dict[str, str]:
    first, *more = FILE.split(body)
    return {"compose.yaml": first, **dict(zip(more[::2], more[1::2], strict=True))}
