"""Networks and volumes that one stack of the host shares with the others, by `exports` in the Host document.

All stacks of a document come with the same commit, so they need no protection from each other. The owner says what may
be used, and no grant is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from reconciler.decide.admit.policies.subject import Finding, Json, Subject
from reconciler.model.documents import StackDocument
from reconciler.model.needs import Export
from reconciler.model.outcome import Reason, Violation

RULES = {"external-network": "networks", "external-volume": "volumes"}


def without_lent(
    found: Iterable[Finding], stacks: Sequence[StackDocument], subjects: Sequence[Subject]
) -> list[Finding]:
    """The findings except those about external networks and volumes that a stack of this host exports."""
    models = {subject.stack: subject.model for subject in subjects}
    lent = {
        (kind, name)
        for stack in stacks
        for kind in RULES.values()
        for name in _names(stack, kind, models.get(stack.name) or {})
    }
    return [finding for finding in found if (RULES.get(finding.rule), finding.value) not in lent]


def owners(subjects: Sequence[Subject]) -> Mapping[tuple[str, str | None], Export]:
    """(rule, name on the engine) → the export that would share the object, for all objects that stacks of the commit
    make."""
    return {
        (rule, name): Export(subject.stack, kind, key)
        for subject in subjects
        for rule, kind in RULES.items()
        for key, name in _own(subject.model, kind).items()
    }


def violations(stacks: Sequence[StackDocument], subjects: Sequence[Subject], path: str | None) -> Iterator[Violation]:
    """Exports of objects that the stack does not have. `path`: of the Host document."""
    models = {subject.stack: subject.model for subject in subjects}
    for stack in stacks:
        for kind in RULES.values():
            own = _own(models.get(stack.name) or {}, kind)
            for key in getattr(stack.exports, kind):
                if stack.name in models and key not in own:
                    message = f"stack {stack.name} exports {key}, which is not among its own {kind}"
                    hint = f"Name one of {', '.join(sorted(own))}." if own else f"The stack has no {kind} of its own."
                    yield Violation(
                        Reason.SCHEMA_INVALID, "unknown-export", message, hint, path, stack.line, 1, stack=stack.name
                    )


def _names(stack: StackDocument, kind: str, model: Json) -> Iterator[str]:
    own = _own(model, kind)
    return (own[key] for key in getattr(stack.exports, kind) if key in own)


def _own(model: Json, kind: str) -> dict[str, str]:
    """Key → name on the engine, of the objects that the stack makes itself."""
    defined = {key: item or {} for key, item in (model.get(kind) or {}).items()}
    return {key: str(item.get("name") or key) for key, item in defined.items() if not item.get("external")}
