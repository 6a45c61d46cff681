"""The input and the findings of the policies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from reconciler.decide.mounts.mount_paths import CommitPaths
from reconciler.formats.rules import DEEPER
from reconciler.formats.yamls import Pointer
from reconciler.model.documents import NOTHING_ALLOWED, STOP_FIRST, BindGrant, Permissions
from reconciler.model.outcome import Level
from reconciler.values import dataclass

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a model breaks. `pointer` leads to the place in the model; `message` says what, without the reason.

    `level` replaces the rule's level for a lighter case. `value`: the denied value, in the form of
    `reconciler.formats.grants`; a grant lifts the finding only if it names this value. `root`: why it is equal to root,
    if rule and value do not tell. `stays`: denied even with `trust: owner`. `bind`: the entry of binds that would allow
    it. `by`: the entry that allows it. `hint`: a remedy that fits better than the rule's own. `corrected`: the only
    remedy is a correction, so no entry is offered.
    """

    stack: str
    rule: str
    pointer: Pointer
    message: str
    service: str | None = None
    level: Level | None = None
    value: str | None = None
    root: str = ""
    stays: bool = False
    bind: Mapping[str, str | bool] | None = None
    by: BindGrant | None = None
    hint: str = ""
    corrected: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Names, beside the rule's, by which the operator may grant it: the service's key, and the one below `build`
        and `deploy`.

        Not deeper: there the commit chooses names, and could choose the name in a grant.
        """
        if self.pointer[:1] != ("services",):
            return frozenset()
        depth = 4 if self.pointer[2:3] and self.pointer[2] in DEEPER else 3
        return frozenset(name for name in self.pointer[2:depth] if isinstance(name, str))


@dataclass(frozen=True, slots=True)
class Subject:
    """One stack that is judged. `root`: the folder of the commit's files when Compose rendered the model.

    `concealed`: values that came from the host's secrets_dir; `secrets`: names of the variables that did.
    `built`: names of images that the commit itself makes, in whichever of its stacks. `host`: the subjects of all
    stacks of the commit, this one too; empty: it is alone. `known`: what policies have found out about all of its
    services, or of all stacks (in the first of them). `default_order`: of the Host document.
    """

    stack: str
    model: Json
    root: str
    commit: CommitPaths
    permissions: Permissions = NOTHING_ALLOWED
    concealed: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    built: frozenset[str] = frozenset()
    host: Sequence[Subject] = field(default=(), repr=False, compare=False)
    known: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    default_order: str = STOP_FIRST

    def services(self) -> Iterator[ServiceSubject]:
        for name, model in sorted((self.model.get("services") or {}).items()):
            yield ServiceSubject(self, name, model or {})

    def service(self, name: str) -> ServiceSubject:
        """A service, or an empty one if the model does not have it."""
        return ServiceSubject(self, name, (self.model.get("services") or {}).get(name) or {})

    def finding(self, rule: str, pointer: Pointer, message: str, value: str | None = None) -> Finding:
        return Finding(self.stack, rule, pointer, message, value=value)


@dataclass(frozen=True, slots=True)
class ServiceSubject:
    """One service that is judged."""

    of: Subject
    name: str
    model: Json

    @property
    def order(self) -> str:
        """How the service is to be replaced: as its file says, or the Host document."""
        update = (self.model.get("deploy") or {}).get("update_config") or {}
        return str(update.get("order") or self.of.default_order)

    def finding(
        self, rule: str, pointer: Pointer, message: str, level: Level | None = None, *, value: str | None = None
    ) -> Finding:
        """`pointer` starts below the service; the message starts with the service's name."""
        place = ("services", self.name, *pointer)
        return Finding(self.of.stack, rule, place, f"service {self.name}: {message}", self.name, level, value)
