"""Turns a commit into an admitted desired state, or returns all its violations at once. Touches nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from reconciler.decide.mounts.digests import digest
from reconciler.decide.redact import without_parts
from reconciler.errors import ENVIRONMENT, Usage
from reconciler.model.desired import DesiredState
from reconciler.model.documents import (
    NOTHING_ALLOWED,
    BindGrant,
    Grant,
    HostDocument,
    Permissions,
    StackDocument,
)
from reconciler.model.files import Files
from reconciler.model.images import Image, ImageWant
from reconciler.model.outcome import Level, Reason, Violation
from reconciler.values import dataclass

if TYPE_CHECKING:
    from reconciler.decide.admit.nesting import Mounted
    from reconciler.decide.mounts.sources import Places, Source
    from reconciler.decide.read.scan import Scan
    from reconciler.loop.ports import ReadBack, Rendered, Renderer
    from reconciler.model.admission import Budget

MOST_VIOLATIONS = 1_000
"""Maximum of reported violations, denials first."""

_JUDGED = (Reason.POLICY_VIOLATION, Reason.BUDGET_EXCEEDED)
"""Reasons that are ours; with others Compose cannot read the files."""

LONGEST_TEXT = 2_000
"""Characters of one message, and of its remedy."""

HOST_MISSING = "host-file-missing"


@dataclass(frozen=True, slots=True)
class Rules:
    """Settings of the operator on the host, never from the repository."""

    host: str
    places: Places
    base: str = ""
    stack: str = ""
    permissions: Permissions = NOTHING_ALLOWED
    policies: bool = True


@dataclass(frozen=True, slots=True)
class Prepared:
    """A commit, read and judged. `document` None: the Host document itself cannot be used.

    `wants`: the images of a commit that all policies have admitted. `read`: the files that Compose reads. `used`: the
    operator's entries that it needs; None where the policies have not judged it.
    """

    files: Files
    document: HostDocument | None
    sources: tuple[Source, ...] = ()
    violations: tuple[Violation, ...] = ()
    budget: Budget | None = None
    wants: tuple[ImageWant, ...] = ()
    read: frozenset[str] = frozenset()
    used: frozenset[Grant | BindGrant] | None = None

    @property
    def denied(self) -> bool:
        return _denied(self.violations)


class Preparer:
    """Reads, renders and judges commits by the same rules on every path."""

    def __init__(self, renderer: Renderer, rules: Rules, signers: Callable[[], str] = lambda: "") -> None:
        """`signers`: a digest of the keys that commits must be signed with."""
        self._renderer, self._rules, self._signers = renderer, rules, signers

    @property
    def places(self) -> Places:
        """Where mounts lie on this host."""
        return self._rules.places

    @property
    def data(self) -> str:
        """Where relative folders lie that are no part of a commit."""
        return self._rules.places.data

    @property
    def permissions(self) -> Permissions:
        """What the operator allows commits."""
        return self._rules.permissions

    def inputs(self) -> str:
        """Digest of what commits are judged by on this host: the operator's rules, secrets and signers."""
        rules, secrets = self._rules, self._renderer.fingerprint()
        return digest([repr(rules.permissions), rules.base, secrets, self._signers()])

    def trouble(self) -> Usage | None:
        """The fault that prevents reading the secrets: no commit can be judged."""
        return self._renderer.trouble()

    def may_nest(self, inner: Mounted, outer: Mounted) -> bool:
        """Whether a grant lets a service mount a path in a folder that another service can write to."""
        from reconciler.decide.admit.policies import nesting

        return nesting.allowed(inner, outer, self._rules.permissions, self.data)

    def lies_in(self, inner: Mounted, outer: Mounted) -> str:
        """The end of the message about two such mounts, after the name of the inner mount's service."""
        from reconciler.decide.admit.policies import nesting

        return nesting.lies_in(inner, outer, self.data)

    def prepare(self, files: Files, document: HostDocument | None = None) -> Prepared:
        """Judge a commit; `document` stands in for the one in the files. Transient when Compose cannot be run."""
        prepared = self._prepare(files, document)
        found = sorted(prepared.violations, key=lambda item: item.level is Level.WARN)[:MOST_VIOLATIONS]
        kept = prepared.violations if len(found) == len(prepared.violations) else found
        return replace(prepared, violations=tuple(map(self._told, kept)))

    def _prepare(self, files: Files, document: HostDocument | None) -> Prepared:
        from reconciler.decide.admit.unused import JUDGED_WHERE_USED, used_by, where_used
        from reconciler.decide.read.parse import host_document, in_order
        from reconciler.decide.read.paths import case_collisions
        from reconciler.formats.dotenv import names_files

        violations: tuple[Violation, ...] = ()
        unsigned = tuple(item for item in files.refused if item.reason is Reason.SIGNATURE_INVALID)
        if unsigned:
            return Prepared(files, document, violations=unsigned)  # an unsigned commit's files are not even read
        if document is None:
            document, violations = host_document(files, self._rules.host, self._rules.base, self._rules.stack)
        faults = (*files.refused, *case_collisions(files))
        violations += tuple(item for item in faults if item.rule not in JUDGED_WHERE_USED)
        if document is None or _denied(violations):
            return Prepared(files, document, violations=violations)
        prepared = self._stacks(files, document, violations)
        if document.path is None:
            found = tuple(item for item in prepared.violations if not names_files(item))
            prepared = replace(prepared, violations=found)
        faults = tuple(item for item in faults if item.rule in JUDGED_WHERE_USED)
        if not faults:
            return prepared
        told = tuple(where_used(faults, {*prepared.read, *used_by(prepared.sources)}))
        return replace(prepared, violations=in_order((*told, *prepared.violations)))

    def read_back(self, prepared: Prepared, compose: ReadBack) -> Prepared:
        """The commit, with Compose's reading of its create-files, if it is admitted. A difference is our fault, never
        the commit's."""
        from reconciler.decide.lower.foretold import create_files

        if prepared.document is None or prepared.denied or not self._rules.policies:
            return prepared
        found: list[Violation] = []
        for stack, project in create_files(prepared.document, prepared.sources, prepared.files, self.places):
            refused, differing = compose(stack, project)
            if refused:
                found.append(
                    _misread(stack, f"Compose {compose.version} does not read what is to be created: {refused}")
                )
            for service, key in differing:
                words = f"Compose {compose.version} reads `{key}` of what is to be created in another way than here"
                found.append(replace(_misread(stack, words), service=service, level=Level.WARN))
        return replace(prepared, violations=(*map(self._told, found), *prepared.violations)) if found else prepared

    def without_stacks(self, files: Files) -> Prepared:
        """A commit without stacks for this host, which an operator has accepted."""
        return Prepared(files, HostDocument(self._rules.host, ()), used=frozenset())

    def lower(self, prepared: Prepared, images: Mapping[str, Image], revision: str) -> DesiredState:
        """The admitted commit as a desired state."""
        from reconciler.decide.lower.lower import lower

        if prepared.document is None or prepared.denied:
            raise AssertionError("only an admitted commit is lowered")
        return lower(prepared.document, prepared.sources, prepared.files, images, self._rules.places, revision)

    def _stacks(self, files: Files, document: HostDocument, violations: tuple[Violation, ...]) -> Prepared:
        """Compose gets only files that passed the scan."""
        from reconciler.decide.read.beside import left_out
        from reconciler.decide.read.inputs import Inputs
        from reconciler.decide.read.rejected import placed
        from reconciler.decide.read.scan import scan
        from reconciler.decide.read.service_settings import with_settings

        inputs = Inputs()
        strict = self._rules.places.secrets is not None
        scans = [scan(files, stack, self._renderer.given(stack.name), inputs, strict) for stack in document.stacks]
        violations += tuple(item for found in scans for item in self._in_force(found.violations))
        violations += tuple(left_out(files, document, {path for one in scans for path in one.files}, self._rules.base))
        if _denied(violations):
            return self._despite(Prepared(files, document, violations=violations), scans)
        try:
            rendered = list(self._rendered(files, zip(document.stacks, scans, strict=True)))
        finally:
            self._renderer.close()
        outside = [item for one, found in zip(rendered, scans, strict=True) for item in _outside(one, found)]
        if outside:
            kept = (item for item in violations if replace(item, level=Level.DENY) not in outside)
            return Prepared(files, document, violations=(*kept, *outside))
        told = {(item.path, item.line, item.rule) for item in violations}  # both read the committed .env
        violations += tuple(
            item
            for one, found in zip(rendered, scans, strict=True)
            for item in self._in_force(placed(one.violations, found))
            if (item.path, item.line, item.rule) not in told
        )
        if _denied(violations):
            return Prepared(files, document, violations=violations)
        settled = [
            with_settings(one.model, found, one_of.name)
            for one, found, one_of in zip(rendered, scans, document.stacks, strict=True)
        ]
        violations += tuple(item for _, wrong in settled for item in wrong)
        if _denied(violations):
            return Prepared(files, document, violations=violations)
        rendered = [replace(one, model=model) for one, (model, _) in zip(rendered, settled, strict=True)]
        read = frozenset(path for found in scans for path in found.named)
        return replace(self._judge(files, document, rendered, scans, violations), read=read)

    def _despite(self, known: Prepared, scans: Iterable[Scan]) -> Prepared:
        """A denied commit with what else is wrong with it, judged as if the files that cannot be read in were empty.
        What Compose rejects then may come from these. If Compose cannot be run, what is known is enough to deny."""
        from reconciler.decide.read.judged import lacking
        from reconciler.decide.read.parse import in_order
        from reconciler.model.files import Proposed

        without = {path: text for one in scans for path, text in lacking(known.files, one.references).items()}
        # Attributes of git can call the empty file encrypted, too.
        again = isinstance(known.files, Proposed)
        if again or not without or known.document is None or not self._rules.policies:
            return known
        try:
            found = self._stacks(Proposed(known.files, without), known.document, ()).violations
        except ENVIRONMENT:
            return known
        if any(item.level is Level.DENY and item.reason not in _JUDGED for item in found):
            return known
        return replace(known, violations=in_order((*known.violations, *found)))

    def _rendered(self, files: Files, stacks: Iterable[tuple[StackDocument, Scan]]) -> Iterator[Rendered]:
        """The models in the order of the stacks."""
        begun: list[Callable[[], Rendered]] = []
        for stack, found in stacks:
            if len(begun) == self._renderer.at_once:
                yield begun.pop(0)()
            begun.append(self._renderer.begin(files, stack, found.named))
        for finish in begun:
            yield finish()

    def _judge(
        self,
        files: Files,
        document: HostDocument,
        rendered: Sequence[Rendered],
        scans: Sequence[Scan],
        violations: tuple[Violation, ...],
    ) -> Prepared:
        from reconciler.decide.admit import budget
        from reconciler.decide.admit.admit import Candidate, admit, demands, memory_volumes
        from reconciler.decide.lower.wanted_images import wants
        from reconciler.decide.mounts.sources import Source

        candidates = [
            Candidate(
                stack,
                one.model,
                one.root,
                found,
                frozenset(one.variables[name] for name in one.secrets),
                frozenset(one.secrets),
            )
            for stack, one, found in zip(document.stacks, rendered, scans, strict=True)
        ]
        used = None
        if self._rules.policies:
            found = admit(document, candidates, files, self._rules.permissions)
            violations, used = violations + found.violations, found.used
        total, over = budget.judge(document, demands(candidates, document.default_memory), memory_volumes(candidates))
        violations += self._in_force(over)
        sources = tuple(
            Source(stack, one.model, one.root, one.variables, one.secrets)
            for stack, one in zip(document.stacks, rendered, strict=True)
        )
        prepared = Prepared(files, document, sources, violations, total, used=used)
        # Judged without policies, or in a working folder, a commit may name images that nobody can build.
        if prepared.denied or not self._rules.policies or files.revision is None:
            return prepared
        return replace(prepared, wants=wants(sources, files))

    def _told(self, found: Violation) -> Violation:
        """Masks parts of secrets (all output masks whole ones), and shortens long texts."""
        secrets = self._renderer.given(found.stack).values() if found.stack else ()
        message, hint = found.message[:LONGEST_TEXT], found.hint[:LONGEST_TEXT]
        told = without_parts(hint, secrets)
        # An entry that contains part of a secret is not returned.
        need = found.need if told == hint else None
        return replace(found, message=without_parts(message, secrets), hint=told, need=need)

    def _in_force(self, violations: tuple[Violation, ...]) -> tuple[Violation, ...]:
        """Without policies only violations that stop Compose from reading the files count."""
        if self._rules.policies:
            return violations
        return tuple(replace(item, level=Level.WARN) if item.reason in _JUDGED else item for item in violations)


def _outside(rendered: Rendered, found: Scan) -> Iterator[Violation]:
    """Without policies Compose reads a stack with files that are not in the commit. It says only that they are not
    where it looks."""
    if _denied(rendered.violations):
        yield from (item for item in found.violations if item.rule in ("outside-commit", "remote-file"))


def _misread(stack: str, words: str) -> Violation:
    from reconciler.formats.create_file import UNREAD

    return Violation(Reason.INTERNAL_ERROR, "create-file", words, UNREAD, stack=stack)


def _denied(violations: Iterable[Violation]) -> bool:
    return any(item.level is Level.DENY for item in violations)
