"""The outbox on the disk: `<state>/outbox.json`. It lists what was delivered, and what is about to be.

It is written before a message leaves and after it has arrived, each time completely and synced. If a process dies in
between, nobody knows whether the message arrived; the next process asks the forge.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Transient
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

VERSION = 1
MOST = 1200
"""Number of entries that are kept: 200 commits with a status each for the host and its stacks, a comment and a
deployment."""


@dataclass(slots=True)
class Entry:
    """Delivery of one message. `digest`: what was delivered last, '' for nothing; `remote`: the forge's id of it.

    `sending`: what the process sent last, without an answer yet. `due`: time from which it is to be delivered; `tries`:
    failed tries; `next_at`: time of the next try. `error`: why the last try failed. `closed`: the digest that is not
    tried any more, because the forge refused it with the config and token of `basis`, or the deadline has passed.
    """

    digest: str = ""
    remote: str = ""
    sending: str = ""
    at: float = 0.0
    due: float = 0.0
    tries: int = 0
    next_at: float = 0.0
    error: str = ""
    closed: str = ""
    basis: str = ""


@dataclass(slots=True)
class Channel:
    """`refused`: why nothing can be delivered with the config and token of `basis`; after `next_at` it is tried again.
    `lost`: what was given up since the last delivery."""

    delivered_at: float | None = None
    refused: str = ""
    basis: str = ""
    next_at: float = 0.0
    lost: str = ""


@dataclass(slots=True)
class Box:
    """`since`: when it was made; older messages may have been delivered from a box that was lost. `floor`: see
    `messages`.

    `paused_until`: the forge asked for a pause, or does not answer; `faults`: in a row; `error`: the last fault.
    `place`: the repository on a forge to which the ids belong; '' in files of earlier versions.
    """

    since: float
    floor: float
    entries: dict[str, Entry] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    paused_until: float = 0.0
    faults: int = 0
    error: str = ""
    place: str = ""

    def entry(self, key: str) -> Entry:
        return self.entries.setdefault(key, Entry())

    def channel(self, name: str) -> Channel:
        return self.channels.setdefault(name, Channel())

    def reached(self) -> bool:
        """Whether the forge has accepted a message."""
        return any(item.digest or item.remote for item in self.entries.values())

    def forget(self) -> None:
        """Remove the oldest delivered entries, for good."""
        if len(self.entries) <= MOST:
            return
        oldest = sorted(self.entries, key=lambda key: max(self.entries[key].at, self.entries[key].due))
        for key in oldest[: len(self.entries) - MOST]:
            gone = self.entries.pop(key)
            self.floor = max(self.floor, gone.at, gone.due)


class BoxFile:
    """Only the holder of the state lock writes. `effects` counts the writes. `place`: see `Box`."""

    def __init__(self, path: Path, effects: Effects, place: str) -> None:
        self._path, self._effects, self._place = path, effects, place

    def load(self, now: float) -> Box:
        """The stored one, or a new one. If the earlier place never got a message, the new one gets all of them: the
        config may just have been corrected."""
        found = self.stored()
        if found is None:
            earlier = read(self._path)
            found = Box(now, now if earlier is None or earlier.reached() else earlier.floor)
        found.place = self._place
        return found

    def stored(self) -> Box | None:
        """None if there is none, it cannot be read, or it is about another place: there the same id would be somebody
        else's comment."""
        found = read(self._path)
        return found if found is not None and found.place in ("", self._place) else None

    def save(self, box: Box) -> None:
        """Complete and durable, or not at all: then Transient."""
        self._effects.point("outbox")
        write_whole(self._path, {"v": VERSION, **asdict(box)})


def write_whole(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as JSON, whole and durable. Transient if that fails; the old file then stays."""
    draft = path.with_suffix(".draft")
    try:
        with open(draft, "w", encoding="utf-8", opener=_private) as file:
            json.dump(value, file, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        hint = "make room, or give the folder back to the agent's user"
        raise Transient(Reason.DISK_FAILED, f"{path} cannot be written: {error.strerror}", hint) from error


def read(path: Path) -> Box | None:
    """The stored box; None if there is none, or another version wrote it."""
    try:
        found = json.loads(path.read_bytes())
        return _box(found) if found["v"] == VERSION else None
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
        return None


def _box(found: Mapping[str, Any]) -> Box:
    return Box(
        float(found["since"]),
        float(found["floor"]),
        {key: Entry(**_typed(Entry, value)) for key, value in found["entries"].items()},
        {key: Channel(**_typed(Channel, value)) for key, value in found["channels"].items()},
        float(found["paused_until"]),
        int(found["faults"]),
        str(found["error"]),
        str(found.get("place", "")),
    )


def _typed(kind: type[Entry] | type[Channel], value: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of the class, each with the type of its default; None only if that is the default."""
    found: dict[str, Any] = {}
    for item in fields(kind):
        given = value[item.name]
        wanted: Any = float if item.default is None else type(item.default)
        found[item.name] = None if given is None and item.default is None else wanted(given)
        if given is None and item.default is not None:
            raise TypeError(item.name)
    return found


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
