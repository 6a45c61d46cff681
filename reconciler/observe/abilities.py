"""Asks the engine what it is and what it can do, without its library."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from reconciler.engine import UNIX, api_version, away, descriptions
from reconciler.model.engine import HOST, REMOTE, VM, Engine
from reconciler.model.times import instant

_SYSTEMS = {"Docker Desktop": "Docker Desktop", "OrbStack": "OrbStack"}
"""`OperatingSystem` of products that give it their own name."""

_NAMES = {"colima": "Colima", "lima-rancher-desktop": "Rancher Desktop"}
"""`Name` (the virtual machine's host name) of products that have another system inside; Colima adds `-PROFILE`."""

ENGINE = "Docker Engine"


def look(address: str) -> Engine:
    """The abilities of the engine at this URL. Away if it does not answer; else as `api_version`."""
    version = api_version(address)
    asked = time.time()
    info, about = descriptions(address)
    answered = time.time()
    if "ServerVersion" not in info:
        raise away("describe itself", ValueError("its answer has no ServerVersion"))
    return read(info, about, version, address.startswith(UNIX), (asked + answered) / 2)


def read(info: Mapping[str, Any], about: Mapping[str, Any], api: str, local: bool, now: float) -> Engine:
    """`info`, `about`: the engine's answers to /info and /version; `about` may be {}. `local`: its socket is one of
    this machine. `now`: our time at that moment, Unix seconds."""
    # A Linux engine on this machine has this machine's kernel.
    same = local and sys.platform == "linux" and info.get("KernelVersion") == os.uname().release
    product = _SYSTEMS.get(str(info.get("OperatingSystem") or "")) or (ENGINE if same else _by_name(info))
    driver = str(info.get("CgroupDriver") or "")
    # With the cgroup driver `none` the engine accepts limits and ignores them, whatever its other fields say
    # (moby#42151).
    limits = bool(info.get("MemoryLimit")) and driver != "none"
    clock = info.get("SystemTime")
    return Engine(
        product=product,
        version=str(info["ServerVersion"]),
        api=api,
        oldest_api=str(about.get("MinAPIVersion") or ""),
        newest_api=str(about.get("ApiVersion") or ""),
        rootless=any(str(item).startswith("name=rootless") for item in info.get("SecurityOptions") or ()),
        storage=str(info.get("Driver") or ""),
        cgroup=str(info.get("CgroupVersion") or ""),
        limits=limits,
        swap=limits and bool(info.get("SwapLimit")),
        machine=REMOTE if not local else HOST if same and product == ENGINE else VM,
        memory=int(info.get("MemTotal") or 0),
        ahead=instant(clock) - now if clock else 0.0,
    )


def _by_name(info: Mapping[str, Any]) -> str:
    name = str(info.get("Name") or "")
    return _NAMES.get(name) or ("Colima" if name.startswith("colima-") else ENGINE)
