"""What documents are made of, where the values themselves belong to rooms that this one does not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Protocol

from reconciler.model.outcome import Violation


class BudgetRow(Protocol):
    """One service's share. `limit`: bytes of one container; `default`: the file itself sets none."""

    @property
    def stack(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def replicas(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def default(self) -> bool: ...
    @property
    def overhead(self) -> int: ...


class MemoryVolume(Protocol):
    """A volume in memory; bytes."""

    @property
    def stack(self) -> str: ...
    @property
    def volume(self) -> str: ...
    @property
    def size(self) -> int: ...


class Project(Protocol):
    """One Compose project: its name, its Compose files and its profiles."""

    @property
    def name(self) -> str: ...
    @property
    def files(self) -> Sequence[str]: ...
    @property
    def profiles(self) -> Sequence[str]: ...


class Left(Protocol):
    """What `init` has left out: Compose files or a folder, and why."""

    @property
    def files(self) -> Sequence[str]: ...
    @property
    def reason(self) -> str: ...


class Values(Protocol):
    """An env file with what does not belong into git: names of variables, and what to do."""

    @property
    def path(self) -> str: ...
    @property
    def stack(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def hint(self) -> str: ...


class Limit(Protocol):
    """One service's limit, and where it comes from. Bytes of one container; `used` None: it does not run."""

    @property
    def stack(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def bytes(self) -> int: ...
    @property
    def origin(self) -> StrEnum: ...
    @property
    def used(self) -> int | None: ...


class Budget(Protocol):
    """A commit's memory, in bytes."""

    @property
    def budget_bytes(self) -> int: ...
    @property
    def steady_limit_bytes(self) -> int: ...
    @property
    def reserve_bytes(self) -> int: ...
    @property
    def steady_bytes(self) -> int: ...
    @property
    def peak_bytes(self) -> int: ...
    @property
    def over_bytes(self) -> int: ...
    @property
    def rows(self) -> Sequence[BudgetRow]: ...
    @property
    def volumes(self) -> Sequence[MemoryVolume]: ...


class Exports(Protocol):
    """What one stack lends to the others, by keys."""

    @property
    def networks(self) -> Sequence[str]: ...

    @property
    def volumes(self) -> Sequence[str]: ...


class Needs(Protocol):
    """What a commit needs to be admitted; exports and variables by stack."""

    @property
    def grants(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def binds(self) -> Sequence[Mapping[str, Any]]: ...

    @property
    def exports(self) -> Mapping[str, Exports]: ...

    @property
    def variables(self) -> Mapping[str, Sequence[str]]: ...

    @property
    def others(self) -> Sequence[Violation]: ...
