"""The Status for those that read files: written after each turn and step, made anew only where something changed."""

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
    """`redactor` takes secrets out of a document."""

    def __init__(self, path: Path, queries: StatusQueries, redactor: Redactor) -> None:
        self._path, self._queries, self._redactor = path, queries, redactor
        self._last: tuple[StatusFacts, ObservedState, int, Document] | None = None

    def publish(self, facts: Callable[[], StatusFacts], looked: ObservedState | None) -> None:
        """`looked`: what was just seen of the engine; None: it is asked. What cannot be known is told as an error."""
        try:
            document = self._masked(facts(), looked)
        except ReconcilerError as error:
            from reconciler.record import summary

            told = summary.error(error.reason.value, error.message, error.hint, error.details)
            document = masked(told, self._redactor)
        files.publish(self._path, document)

    def _masked(self, facts: StatusFacts, looked: ObservedState | None) -> Document:
        """Made and masked anew where anything has changed, also what is secret."""
        at, known = facts.source.last_fetch_at, self._redactor.known
        still = replace(facts, source=replace(facts.source, last_fetch_at=None))
        if self._last is not None and (still, looked, known) == self._last[:3]:
            return fetched_again(self._last[3], at)
        document: Document = masked(self._queries.quick(facts, looked)[1], self._redactor)
        # While fetches fail, more than one field says when the last one did not.
        self._last = (still, looked, known, document) if looked is not None and facts.source.error is None else None
        return document
