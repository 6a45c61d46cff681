"""colima.yaml: adds our values to it, and keeps those that somebody has set."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from reconciler.values import dataclass

DISK = 100
"""GiB. Colima's own default; the disk can grow later, but never shrink."""
LOGS = {"log-driver": "local", "log-opts": {"max-size": "10m", "max-file": "3"}}
"""Without it the engine never shortens the log of a container."""
UNSET: Mapping[str, Any] = {"cpu": 2, "memory": 2, "docker": {}, "vmType": "qemu", "mountType": "sshfs"}
"""Colima writes these into every new file. A value equal to one of them was not chosen by anybody."""
FIXED = ("vmType", "mountType")
"""Colima takes these only when it creates the virtual machine."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the Mac that containers see."""

    location: str
    writable: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """The wanted settings of the virtual machine. `memory` in GiB."""

    cpus: int
    memory: float
    mounts: tuple[Mount, ...]

    @property
    def values(self) -> dict[str, Any]:
        """Keys of colima.yaml → values, in the order in which they are written. Without `runtime`, Colima ignores the
        file; without `mounts`, it shares no folder at all."""
        return {
            "cpu": self.cpus,
            "memory": int(self.memory) if self.memory == int(self.memory) else self.memory,
            "disk": DISK,
            "arch": "host",
            "runtime": "docker",
            "vmType": "vz",
            "mountType": "virtiofs",
            "mounts": [{"location": item.location, "writable": item.writable} for item in self.mounts],
            "docker": LOGS,
        }


@dataclass(frozen=True, slots=True)
class Merged:
    """`text`: the whole file. `differences`: sentences about settings of somebody else that stay, unlike ours."""

    text: str
    differences: tuple[str, ...] = ()


class Unreadable(ValueError):
    """The file is no YAML, or no mapping. The message names the line."""


def merge(present: str | None, wanted: Machine, home: str, *, created: bool) -> Merged:
    """The new content of colima.yaml. `present`: its text, None if there is no file. `home`: the account's home folder.
    `created`: the virtual machine exists.

    Only values that nobody has chosen are changed, so comments and order stay. Unreadable if it cannot be read.
    """
    if present is None:
        head = "# Written by `reconciler bootstrap`. What you change stays: a later run only tells the difference.\n"
        return Merged(head + _block(wanted.values))
    found = _read(present)
    changes = {key: value for key, value in wanted.values.items() if _is_free(key, found, created)}
    differences = tuple(_differences(wanted, {**found, **changes}, home))
    text = _changed(present, found, changes)
    if not _says(text, {**found, **changes}):
        told = [f"colima.yaml is written in an unusual form, so {key} was not changed in it" for key in changes]
        return Merged(present, (*told, *_differences(wanted, found, home)))
    return Merged(text, differences)


def _read(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise Unreadable(f"{line}{getattr(error, 'problem', None) or 'no YAML'}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unreadable("line 1: no mapping of keys to values")
    return found


def _says(text: str, values: Mapping[str, Any]) -> bool:
    try:
        return _read(text) == values
    except Unreadable:
        return False


def _is_free(key: str, found: Mapping[str, Any], created: bool) -> bool:
    if created and key in FIXED:
        return False
    return key not in found or (key in UNSET and found[key] == UNSET[key])


def _changed(text: str, found: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    for key, value in changes.items():
        if key in found:
            line = re.search(rf"(?m)^{key}:.*\n?", text)
            text = text[: line.start()] + _block({key: value}) + text[line.end() :] if line else text
    added = {key: value for key, value in changes.items() if key not in found}
    if not added:
        return text
    return (text if not text or text.endswith("\n") else f"{text}\n") + _block(added)


def _block(values: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=False, allow_unicode=True)


def _differences(wanted: Machine, held: Mapping[str, Any], home: str) -> Iterator[str]:
    """`held`: what the file says after the change."""
    for key in ("cpu", "memory", "runtime", *FIXED):
        value = wanted.values[key]
        if key in held and held[key] != value:
            remedy = "only a new virtual machine takes it" if key in FIXED else "change it there, then `colima restart`"
            yield f"{key} is {held[key]} in colima.yaml, not {value}: {remedy}"
    docker = held.get("docker")
    rotated = isinstance(docker, dict) and (
        docker.get("log-driver") in ("local", "journald") or "max-size" in (docker.get("log-opts") or {})
    )
    if not rotated:
        yield "docker in colima.yaml has no log rotation: set log-driver there to local, then `colima restart`"
    for item in wanted.mounts:
        if not _covered(item, held.get("mounts"), home):
            form = f"{{location: {item.location}, writable: {str(item.writable).lower()}}}"
            yield f"containers do not see {item.location}: add {form} to mounts in colima.yaml, then `colima restart`"


def _covered(wanted: Mount, mounts: object, home: str) -> bool:
    """Whether containers see the folder. With an empty list Colima shares the home folder, without a list nothing."""
    if not isinstance(mounts, list):
        return False
    for item in mounts or [{"location": home, "writable": True}]:
        if not isinstance(item, dict):
            continue
        place = str(item.get("location", ""))
        place = posixpath.normpath(home + place[1:] if place == "~" or place.startswith("~/") else place)
        same = item.get("mountPoint") in (None, "", item.get("location"))
        if same and f"{wanted.location}/".startswith(f"{place}/") and (item.get("writable") or not wanted.writable):
            return True
    return False
