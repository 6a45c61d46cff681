"""Places inside a mounted folder of the commit at which something else is mounted (`./app:/app`, `/app/node_modules`).

The engine makes them when it starts a container, but not in a read-only folder. So the tree must contain them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

from reconciler.model.files import is_among


def mountpoints(target: str, present: Iterable[str], mounts: Mapping[str, bool]) -> dict[str, bool]:
    """Path below the folder at `target` → whether it is a file, for each mount place that the folder lacks.

    `present`: the folder's own files. `mounts`: each mount target of the service → whether it is a file.
    """
    folder = _normal(target)
    places = {_normal(place): is_file for place, is_file in mounts.items()}
    own = {place: is_file for place, is_file in places.items() if _holder(place, places) == folder}
    there = sorted(present)
    relative = {posixpath.relpath(place, folder): is_file for place, is_file in sorted(own.items())}
    return {path: is_file for path, is_file in relative.items() if not is_among(there, path)}


def _holder(place: str, places: Iterable[str]) -> str:
    """The innermost mount that contains `place`; '' if there is none."""
    around = (item for item in places if item != place and place.startswith(item.rstrip("/") + "/"))
    return max(around, key=len, default="")


def _normal(path: str) -> str:
    return posixpath.normpath("/" + path.lstrip("/"))
