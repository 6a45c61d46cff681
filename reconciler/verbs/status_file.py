"""The Status for processes that read files: written after each turn and step, computed only if something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.decide.redact import Redactor
from reconciler.errors import ReconcilerError
from reconciler.model.observed import ObservedState
from reconciler.model.status import StatusFacts
from reconciler.output import masked
from reconciler.record.summary_status import fetched_again
from reconciler.verbs import files
from reconciler.verbs.status import StatusQueries

Document = Mapping[str, Any]


class StatusFile:
    """`redactor` removes secrets from a document."""

    def __init__(self, path: Path, queries: StatusQueries, redactor: Redactor) -> None:
        self._path, self._queries, self._redactor = path, queries, redactor
        self._last: tuple[StatusFacts, ObservedState, int, Document] | None = None

    def publish(self, facts: Callable[[], StatusFacts], looked: ObservedState | None) -> Document:
        """Returns what it writes. `looked`: a fresh state of the engine; None: the engine is asked. What cannot be read
        becomes an error in the status."""
        try:
            document = self._masked(facts(), looked)
        except ReconcilerError as error:
            from reconciler.record import summary

            told = summary.error(error.reason.value, error.message, error.hint, error.details)
            document = masked(told, self._redactor)
        files.publish(self._path, document)
        return document

    def _masked(self, facts: StatusFacts, looked: ObservedState | None) -> Document:
        """The masked document. It is computed again only if anything has changed or a secret was learned."""
        at, known = facts.source.last_fetch_at, self._redactor.known
        still = replace(facts, source=replace(facts.source, last_fetch_at=None))
        if self._last is not None and (still, looked, known) == self._last[:3]:
            return fetched_again(self._last[3], at)
        document: Document = masked(self._queries.quick(facts, looked)[1], self._redactor)
        # While fetches fail, several fields say when the last one failed.
        self._last = (still, looked, known, document) if looked is not None and facts.source.error is None else None
        return document
