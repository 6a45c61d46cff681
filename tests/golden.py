"""Golden texts: the result must equal the file.

`RECONCILER_UPDATE_CASES=1 pytest tests/decide` writes them anew; read the difference before you commit it.
"""

from __future__ import annotations

import os
from pathlib import Path

CASES = Path(__file__).parent / "cases"


def folders(kind: str) -> list[Path]:
    """The cases of one kind."""
    return sorted(path for path in (CASES / kind).iterdir() if path.is_dir())


def matches(path: Path, text: str) -> None:
    """The file has this text."""
    if os.environ.get("RECONCILER_UPDATE_CASES") == "1":
        path.write_text(text)
    assert path.read_text() == text
