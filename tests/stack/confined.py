"""Checks of the Compose file that hold for every service of this repository's stacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def confined(service: Json) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["init"] is True
    assert service["logging"]["driver"] == "local"
    assert {"memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert "container_name" not in service


def looked_after(service: Json) -> None:
    """Checks for services that keep running (not for one-shots)."""
    assert service["restart"] == "unless-stopped"
    assert service["stop_grace_period"]
    assert service["healthcheck"]["start_period"]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert "memory" in service["deploy"]["resources"]["reservations"]
