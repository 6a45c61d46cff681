"""The work of each command: it calls ports, and returns an exit code and a document (docs/json.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Answer = tuple[int, Mapping[str, Any]]
"""Exit code and the document."""
