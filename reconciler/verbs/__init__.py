"""What each command does: it asks the ports and answers with an exit code and a document of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Answer = tuple[int, Mapping[str, Any]]
"""Exit code and the document."""
