"""Stored desired states, so that a rollback needs neither Compose nor the commit: `<state>/rendered/<content>/`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.effects import Effects
from reconciler.errors import Corrupt, ReconcilerError, Transient
from reconciler.formats.freeze import freeze, thaw
from reconciler.materialise import sync_folder, write
from reconciler.model.desired import (
    Condition,
    Dependency,
    DesiredState,
    Endpoint,
    Network,
    Service,
    Stack,
    Tree,
    Trial,
    Update,
    Volume,
)
from reconciler.model.documents import Gate, Memory
from reconciler.model.outcome import Reason
from reconciler.values import dataclass

Json = Mapping[str, Any]
GONE = frozenset({"trees", "order", "priority"})
"""Fields of services and their endpoints that 0.1.0 has written, and that are ignored when they are read."""

Secrets = Callable[[str], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """Content of a file, filled in with the host's secrets, when both had this stamp."""

    stamp: tuple[str, int, int, int, str]
    rendered_with: str
    desired: DesiredState | None


class RenderedStore:
    """Secret values are left out when a state is saved, and filled in when it is loaded; `secrets` gives them by
    stack."""

    def __init__(self, folder: Path, secrets: Secrets, fingerprint: Callable[[], str], effects: Effects) -> None:
        self._folder, self._secrets, self._fingerprint, self._effects = folder, secrets, fingerprint, effects
        self._last: _Loaded | None = None

    def save(self, desired: DesiredState, models: Mapping[str, Json]) -> None:
        """Durable before it returns. `models`: Compose's canonical model of each stack, for people.

        A stored state is written again if it came from another commit or from other secrets. Transient if the disk
        refuses.
        """
        stored = self._read(desired.content)
        came_from = (stored["desired"]["revision"], stored["fingerprint"]) if stored else None
        if came_from == (desired.revision, self._fingerprint()):
            return
        self._effects.point(f"rendered {desired.content[:12]}")
        try:
            self._write(desired, models)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> Transient:
        return Transient(
            Reason.DISK_FAILED,
            f"{self._folder} cannot be used: {error.strerror}",
            "the state folder must be readable, writable and have space left",
        )

    def _write(self, desired: DesiredState, models: Mapping[str, Json]) -> None:
        target = self._folder / desired.content
        values = self._all_secrets(desired)
        draft = self._folder / f".{desired.content}.{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        # Names of stacks are needed to find the secrets that fill in the rest.
        names = [stack.name for stack in desired.stacks]
        create = {
            "fingerprint": self._fingerprint(), "stacks": names, "desired": freeze(asdict(desired), values),
        }  # fmt: skip
        write(draft / "create.json", _json(create), 0o600, durable=True)
        write(draft / "model.json", _json(freeze(models, values)), 0o600, durable=True)
        if target.exists():
            for path in draft.iterdir():
                path.replace(target / path.name)
            draft.rmdir()
        else:
            draft.rename(target)
        sync_folder(target)
        sync_folder(self._folder)

    def load(self, content: str) -> DesiredState | None:
        """None if it was never saved, has been deleted, or was saved by a version with other fields."""
        found = self._load(content)
        return found.desired if found else None

    def current(self, content: str) -> bool:
        """Whether the host's secrets are still those that it was rendered with."""
        found = self._load(content)
        return found is None or found.rendered_with == self._fingerprint()

    def _load(self, content: str) -> _Loaded | None:
        """Read anew only if the file or a secret has changed: every turn asks, several times."""
        try:
            found = (self._folder / content / "create.json").stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        stamp = (content, found.st_ino, found.st_mtime_ns, found.st_size, self._fingerprint())
        if self._last is None or self._last.stamp != stamp:
            stored = self._read(content)
            if stored is None:
                return None
            self._last = _Loaded(stamp, stored["fingerprint"], self._thawed(stored))
        return self._last

    def _thawed(self, stored: Any) -> DesiredState | None:
        try:
            names = stored.get("stacks") or [stack["name"] for stack in stored["desired"]["stacks"]]
            return _desired(thaw(stored["desired"], self._named(names)))
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
            return None

    def digests(self) -> Iterator[str]:
        """Contents that are kept, and the specs of their services and networks."""
        for path in self._folder.glob("*"):
            stored = self._read(path.name)
            yield path.name
            with suppress(LookupError, TypeError):
                for stack in stored["desired"]["stacks"]:
                    yield from (item["spec"] for item in stack["services"])
                    yield from (item["digest"] for item in stack["networks"])

    def services(self) -> Iterator[str]:
        """The names of all services in the states that are kept and can be read."""
        for path in self._folder.glob("*"):
            with suppress(ReconcilerError, LookupError, TypeError):
                stored = self._read(path.name)
                names = [item["name"] for stack in stored["desired"]["stacks"] for item in stack["services"]]
                yield from thaw(names, self._named(stored["stacks"]))

    def keep(self, contents: Iterable[str]) -> None:
        """Delete every state except these; each deletion is an effect."""
        wanted = set(contents)
        for path in self._folder.glob("*"):
            if path.name not in wanted:
                self._effects.point(f"forget {path.name[:12]}")
                shutil.rmtree(path, ignore_errors=True)

    def _read(self, content: str) -> Any:
        path = self._folder / content / "create.json"
        try:
            stored = json.loads(path.read_text("utf-8"))
            str(stored["fingerprint"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise Corrupt(
                Reason.STALLED, f"{path} cannot be read: {error}", "delete its folder; it is rendered anew"
            ) from error
        return stored

    def _all_secrets(self, desired: DesiredState) -> dict[str, str]:
        return self._named([stack.name for stack in desired.stacks])

    def _named(self, stacks: Iterable[str]) -> dict[str, str]:
        return {f"{stack}/{name}": value for stack in stacks for name, value in self._secrets(stack).items()}


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False).encode()


def _desired(data: Json) -> DesiredState:
    return DesiredState(
        data["host"],
        data["revision"],
        data["content"],
        Memory(**data["memory"]),
        tuple(_stack(item) for item in data["stacks"]),
        tuple(Tree(**_with_tuples(item)) for item in data["trees"]),
    )


def _stack(data: Json) -> Stack:
    return Stack(
        data["name"],
        tuple(_service(item) for item in data["services"]),
        tuple(Network(**item) for item in data["networks"]),
        tuple(Volume(**item) for item in data["volumes"]),
        Gate(**data["gate"]),
        data["suspended"],
    )


def _with_tuples(data: Json) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}


def _service(data: Json) -> Service:
    known = {key: value for key, value in _with_tuples(data).items() if key not in GONE}
    known["depends_on"] = tuple(
        Dependency(**{**item, "condition": Condition(item["condition"])}) for item in data["depends_on"]
    )
    known["endpoints"] = tuple(
        Endpoint(
            **{key: value for key, value in item.items() if key not in GONE}
            | {"aliases": tuple(item["aliases"]), "link_local": tuple(item["link_local"])}
        )
        for item in data["endpoints"]
    )
    known["ports"] = tuple((item[0], item[1], item[2]) for item in data["ports"])
    update = dict(data.get("update", {}))
    trial = update.pop("trial", None)
    known["update"] = Update(**update, trial=Trial(**trial) if trial else None)
    return Service(**known)
