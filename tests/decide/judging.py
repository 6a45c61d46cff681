"""A commit, a place and a judgement, for the tests of policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from reconciler.decide.admit.admit import Candidate, admit
from reconciler.decide.read.places import Place
from reconciler.decide.read.scan import Scan
from reconciler.model.documents import BindGrant, Grant, HostDocument, Permissions, StackDocument
from reconciler.model.files import READ_LIMIT, Entry
from reconciler.model.outcome import Level, Violation

ROOT = "/render/commit"
"""The folder of the commit when Compose read it."""


@dataclass(frozen=True)
class Commit:
    """Files by path; symlinks and submodules by their octal mode in git."""

    contents: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    revision: str | None = "c0ffee"

    @property
    def entries(self) -> Mapping[str, Entry]:
        paths = {**dict.fromkeys(self.contents, "100644"), **self.modes}
        return {path: Entry(path, mode, "0", len(self.contents.get(path, ""))) for path, mode in paths.items()}

    refused: tuple[Violation, ...] = ()

    def read(self, path: str, limit: int = READ_LIMIT) -> bytes:
        return self.contents.get(path, "").encode()

    def head(self, path: str, most: int) -> bytes:
        return self.read(path)[:most]

    def link(self, path: str) -> str:
        return self.contents[path]

    def copy(self, path: str, target: BinaryIO) -> None:
        target.write(self.read(path))


class Lines(Scan):
    """The place of a pointer with n parts is line n + 1: enough if the place is not what is tested."""

    def locate(self, *pointer: str | int) -> Place:
        return Place(self.files[0], 1 + len(pointer), 1)


def candidate(model: Mapping[str, Any], stack: str = "shop", concealed: frozenset[str] = frozenset()) -> Candidate:
    return Candidate(
        StackDocument(stack, (f"{stack}/compose.yaml",)), model, ROOT, Lines(("compose.yaml",), (), (), ()), concealed
    )


def judge_stacks(
    candidates: Sequence[Candidate],
    commit: Commit | None = None,
    grants: Sequence[Grant] = (),
    binds: Sequence[BindGrant] = (),
    **more: Any,
) -> tuple[Violation, ...]:
    """`more`: further fields of Permissions."""
    document = HostDocument("mini", tuple(item.stack for item in candidates))
    return admit(document, candidates, commit or Commit(), Permissions(tuple(grants), tuple(binds), **more)).violations


def judge(
    model: Mapping[str, Any],
    commit: Commit | None = None,
    grants: Sequence[Grant] = (),
    binds: Sequence[BindGrant] = (),
    **more: Any,
) -> tuple[Violation, ...]:
    return judge_stacks([candidate(model)], commit, grants, binds, **more)


def judge_service(service: Mapping[str, Any], commit: Commit | None = None, **more: Any) -> tuple[Violation, ...]:
    return judge({"services": {"web": service}}, commit, **more)


def denied(violations: Sequence[Violation]) -> list[str]:
    """The rules of the violations that make the commit invalid."""
    return [item.rule for item in violations if item.level is Level.DENY]


def warned(violations: Sequence[Violation]) -> list[str]:
    return [item.rule for item in violations if item.level is Level.WARN]
