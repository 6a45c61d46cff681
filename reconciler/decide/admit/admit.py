"""Admits a commit, or returns all its violations at once, each with its place and a remedy.

The policies judge only Compose's canonical model, because the files can be written in many ways that mean the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reconciler.decide.admit import fixed_addresses, lint
from reconciler.decide.admit.budget import Demand, rows, volumes
from reconciler.decide.admit.policies import (
    amounts,
    bounds,
    builds,
    conflicts,
    cycles,
    endpoints,
    exports,
    keys,
    mounts,
    nesting,
    objects,
    privileges,
    probes,
    sharing,
    stops,
    stored,
    values,
)
from reconciler.decide.admit.policies.leave import Ruling, rule_on
from reconciler.decide.admit.policies.pins import built_names
from reconciler.decide.admit.policies.subject import Finding, Json, Subject
from reconciler.decide.mounts.mount_paths import CommitPaths
from reconciler.decide.read.scan import Scan
from reconciler.formats.rules import rules
from reconciler.formats.yamls import json_pointer
from reconciler.model.admission import MemoryVolume
from reconciler.model.documents import (
    NOTHING_ALLOWED,
    BindGrant,
    Grant,
    HostDocument,
    Permissions,
    StackDocument,
)
from reconciler.model.files import Files
from reconciler.model.needs import Export
from reconciler.model.outcome import Violation
from reconciler.values import dataclass


@dataclass(frozen=True, slots=True)
class Candidate:
    """One stack of the commit that is to be judged.

    `model` is Compose's canonical JSON; `root` the absolute folder that contained the commit's files when Compose
    rendered it. `concealed`: values that came from the host's secrets_dir; `secrets`: names of the variables that came
    from there.
    """

    stack: StackDocument
    model: Json
    root: str
    scan: Scan
    concealed: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Admitted:
    """The violations of a commit, and the operator's entries that lifted others."""

    violations: tuple[Violation, ...]
    used: frozenset[Grant | BindGrant]


def admit(
    document: HostDocument,
    stacks: Sequence[Candidate],
    files: Files,
    permissions: Permissions = NOTHING_ALLOWED,
) -> Admitted:
    """All violations of the whole host, in the order of its stacks, then of the places in their files.

    The commit may be applied if none of them has the level deny.
    """
    commit = CommitPaths(files)
    built = frozenset(name for item in stacks for name in built_names(item.stack.name, item.model))
    subjects: list[Subject] = []
    subjects += [
        Subject(
            item.stack.name,
            item.model,
            item.root,
            commit,
            permissions,
            item.concealed,
            item.secrets,
            built,
            subjects,
            default_order=document.default_order,
        )
        for item in stacks
    ]
    found = [finding for subject, item in zip(subjects, stacks, strict=True) for finding in _stack(subject, item)]
    found += [finding for subject in subjects for finding in values.findings(subject, document.default_memory)]
    found += conflicts.findings(subjects, [stack.name for stack in document.stacks])
    found += nesting.findings(subjects)
    found += amounts.findings(subjects)
    found += bounds.ports_of_host(subjects)
    found = exports.without_lent(found, document.stacks, subjects)
    owners = exports.owners(subjects)
    order = {item.stack.name: number for number, item in enumerate(stacks)}
    scans = {item.stack.name: item.scan for item in stacks}
    of_stack = {subject.stack: subject for subject in subjects}
    rulings = [(finding, rule_on(finding, of_stack[finding.stack])) for finding in found]
    violations = [
        _violation(finding, ruling, scans[finding.stack], owners.get((finding.rule, finding.value)))
        for finding, ruling in rulings
        if not ruling.by
    ]
    violations += exports.violations(document.stacks, subjects, document.path)
    used = frozenset(entry for _, ruling in rulings for entry in ruling.by)
    return Admitted(tuple(sorted(dict.fromkeys(violations), key=lambda item: _position(item, order))), used)


def demands(stacks: Sequence[Candidate], default: int) -> tuple[Demand, ...]:
    """Memory demand of each service, for `budget.judge`. `default`: bytes for a service without a limit."""
    return tuple(_demands(stacks, default))


def memory_volumes(stacks: Sequence[Candidate]) -> tuple[MemoryVolume, ...]:
    """The volumes in memory of all stacks, for `budget.judge`."""
    return tuple(found for item in stacks for found in volumes(item.stack.name, item.model))


def _demands(stacks: Sequence[Candidate], default: int) -> Iterator[Demand]:
    for item in stacks:
        for row in rows(item.stack.name, item.model, default):
            service: Json = item.model["services"][row.service]
            own = ("mem_limit",) if service.get("mem_limit") else ("deploy", "resources", "limits", "memory")
            place = item.scan.locate("services", row.service, *(() if row.default else own))
            yield Demand(row, place.path, place.line, place.column)


def _stack(subject: Subject, candidate: Candidate) -> Iterator[Finding]:
    yield from keys.findings(subject)
    yield from objects.findings(subject)
    yield from bounds.volume_findings(subject)
    yield from mounts.file_findings(subject)
    yield from stored.findings(subject)
    yield from cycles.findings(subject)
    yield from sharing.findings(subject)
    for service in subject.services():
        yield from privileges.findings(service)
        yield from bounds.findings(service)
        yield from mounts.findings(service)
        yield from builds.findings(service, candidate.concealed)
        yield from stops.findings(service)
        yield from endpoints.findings(service)
        yield from probes.findings(service, candidate.stack.gate)
        yield from objects.label_findings(service)
        yield from objects.logging_findings(service)
        yield from values.dropped(service, candidate.scan.written)
    yield from lint.findings(subject, candidate.concealed)
    yield from fixed_addresses.findings(subject)


def _violation(finding: Finding, ruling: Ruling, scan: Scan, export: Export | None) -> Violation:
    """`export`: the export that would let the stack use the object."""
    rule = rules()[finding.rule]
    place = scan.locate(*finding.pointer)
    return Violation(
        rule.reason,
        rule.id,
        f"{finding.message}: {rule.why}{f'; {ruling.why}' if ruling.why else ''}",
        (finding.hint or rule.hint) + ruling.hint,
        place.path,
        place.line,
        place.column,
        json_pointer(finding.pointer),
        ruling.level,
        finding.stack,
        finding.service,
        export or ruling.need,
    )


def _position(violation: Violation, order: dict[str, int]) -> tuple[int, str, int, int, str, str]:
    return (
        order[violation.stack or ""],
        violation.path or "",
        violation.line or 0,
        violation.column or 0,
        violation.rule,
        violation.pointer or "",
    )
