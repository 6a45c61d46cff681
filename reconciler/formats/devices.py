"""Meaning of a volume of the engine's local driver."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any


def bound_device(options: Mapping[str, Any]) -> str | None:
    """The path of the host that it stands for (`o: bind`), in its normal form. `options`: its driver_opts."""
    kinds = {*str(options.get("o") or "").split(","), str(options.get("type") or "")}
    device = str(options.get("device") or "")
    if not device.startswith("/") or not kinds & {"bind", "rbind", "none"}:
        return None
    return posixpath.normpath("/" + device.lstrip("/"))
