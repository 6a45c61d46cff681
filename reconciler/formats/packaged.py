"""Files of the package, without `importlib.resources`, which takes longer to load than a short verb's own work."""

from __future__ import annotations

from pathlib import Path

_DATA = Path(__file__).parent.parent / "data"


def packaged(name: str) -> bytes:
    """A file below `reconciler/data/`."""
    return (_DATA / name).read_bytes()
