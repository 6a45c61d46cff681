"""From a commit to a desired state that has been admitted, or to every mistake in it at once. Touches nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from reconciler.decide import budget, lower
from reconciler.decide.lower import Places, Source
from reconciler.loop.ports import Rendered, Renderer
from reconciler.model.desired import DesiredState
from reconciler.model.documents import BindGrant, Grant, HostDocument
from reconciler.model.files import Files
from reconciler.model.images import Image, ImageWant
from reconciler.model.outcome import Level, Violation

if TYPE_CHECKING:
    from reconciler.decide.scan import Scan


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator decides on the host, never the repository."""

    host: str
    places: Places
    base: str = ""
    grants: tuple[Grant, ...] = ()
    binds: tuple[BindGrant, ...] = ()
    policies: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A commit, read and judged. `document` None: the Host document itself cannot be used."""

    files: Files
    document: HostDocument | None
    sources: tuple[Source, ...] = ()
    violations: tuple[Violation, ...] = ()
    budget: budget.Budget | None = None
    wants: tuple[ImageWant, ...] = ()

    @property
    def denied(self) -> bool:
        return any(item.level is Level.DENY for item in self.violations)


class Preparer:
    """Reads, renders and judges commits by the same rules on every path."""

    def __init__(self, renderer: Renderer, rules: Rules) -> None:
        self._renderer, self._rules = renderer, rules

    def prepare(self, files: Files, document: HostDocument | None = None) -> Prepared:
        """Judge a commit; `document` stands in for the one in the files. Transient when Compose cannot be run."""
        from reconciler.decide.parse import host_document

        violations: tuple[Violation, ...] = ()
        if document is None:
            document, violations = host_document(files, self._rules.host, self._rules.base)
        if document is None:
            return Prepared(files, None, violations=violations)
        rendered = [self._renderer.render(files, stack) for stack in document.stacks]
        violations += tuple(item for one in rendered for item in one.violations)
        if any(item.level is Level.DENY for item in violations):
            return Prepared(files, document, violations=violations)
        return self._judge(files, document, rendered, violations)

    def lower(self, prepared: Prepared, images: Mapping[str, Image], revision: str) -> DesiredState:
        """The admitted commit in the form in which it is applied."""
        if prepared.document is None or prepared.denied:
            raise AssertionError("only an admitted commit is lowered")
        return lower.lower(prepared.document, prepared.sources, prepared.files, images, self._rules.places, revision)

    def _judge(
        self, files: Files, document: HostDocument, rendered: Sequence[Rendered], violations: tuple[Violation, ...]
    ) -> Prepared:
        from reconciler.decide.admit import Candidate, admit
        from reconciler.decide.scan import scan

        sources = tuple(
            Source(stack, one.model, one.root, one.variables, one.secrets)
            for stack, one in zip(document.stacks, rendered, strict=True)
        )
        scans = [scan(files, source.document, source.variables) for source in sources]
        if self._rules.policies:
            candidates = [
                Candidate(source.document, source.model, source.root, found)
                for source, found in zip(sources, scans, strict=True)
            ]
            violations += admit(document, candidates, files, self._rules.grants, self._rules.binds)
        total, over = budget.judge(
            document,
            [
                demand
                for source, found in zip(sources, scans, strict=True)
                for demand in _demands(source, found, document.default_memory)
            ],
        )
        violations += over
        prepared = Prepared(files, document, sources, violations, total)
        return prepared if prepared.denied else replace(prepared, wants=lower.wants(sources, files))


def _demands(source: Source, scanned: Scan, default: int) -> Iterable[budget.Demand]:
    for row in budget.rows(source.document.name, source.model, default):
        place = scanned.locate("services", row.service, *(() if row.default else ("mem_limit",)))
        yield budget.Demand(row, place.path, place.line, place.column)
