"""How the containers of a service are replaced: Compose's `deploy.update_config`, and our own settings."""

from __future__ import annotations

from typing import Any

from reconciler.decide.mounts.sources import Json
from reconciler.formats.compose_names import SETTINGS
from reconciler.formats.quantities import QuantityError, seconds
from reconciler.model.desired import Trial, Update


def update_of(model: Json, default_order: str) -> Update:
    """`model`: the service in Compose's canonical form. `default_order`: the host's."""
    asked = (model.get("deploy") or {}).get("update_config") or {}
    own = model.get(SETTINGS) or {}
    return Update(
        order=asked.get("order") or default_order,
        parallelism=max(0, int(asked.get("parallelism", 1))),
        delay=_seconds(asked.get("delay")),
        drain=seconds(own["drain"]) if "drain" in own else None,
        shared_volumes=bool(own.get("shared_volumes")),
        trial=_trial(own.get("trial")),
    )


def _trial(asked: Any) -> Trial | None:
    if not isinstance(asked, dict):
        return Trial() if asked else None
    return Trial(seconds(asked["time"]) if "time" in asked else None, asked.get("volumes") == "shared")


def _seconds(text: str | None) -> float:
    """Compose has checked it."""
    try:
        return seconds(text) if text else 0.0
    except QuantityError:
        return 0.0
