"""`<state>/notifications.json`: what each target was told. It is written whole before and after each delivery."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.report.box import write_whole
from reconciler.report.notices import Event
from reconciler.report.watches import Fact, Item, Target
from reconciler.settings import NotifySettings
from reconciler.values import dataclass

VERSION = 1


@dataclass(slots=True)
class Beat:
    """The heartbeat: when it was answered and tried last, and why it was not answered."""

    at: float | None = None
    tried_at: float = 0.0
    error: str = ""


@dataclass(slots=True)
class NotifyBox:
    targets: dict[str, Target] = field(default_factory=dict)
    beat: Beat = field(default_factory=Beat)


class NotifyFile:
    """Only the holder of the state lock writes, and only what has changed. `effects` counts the writes."""

    def __init__(self, path: Path, effects: Effects) -> None:
        self._path, self._effects = path, effects
        self._last: Mapping[str, Any] = {}

    def load(self, wanted: Sequence[NotifySettings], now: float) -> NotifyBox:
        """The stored state of these targets and no others. A new target is told events after `now`. The file is written
        at once, so that even if this process dies, the next one tells what has happened since."""
        found = read(self._path) or NotifyBox()
        known = found.targets
        found.targets = {key: known.get(key) or Target(now) for key in keys(wanted)}
        if found.targets.keys() != known.keys():
            with suppress(Transient):
                self.save(found)
        return found

    def save(self, box: NotifyBox) -> None:
        """Whole and durable, or not at all: Transient."""
        value = {"v": VERSION, **asdict(box)}
        if value != self._last:
            self._effects.point("notifications")
            write_whole(self._path, value)
            self._last = value


def keys(wanted: Sequence[NotifySettings]) -> list[str]:
    """A stable name for each target, which does not reveal its address."""
    names: list[str] = []
    for item in wanted:
        digest = hashlib.sha256(item.url.encode()).hexdigest()[:24]
        names.append(f"{digest}-{sum(name.startswith(digest) for name in names)}")
    return names


def read(path: Path) -> NotifyBox | None:
    """The stored box; None if there is no file, or another version wrote it."""
    try:
        found = json.loads(path.read_bytes())
        if found["v"] != VERSION:
            return None
        beat = found["beat"]
        targets = {str(key): _target(value) for key, value in found["targets"].items()}
        return NotifyBox(targets, Beat(_moment(beat["at"]), float(beat["tried_at"]), str(beat["error"])))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _target(value: Mapping[str, Any]) -> Target:
    return Target(
        float(value["floor"]),
        {str(sha): str(fact) for sha, fact in value["commits"].items()},
        {
            str(name): {str(fact): _fact(known) for fact, known in facts.items()}
            for name, facts in value["facts"].items()
        },
        [str(name) for name in value["open"]],
        [_item(item) for item in value["items"]],
        min(max(0, int(value["sending"])), len(value["items"])),
        int(value["tries"]),
        float(value["next_at"]),
        str(value["error"]),
        str(value["lost"]),
        _moment(value["delivered_at"]),
    )


def _fact(value: Mapping[str, Any]) -> Fact:
    return Fact(float(value["since"]), float(value["gone"]), float(value["said"]))


def _item(value: Mapping[str, Any]) -> Item:
    event, at, queued = Event(value["event"]), float(value["at"]), float(value["queued"])
    return Item(str(event), at, queued, str(value["title"]), str(value["body"]))


def _moment(value: Any) -> float | None:
    return None if value is None else float(value)
