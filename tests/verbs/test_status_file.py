"""The published Status is made again only if anything has changed or a secret was learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from reconciler.decide.redact import MASK, Redactor
from reconciler.model.history import History
from reconciler.model.observed import ObservedState
from reconciler.model.status import Agent, SourceFacts, StatusFacts
from reconciler.verbs.status import StatusQueries
from reconciler.verbs.status_file import StatusFile


class Queries:
    """Counts how often a document is made."""

    made = 0

    def quick(self, facts: StatusFacts, looked: ObservedState | None) -> tuple[int, dict[str, Any]]:
        self.made += 1
        return 0, {"host": facts.host, "source": {"lastFetchAt": None, "error": "a hunter2-word"}}


def facts(fetched: float) -> StatusFacts:
    source = SourceFacts("file:///origin", "main", "a" * 40, fetched, None)
    return StatusFacts("mini", Agent(running=True), source, History(), None)


def test_an_unchanged_status_is_not_made_again_and_a_new_secret_is_masked_at_once(tmp_path: Path) -> None:
    path, queries, redactor = tmp_path / "status.json", Queries(), Redactor()
    file, looked = StatusFile(path, cast(StatusQueries, queries), redactor), ObservedState()

    def published(fetched: float) -> Any:
        file.publish(lambda: facts(fetched), looked)
        return json.loads(path.read_text())["source"]

    first, second = published(1.0), published(2.0)
    assert queries.made == 1
    assert first["error"] == second["error"] == "a hunter2-word"
    assert first["lastFetchAt"] != second["lastFetchAt"]
    redactor.register(["hunter2-word"])
    assert published(3.0)["error"] == f"a {MASK}"
