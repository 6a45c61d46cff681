"""Defaults of new containers for keys that the file leaves open. They do not count for a service's identity: running
containers without them are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from reconciler.decide import footprint
from reconciler.model.desired import Service

Json = Mapping[str, Any]

PIDS = 4096
"""Processes and threads of one container. OpenShift's default: several times what servers of this size use, and an
eighth of the 32,768 of many kernels. They use memory, too: 1,002 processes of a shell took 125 MiB."""

LOG = {"max-size": "10m", "max-file": "3"}
"""Log options for json-file, which keeps everything without them. `local` keeps 5 files of 20 MiB by itself."""


def missing(config: Json, log_driver: str) -> dict[str, str]:
    """Compose's keys that the file leaves open, with their default values. `log_driver`: the engine's default."""
    found = {}
    limits = ((config.get("deploy") or {}).get("resources") or {}).get("limits") or {}
    if not int(limits.get("pids") or config.get("pids_limit") or 0):
        found["pids_limit"] = str(PIDS)
    logging = config.get("logging") or {}
    if (logging.get("driver") or log_driver) == "json-file" and not (logging.get("options") or {}).get("max-size"):
        found |= {f"logging.options.{key}": value for key, value in _log(logging.get("options") or {}).items()}
    if config.get("ipc") == "shareable" and "kernel.shmall" not in (config.get("sysctls") or {}):
        found["sysctls.kernel.shmall"] = str(footprint.shared_memory(config) // 4096)
    return found


def with_defaults(service: Service, log_driver: str) -> Service:
    """The service as its containers are created."""
    closed, config = missing(service.config, log_driver), dict(service.config)
    if "pids_limit" in closed:
        # Compose 2.40 refuses `pids_limit` beside limits under `deploy` that do not have the same number.
        limited = ((config.get("deploy") or {}).get("resources") or {}).get("limits")
        place = ("deploy", "resources", "limits") if limited else ()
        config = _merged(config, place, {"pids" if limited else "pids_limit": PIDS})
    for prefix, path in (("logging.options.", ("logging", "options")), ("sysctls.", ("sysctls",))):
        added = {name.removeprefix(prefix): value for name, value in closed.items() if name.startswith(prefix)}
        if added:
            config = _merged(config, path, added)
    return replace(service, config=config)


def _log(options: Json) -> dict[str, str]:
    return {key: value for key, value in LOG.items() if not options.get(key)}


def _merged(config: Json, path: tuple[str, ...], added: Json) -> dict[str, Any]:
    if not path:
        return {**config, **added}
    return {**config, path[0]: _merged(config.get(path[0]) or {}, path[1:], added)}
