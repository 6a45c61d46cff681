"""The Status for those that read files: written after each turn and step, made anew only where something changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reconciler.errors import ReconcilerError
from reconciler.model.observed import ObservedState
from reconciler.model.status import StatusFacts
from reconciler.record.summary_status import fetched_again
from reconciler.verbs import files
from reconciler.verbs.status import StatusQueries

Document = Mapping[str, Any]


class StatusFile:
    """`mask` takes secrets out of a document."""

    def __init__(self, path: Path, queries: StatusQueries, mask: Callable[[Document], Document]) -> None:
        self._path, self._queries, self._mask = path, queries, mask
        self._last: tuple[StatusFacts, ObservedState, Document] | None = None

    def publish(self, facts: Callable[[], StatusFacts], looked: ObservedState | None) -> None:
        """`looked`: what was just seen of the engine; None: it is asked. What cannot be known is told as an error."""
        try:
            document = self._document(facts(), looked)
        except ReconcilerError as error:
            from reconciler.record import summary

            document = summary.error(error.reason.value, error.message, error.hint, error.details)
        # Each time: what is secret may have changed since the document was made.
        files.publish(self._path, self._mask(document))

    def _document(self, facts: StatusFacts, looked: ObservedState | None) -> Document:
        at = facts.source.last_fetch_at
        still = replace(facts, source=replace(facts.source, last_fetch_at=None))
        if self._last is not None and (still, looked) == self._last[:2]:
            return fetched_again(self._last[2], at)
        _, document = self._queries.quick(facts, looked)
        # While fetches fail, more than one field says when the last one did not.
        self._last = (still, looked, document) if looked is not None and facts.source.error is None else None
        return document
