"""A user who creates, changes and deletes files in the watched folder. At the end brain-api must have the rest."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

from benchmarks.stack.load import Load

KEPT = 200
"""Most files at one time."""

LONGEST = 180.0
"""Most seconds that the watcher may need at the end."""


def run(load: Load) -> None:
    folder = _watched(load)
    for number in itertools.count():
        if load.pause(0.5):
            break
        text = load.documents[number % len(load.documents)]["content"]
        (folder / f"{number % KEPT:04}.md").write_text(f"# Note {number}\n\n{text}\n")
        load.counts["files written"] += 1
        if number % 10 == 9:
            (folder / f"{(number * 7) % KEPT:04}.md").unlink(missing_ok=True)
            load.counts["files deleted"] += 1
    _check(load, folder)


def _check(load: Load, folder: Path) -> None:
    """Check that brain-api has exactly the files of the folder within LONGEST seconds; else record a problem."""
    there = {f"files/{path.name}" for path in folder.iterdir()}
    begun = time.monotonic()
    while (stored := _stored(load)) != there:
        if time.monotonic() - begun > LONGEST:
            too_many = len(stored - there)
            load.problems.append(f"of {len(there)} files {len(there & stored)} are stored, and {too_many} more")
            return
        time.sleep(1.0)
    load.times["watcher catches up with the last change"].append(time.monotonic() - begun)


def _watched(load: Load) -> Path:
    """The watched folder, in the agent's state folder on this machine."""
    mounts = load.stack.host.container("file-watcher")["Mounts"]
    return Path(next(mount["Source"] for mount in mounts if mount["Destination"] == "/watched/files"))


def _stored(load: Load) -> set[str]:
    found: set[str] = set()
    more = ""
    while page := load.ask("GET", f"/api/v1/artifacts?path_prefix=files/&limit=200{more}"):
        found |= {item["path"] for item in page["artifacts"]}
        if not page["next"]:
            break
        more = f"&cursor={page['next']}"
    return found
